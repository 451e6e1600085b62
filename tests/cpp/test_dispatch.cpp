// Choice of the instruction set, and the thread pool.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/thread_pool.h"
#include "kernel_cases.h"

using namespace kernel_cases;
using secousti::core::available_backends;
using secousti::core::backend_by_name;
using secousti::core::default_backend;
using secousti::core::Error;
using secousti::core::ThreadPool;

namespace {

/// Sets SECOUSTI_ISA and puts the former value back.
class ForcedIsa {
  public:
    explicit ForcedIsa(const char* name) {
        if (const char* old = std::getenv("SECOUSTI_ISA")) old_ = old;
        set(name);
    }
    ~ForcedIsa() { set(old_.empty() ? nullptr : old_.c_str()); }
    ForcedIsa(const ForcedIsa&) = delete;
    ForcedIsa& operator=(const ForcedIsa&) = delete;

  private:
    static void set(const char* name) { name ? setenv("SECOUSTI_ISA", name, 1) : unsetenv("SECOUSTI_ISA"); }
    std::string old_;
};

}  // namespace

TEST(the_environment_forces_an_instruction_set) {
    for (const Backend* backend : available_backends()) {
        const ForcedIsa forced(backend->name);
        CHECK(&default_backend() == backend);
        CHECK(std::strcmp(default_backend().name, backend->name) == 0);
    }
    {
        const ForcedIsa none(nullptr);
        CHECK(&default_backend() == available_backends().front());
    }
    {
        const ForcedIsa empty("");
        CHECK(&default_backend() == available_backends().front());
    }
    const ForcedIsa unknown("sse17");
    CHECK_THROWS(default_backend(), Error, "SECOUSTI_ISA: instruction set 'sse17' is not available");
    CHECK_THROWS(default_backend(), Error, "scalar");
    CHECK_THROWS(backend_by_name("cuda9"), Error, "'cuda9'");
    CHECK(std::strcmp(backend_by_name("scalar").name, "scalar") == 0);
}

TEST(tables_are_complete_and_ordered) {
    std::set<std::string> names;
    for (const Backend* b : available_backends()) {
        names.insert(b->name);
        CHECK(b->panel > 0 && b->packed_bytes && b->pack_linear && b->quantise_rows && b->packed_narrow_bytes &&
              b->pack_narrow && b->narrow_rows && b->linear && b->layer_norm && b->attention && b->activate &&
              b->snake && b->sum3 && b->add && b->add_row && b->fsq_quantise && b->rfft && b->irfft && b->magnitude &&
              b->log_floor && b->exp && b->band_sum && b->polar_head && b->pack_integers && b->multiply_add);
    }
    CHECK(names.size() == available_backends().size());
    CHECK(std::strcmp(available_backends().back()->name, "scalar") == 0);
#if defined(__x86_64__) && defined(__GNUC__)
    CHECK((names.count("avx512") == 1) == (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")));
    CHECK((names.count("avx512vnni") == 1) == (names.count("avx512") == 1 && __builtin_cpu_supports("avx512vnni")));
    CHECK((names.count("avx512bf16") == 1) == (names.count("avx512vnni") == 1 && __builtin_cpu_supports("avx512bf16")));
    CHECK((names.count("avx2") == 1) == (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")));
#elif defined(__aarch64__)
    CHECK(names.count("neon") == 1);
#if defined(__linux__)
    std::uint64_t features = 0;  // the register itself: what is tested asks the system
    asm("mrs %0, ID_AA64ISAR0_EL1" : "=r"(features));
    CHECK((names.count("neondot") == 1) == ((features >> 44U & 0xFU) != 0));
#endif
#endif
    // Fastest first: what adds an instruction comes before what it adds it to.
    const auto place = [](const char* name) {
        const auto all = available_backends();
        return std::find_if(all.begin(), all.end(), [&](const Backend* b) { return std::strcmp(b->name, name) == 0; });
    };
    const char* const order[][2] = {
        {"avx512bf16", "avx512vnni"}, {"avx512vnni", "avx512"}, {"avx512", "avx2"}, {"neondot", "neon"}};
    for (const auto& [faster, slower] : order)
        if (names.count(faster) == 1) CHECK_MSG(place(faster) < place(slower), faster);
}

TEST(the_chosen_table_runs) {
    const Backend& chosen = default_backend();  // throws where SECOUSTI_ISA names none of this processor's
    const float a[] = {1.0F, 2.0F, -4.0F}, b[] = {0.5F, 0.25F, 8.0F};
    float sum[3] = {};
    chosen.add(a, b, 3, sum);
    for (int i = 0; i < 3; ++i) CHECK(sum[i] == a[i] + b[i]);
}

TEST(thread_pool_runs_every_task_once) {
    for (int threads : {1, 2, 4}) {
        for (int spins : {0, 4000}) {  // 0: every run meets sleeping workers
            ThreadPool pool(threads, spins);
            for (int round = 0; round < 400; ++round) {
                struct Counts {
                    std::atomic<int> of[37] = {};
                } counts;
                const int tasks = round % 38;
                pool.run([](void* context, int task) { ++static_cast<Counts*>(context)->of[task]; }, &counts, tasks);
                for (int t = 0; t < 37; ++t) CHECK(counts.of[t].load() == (t < tasks ? 1 : 0));
            }
        }
    }
}
