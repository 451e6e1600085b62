// A vector of floats on cache-line boundaries, for weights and tables made at load time.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

#include "base/arena.h"

namespace secousti::core {

/// Memory on cache-line boundaries; from 2 MiB on in huge pages where the system grants them, because streaming weights
/// through 4 KiB pages costs a seventh of the read bandwidth. Throws std::bad_alloc.
void* allocate_aligned(std::size_t bytes);
void free_aligned(void* p, std::size_t bytes) noexcept;

template <class T>
struct AlignedAllocator {
    using value_type = T;
    AlignedAllocator() = default;
    template <class U>
    AlignedAllocator(const AlignedAllocator<U>&) noexcept {}
    T* allocate(std::size_t n) { return static_cast<T*>(allocate_aligned(n * sizeof(T))); }
    void deallocate(T* p, std::size_t n) noexcept { free_aligned(p, n * sizeof(T)); }
    friend bool operator==(const AlignedAllocator&, const AlignedAllocator&) { return true; }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace secousti::core
