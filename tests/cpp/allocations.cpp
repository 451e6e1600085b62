#include "allocations.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace {
std::atomic<std::uint64_t> total{0};
}

#if defined(__SANITIZE_ADDRESS__)

#include <sanitizer/allocator_interface.h>

namespace {
void on_malloc(const volatile void*, std::size_t) { ++total; }
void on_free(const volatile void*) {}
const bool installed = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) != 0;
}  // namespace

bool allocations::counted() { return installed; }

#elif defined(__GLIBC__) && !defined(__SANITIZE_THREAD__)

// The executable's definitions take the place of glibc's, operator new's calls included.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) {
    ++total;
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
    ++total;
    return __libc_calloc(count, size);
}
void* realloc(void* pointer, std::size_t size) {
    ++total;
    return __libc_realloc(pointer, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    ++total;
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** pointer, std::size_t alignment, std::size_t size) {
    ++total;
    *pointer = __libc_memalign(alignment, size);
    return *pointer == nullptr ? ENOMEM : 0;
}
}  // extern "C"

bool allocations::counted() { return true; }

#else

bool allocations::counted() { return false; }

#endif

std::uint64_t allocations::count() { return total; }
