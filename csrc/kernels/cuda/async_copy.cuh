// Copies from device to shared memory that a thread does not wait for.
#pragma once

#include "kernels/cuda/simt.cuh"

namespace secousti::core::cuda {

/// Starts copying 16 bytes, both ends aligned to them; with `valid` false it writes zeros and reads nothing.
template <class T>
SIMT_DEVICE void copy_async(simt::Shared<T> to, simt::Global<const T> from, bool valid) {
#ifdef __CUDACC__
    const unsigned target = static_cast<unsigned>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(from), "r"(valid ? 16 : 0)
                 : "memory");
#else
    constexpr int kCount = 16 / static_cast<int>(sizeof(T));
    simt::store(to, valid ? simt::load<kCount>(from) : simt::Vector<T, kCount>{});
#endif
}

/// Closes a group of this thread's copies.
SIMT_DEVICE void commit_copies() {
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most the `kPending` newest groups of this thread are under way.
template <int kPending>
SIMT_DEVICE void wait_for_copies() {
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

}  // namespace secousti::core::cuda
