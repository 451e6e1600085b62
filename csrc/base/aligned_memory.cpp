#include "base/aligned_memory.h"

#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace secousti::core {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20U;

std::align_val_t alignment(std::size_t bytes) {
    return std::align_val_t{bytes >= kHugePage ? kHugePage : kArenaAlignment};
}

}  // namespace

void* allocate_aligned(std::size_t bytes) {
    void* p = ::operator new(bytes, alignment(bytes));
#if defined(__linux__)
    // A hint only: what is refused stays in small pages.
    if (bytes >= kHugePage) static_cast<void>(madvise(p, bytes / kHugePage * kHugePage, MADV_HUGEPAGE));
#endif
    return p;
}

void free_aligned(void* p, std::size_t bytes) noexcept { ::operator delete(p, alignment(bytes)); }

}  // namespace secousti::core
