// Replaces the operators that all others forward to, and the system's mapping of memory, from which large blocks come
// (base/aligned_memory.cpp). tools/check_layers.py sees to it that nothing in the engine calls malloc itself.
#include "allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

#if defined(__linux__) && !defined(SECOUSTI_SANITIZED)
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#endif

#if defined(__APPLE__)
#include <malloc/malloc.h>
#else
#include <malloc.h>
#endif

namespace {

std::atomic<std::uint64_t> total{0};
std::atomic<std::size_t> live{0}, peak{0};

struct Plan {
    bool active = false;
    std::uint64_t from = 0, until = 0, seen = 0;
};
thread_local Plan plan;

std::size_t size_of(void* memory) {
#if defined(__APPLE__)
    return malloc_size(memory);
#else
    return malloc_usable_size(memory);
#endif
}

bool refused() { return plan.active && plan.seen++ >= plan.from && plan.seen <= plan.until; }

void add(std::size_t size) {
    const std::size_t now = live.fetch_add(size) + size;
    for (std::size_t before = peak; before < now && !peak.compare_exchange_weak(before, now);) {
    }
}

void* counted(void* memory) {
    ++total;
    if (memory == nullptr) throw std::bad_alloc();
    add(size_of(memory));
    return memory;
}

void release(void* memory) {
    if (memory == nullptr) return;
    live -= size_of(memory);
    std::free(memory);
}

}  // namespace

namespace allocations {

std::uint64_t count() { return total; }
std::size_t live_bytes() { return live; }
std::size_t peak_bytes() { return peak; }
void begin_peak() { peak = live.load(); }

Failing::Failing(std::uint64_t first, std::uint64_t times) { plan = {true, first, first + times, 0}; }
Failing::~Failing() { plan = {}; }
bool Failing::happened() const { return plan.seen > plan.from; }

}  // namespace allocations

void* operator new(std::size_t size) { return counted(refused() ? nullptr : std::malloc(size != 0 ? size : 1)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    const std::size_t unit = static_cast<std::size_t>(alignment);
    return counted(refused() ? nullptr : std::aligned_alloc(unit, (size + unit - 1) / unit * unit));
}
// A sanitizer's own version would not match the deletes below.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept try { return operator new(size); } catch (...) {
    return nullptr;
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

#if defined(__linux__) && !defined(SECOUSTI_SANITIZED)

extern "C" void* mmap(void* address, std::size_t size, int protection, int flags, int file, off_t offset) noexcept {
    const bool memory = (flags & MAP_ANONYMOUS) != 0;
    if (memory && refused()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void* mapped = reinterpret_cast<void*>(syscall(SYS_mmap, address, size, protection, flags, file, offset));
    if (memory && mapped != MAP_FAILED) {
        ++total;
        add(size);
    }
    return mapped;
}

extern "C" int munmap(void* address, std::size_t size) noexcept {
    const auto result = static_cast<int>(syscall(SYS_munmap, address, size));
    if (result == 0) live -= size;  // nothing here maps files
    return result;
}

#endif
