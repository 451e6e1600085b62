#include "base/aligned_memory.h"

#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#endif

namespace secousti::core {
namespace {

#if defined(__linux__)

constexpr std::size_t kHugePage = std::size_t{2} << 20U;

std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

/// Straight from the system. The C library's aligned allocation asks its heap for a hole larger than the block by the
/// alignment, so that a block's place never fits its like again: before glibc 2.38 (its bug 14581) a host whose streams
/// come and go grew from 64 to 143 MB in twelve hours of audio.
void* map(std::size_t bytes) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    if (bytes > SIZE_MAX - kHugePage - page) throw std::bad_alloc();
    const std::size_t size = round_up(bytes, page), room = size + kHugePage;
    void* mapped = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    auto* start = static_cast<std::byte*>(mapped);
    const std::size_t address = reinterpret_cast<std::uintptr_t>(mapped);
    const std::size_t before = round_up(address, kHugePage) - address, after = room - before - size;
    if (before != 0) munmap(start, before);
    if (after != 0) munmap(start + before + size, after);
    // A hint only: what is refused stays in small pages.
    static_cast<void>(madvise(start + before, size / kHugePage * kHugePage, MADV_HUGEPAGE));
    return start + before;
}

void unmap(void* p, std::size_t bytes) noexcept {
    munmap(p, round_up(bytes, static_cast<std::size_t>(sysconf(_SC_PAGESIZE))));
}

#if defined(SECOUSTI_SANITIZED)  // whose allocators know where a block ends
constexpr bool kMapLarge = false;
#else
constexpr bool kMapLarge = true;
#endif

#endif

}  // namespace

void* allocate_aligned(std::size_t bytes) {
#if defined(__linux__)
    if (kMapLarge && bytes >= kHugePage) return map(bytes);
#endif
    return ::operator new(bytes, std::align_val_t{kArenaAlignment});
}

void free_aligned(void* p, std::size_t bytes) noexcept {
#if defined(__linux__)
    if (kMapLarge && bytes >= kHugePage) return unmap(p, bytes);
#endif
    ::operator delete(p, std::align_val_t{kArenaAlignment});
}

}  // namespace secousti::core
