// A vector of floats on cache-line boundaries, for weights and tables made at load time.
#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned_memory.h"

namespace secousti::core {

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
