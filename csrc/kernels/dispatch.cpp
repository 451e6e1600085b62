// Which kernel table runs: the ordered list of those built in, cut to what this processor and system support.
#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"
#include "kernels/backend.h"
#include "kernels/cpu/backends.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace secousti::core {
namespace {

#if defined(__x86_64__)

struct Features {
    bool avx2 = false;
    bool avx512 = false;
    bool avx512vnni = false;
    bool avx512bf16 = false;  // and VNNI
};

Features detect() {
    Features found;
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0) return found;
    const bool fma = (c & bit_FMA) != 0 && (c & bit_F16C) != 0;
    if ((c & bit_OSXSAVE) == 0) return found;
    unsigned low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    const bool ymm = (low & 0x06U) == 0x06U;  // the system saves xmm and ymm
    const bool zmm = (low & 0xE6U) == 0xE6U;  // and the mask registers and all of zmm
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
    found.avx2 = ymm && fma && (b & bit_AVX2) != 0;
    constexpr unsigned kAvx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    found.avx512 = found.avx2 && zmm && (b & kAvx512) == kAvx512;
    found.avx512vnni = found.avx512 && (c & bit_AVX512VNNI) != 0;
    constexpr unsigned kAvx512Bf16 = 1U << 5U;  // of EAX
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) found.avx512bf16 = found.avx512vnni && (a & kAvx512Bf16) != 0;
    return found;
}

#elif defined(SECOUSTI_HAVE_NEONDOT)

/// Whether the processor has vdotq_s32: optional from Armv8.2 on, part of Armv8.4.
bool has_dot_product() {
#if defined(__ARM_FEATURE_DOTPROD)
    return true;  // the whole build needs it, as those for Macs do
#elif defined(__linux__)
    constexpr unsigned long kDotProduct = 1UL << 20U;  // HWCAP_ASIMDDP, which old headers do not name
    return (getauxval(AT_HWCAP) & kDotProduct) != 0;
#elif defined(__APPLE__)
    int has = 0;
    std::size_t size = sizeof has;
    return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, nullptr, 0) == 0 && has != 0;
#else
    return false;
#endif
}

#endif

struct Registry {
    std::array<const Backend*, 6> tables{};  ///< available ones, fastest first
    std::size_t count = 0;
    std::string names;
    std::string missing;  ///< built in, but not for this processor

    void add(const Backend& table, bool available) {
        std::string& list = available ? names : missing;
        list += (list.empty() ? "" : ", ") + std::string(table.name);
        if (available) tables[count++] = &table;
    }
};

const Registry& registry() {
    static const Registry instance = [] {
        Registry r;
#if defined(SECOUSTI_HAVE_AVX512VNNI) || defined(SECOUSTI_HAVE_AVX512) || defined(SECOUSTI_HAVE_AVX2)
        const Features features = detect();
#endif
#if defined(SECOUSTI_HAVE_AVX512BF16)
        r.add(avx512bf16_backend, features.avx512bf16);
#endif
#if defined(SECOUSTI_HAVE_AVX512VNNI)
        r.add(avx512vnni_backend, features.avx512vnni);
#endif
#if defined(SECOUSTI_HAVE_AVX512)
        r.add(avx512_backend, features.avx512);
#endif
#if defined(SECOUSTI_HAVE_AVX2)
        r.add(avx2_backend, features.avx2);
#endif
#if defined(SECOUSTI_HAVE_NEONDOT)
        r.add(neondot_backend, has_dot_product());
#endif
#if defined(SECOUSTI_HAVE_NEON)
        r.add(neon_backend, true);  // part of every AArch64 processor
#endif
        r.add(scalar_backend, true);
        return r;
    }();
    return instance;
}

const Backend& find(const char* name, const std::string& subject) {
    const Registry& r = registry();
    for (const Backend* table : available_backends())
        if (std::strcmp(table->name, name) == 0) return *table;
    std::string message = subject + " '" + name + "' is not available; this processor runs: " + r.names;
    if (!r.missing.empty()) message += " (built in, but not supported here: " + r.missing + ")";
    throw Error(Status::unsupported, message);
}

}  // namespace

std::span<const Backend* const> available_backends() { return {registry().tables.data(), registry().count}; }

const Backend& backend_by_name(const char* name) { return find(name, "instruction set"); }

const Backend& default_backend() {
    const char* forced = std::getenv("SECOUSTI_ISA");
    if (forced != nullptr && *forced != '\0') return find(forced, "SECOUSTI_ISA: instruction set");
    return *available_backends().front();
}

}  // namespace secousti::core
