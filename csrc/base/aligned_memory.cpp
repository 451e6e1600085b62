#include "base/aligned_memory.h"

#include <cstdint>
#include <limits>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace secousti::core {
namespace {

#if defined(__linux__)

constexpr std::size_t kHugePage = std::size_t{2} << 20U;

#if defined(SECOUSTI_SANITIZED)  // which watch the heap's blocks closer than mappings
constexpr std::size_t kMapped = std::numeric_limits<std::size_t>::max();
#else
constexpr std::size_t kMapped = kHugePage;
#endif

std::size_t whole_pages(std::size_t bytes) {
    static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return (bytes + page - 1) / page * page;
}

/// A private mapping that begins on a huge page.
void* map(std::size_t bytes) {
    if (bytes > std::numeric_limits<std::size_t>::max() / 2) throw std::bad_alloc();
    const std::size_t length = whole_pages(bytes), reserved = length + kHugePage;
    void* start = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) throw std::bad_alloc();
    auto* const first = static_cast<std::byte*>(start);
    const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(first) % kHugePage) % kHugePage;
    if (before > 0) munmap(first, before);
    munmap(first + before + length, kHugePage - before);  // never empty: before < kHugePage
    // A hint only: what is refused stays in small pages.
    static_cast<void>(madvise(first + before, bytes / kHugePage * kHugePage, MADV_HUGEPAGE));
    return first + before;
}

#endif

}  // namespace

void* allocate_aligned(std::size_t bytes) { return ::operator new(bytes, std::align_val_t{kArenaAlignment}); }

void free_aligned(void* p, std::size_t bytes) noexcept {
    ::operator delete(p, bytes, std::align_val_t{kArenaAlignment});
}

void* allocate_pages(std::size_t bytes) {
#if defined(__linux__)
    if (bytes >= kMapped) return map(bytes);
#endif
    return allocate_aligned(bytes);
}

void free_pages(void* p, std::size_t bytes) noexcept {
#if defined(__linux__)
    if (bytes >= kMapped) {
        munmap(p, whole_pages(bytes));
        return;
    }
#endif
    free_aligned(p, bytes);
}

}  // namespace secousti::core
