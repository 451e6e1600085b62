// What kernels are written against: indices, shared memory, barriers, warp operations, vector loads, one tensor-core
// product. nvcc maps it to the GPU; any other compiler to the emulator of csrc/emulator/, which checks every access.
//
// A kernel is a struct with `Args` (plain data), `kThreads` (threads of a block, a multiple of 32) and
// `SIMT_DEVICE static void run(const Args&)`; `launch<Kernel>(queue, grid, shared_bytes, args)` runs it.
//
// Rules, which the emulator enforces:
//  - memory is reached through global(pointer) and SharedArena only; what is loaded has been written; accesses of two
//    threads to one word, one of them a write, have a barrier (or, within a warp, a warp_barrier) between them; blocks
//    of one launch do not talk to each other;
//  - every thread calls wait_for_previous(), and let_next_start() only after it: a kernel may start while the one
//    before it still runs (programmatic dependent launch), but not while the one before that does. So before the wait
//    only load_constant is allowed, and load_settled of what the kernel just before does not write;
//  - warp operations and barriers are executed by all threads of the warp or block, at one place in the code.
// Elements behind a pointer are used as T values: write `float v = p[i]`, not `auto`.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/device.h"

namespace secousti::core::simt {

struct Grid {
    unsigned x = 1, y = 1, z = 1;
};

inline constexpr int kWarp = 32;

}  // namespace secousti::core::simt

#ifndef __CUDACC__
#include <simt_runtime.h>  // the build says where: csrc/emulator
#else

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "base/error.h"

#define SIMT_DEVICE __device__ __forceinline__
#define SIMT_UNROLL _Pragma("unroll")
#define SIMT_PRAGMA(text) _Pragma(#text)
#define SIMT_UNROLL_BY(n) SIMT_PRAGMA(unroll n)

namespace secousti::core::simt {

template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
    T at[N];
    SIMT_DEVICE T& operator[](int i) { return at[i]; }
    SIMT_DEVICE const T& operator[](int i) const { return at[i]; }
};

SIMT_DEVICE int thread() { return static_cast<int>(threadIdx.x); }
SIMT_DEVICE int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
SIMT_DEVICE int warp() { return static_cast<int>(threadIdx.x) / kWarp; }
SIMT_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
SIMT_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }
SIMT_DEVICE int block_z() { return static_cast<int>(blockIdx.z); }
SIMT_DEVICE int blocks_x() { return static_cast<int>(gridDim.x); }

template <class T>
using Global = T*;
template <class T>
using Shared = T*;
/// A pointer to device memory as kernels use it; may be null.
template <class T>
SIMT_DEVICE Global<T> global(T* p) {
    return p;
}

/// Arrays in the block's dynamic shared memory, one after the other, 16-byte aligned. All threads take the same ones.
/// The host asks for the sum of shared_bytes<T>(count).
class SharedArena {
  public:
    template <class T>
    SIMT_DEVICE Shared<T> take(int count) {
        extern __shared__ __align__(16) unsigned char dynamic_shared[];
        T* p = reinterpret_cast<T*>(dynamic_shared + offset_);
        offset_ += (count * static_cast<int>(sizeof(T)) + 15) / 16 * 16;
        return p;
    }

  private:
    int offset_ = 0;
};

SIMT_DEVICE void barrier() { __syncthreads(); }
SIMT_DEVICE void warp_barrier() { __syncwarp(); }

template <class T>
SIMT_DEVICE T shuffle_xor(T v, int mask) {
    return __shfl_xor_sync(0xFFFFFFFFU, v, mask);
}
/// The value of `v` in lane `from` of the warp.
template <class T>
SIMT_DEVICE T shuffle(T v, int from) {
    return __shfl_sync(0xFFFFFFFFU, v, from);
}
SIMT_DEVICE unsigned ballot(bool v) { return __ballot_sync(0xFFFFFFFFU, v); }

SIMT_DEVICE void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/// The next kernel may be scheduled once all blocks have called this or ended.
SIMT_DEVICE void let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/// N elements in one access of 4, 8 or 16 bytes, which must be aligned to its size.
template <int N, class T>
SIMT_DEVICE Vector<T, N> load(const T* p) {
    constexpr int kBytes = N * static_cast<int>(sizeof(T));
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
    Vector<T, N> v;
    if constexpr (kBytes == 16) {
        *reinterpret_cast<uint4*>(&v) = *reinterpret_cast<const uint4*>(p);
    } else if constexpr (kBytes == 8) {
        *reinterpret_cast<uint2*>(&v) = *reinterpret_cast<const uint2*>(p);
    } else {
        *reinterpret_cast<unsigned*>(&v) = *reinterpret_cast<const unsigned*>(p);
    }
    return v;
}
/// The same of memory that no kernel ever writes (weights): may be called before wait_for_previous().
template <int N, class T>
SIMT_DEVICE Vector<T, N> load_constant(const T* p) {
    constexpr int kBytes = N * static_cast<int>(sizeof(T));
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
    Vector<T, N> v;
    if constexpr (kBytes == 16) {
        *reinterpret_cast<uint4*>(&v) = __ldg(reinterpret_cast<const uint4*>(p));
    } else if constexpr (kBytes == 8) {
        *reinterpret_cast<uint2*>(&v) = __ldg(reinterpret_cast<const uint2*>(p));
    } else {
        *reinterpret_cast<unsigned*>(&v) = __ldg(reinterpret_cast<const unsigned*>(p));
    }
    return v;
}
template <class T>
SIMT_DEVICE T load_constant(const T* p) {
    return __ldg(p);
}
/// Memory that the kernel just before this one does not write: may be called before wait_for_previous().
template <int N, class T>
SIMT_DEVICE Vector<T, N> load_settled(const T* p) {
    return load<N>(p);
}
template <class T>
SIMT_DEVICE T load_settled(const T* p) {
    return *p;
}
template <int N, class T>
SIMT_DEVICE void store(T* p, const Vector<T, N>& v) {
    constexpr int kBytes = N * static_cast<int>(sizeof(T));
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
    if constexpr (kBytes == 16) {
        *reinterpret_cast<uint4*>(p) = *reinterpret_cast<const uint4*>(&v);
    } else if constexpr (kBytes == 8) {
        *reinterpret_cast<uint2*>(p) = *reinterpret_cast<const uint2*>(&v);
    } else {
        *reinterpret_cast<unsigned*>(p) = *reinterpret_cast<const unsigned*>(&v);
    }
}

/// Two floats as bfloat16 (to nearest even) in one word, `low` in the low half.
SIMT_DEVICE std::uint32_t pack_bf16(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const std::uint32_t*>(&pair);
}
SIMT_DEVICE float bf16_low(std::uint32_t pair) { return __uint_as_float(pair << 16U); }
SIMT_DEVICE float bf16_high(std::uint32_t pair) { return __uint_as_float(pair & 0xFFFF0000U); }

/// d += a * b on the tensor cores: a [16, 16] and b [16, 8] of bfloat16, d [16, 8] of float32, in the registers that
/// mma.sync.m16n8k16 wants. Lane l holds, with g = l/4 and t = l%4: a[0] = (g, 2t..2t+1), a[1] = (g+8, same),
/// a[2] = (g, 2t+8..), a[3] = (g+8, 2t+8..); b[0] = (2t..2t+1, g), b[1] = (2t+8.., g); d[0..1] = (g, 2t..2t+1),
/// d[2..3] = (g+8, 2t..2t+1).
SIMT_DEVICE void mma_bf16(float (&d)[4], const Vector<std::uint32_t, 4>& a, const Vector<std::uint32_t, 2>& b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/// The same of int8 with exact sums: a [16, 32], b [32, 8]; each register holds four consecutive k where those of
/// bfloat16 hold two (a[2], a[3] and b[1]: k + 16).
SIMT_DEVICE void mma_int8(std::int32_t (&d)[4], const Vector<std::uint32_t, 4>& a, const Vector<std::uint32_t, 2>& b) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// cos and sin of 2*pi*turns, |turns| <= 1/2.
SIMT_DEVICE void cos_sin_of_turns(double turns, float& cosine, float& sine) {
    double s, c;
    sincospi(2.0 * turns, &s, &c);
    cosine = static_cast<float>(c);
    sine = static_cast<float>(s);
}

/// Blocks that a multiprocessor should hold: Kernel::kBlocks where a kernel names it.
template <class Kernel>
constexpr int blocks_of() {
    if constexpr (requires { Kernel::kBlocks; }) {
        return Kernel::kBlocks;
    } else {
        return 1;
    }
}

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, blocks_of<Kernel>())
    entry(const __grid_constant__ typename Kernel::Args args) {
    Kernel::run(args);
}

template <class Kernel>
void launch(const cuda::CudaQueue& queue, Grid grid, std::size_t shared_bytes, const typename Kernel::Args& args) {
    const auto check = [](cudaError_t error) {
        if (error != cudaSuccess) {
            throw Error(Status::internal_error, std::string("CUDA launch failed: ") + cudaGetErrorString(error));
        }
    };
    if (shared_bytes > 48U * 1024U) {
        check(cudaFuncSetAttribute(entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared_bytes)));
    }
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(grid.x, grid.y, grid.z);
    config.blockDim = dim3(Kernel::kThreads);
    config.dynamicSmemBytes = shared_bytes;
    config.stream = static_cast<cudaStream_t>(queue.handle());
    config.attrs = &overlap;
    config.numAttrs = queue.overlaps_launches() ? 1U : 0U;
    check(cudaLaunchKernelEx(&config, entry<Kernel>, args));
}

}  // namespace secousti::core::simt

#endif  // __CUDACC__

namespace secousti::core::simt {

/// Bytes of shared memory that SharedArena::take<T>(count) uses.
template <class T>
constexpr std::size_t shared_bytes(std::size_t count) {
    return (count * sizeof(T) + 15) / 16 * 16;
}

SIMT_DEVICE float warp_sum(float v) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) v += shuffle_xor(v, mask);
    return v;
}
SIMT_DEVICE float warp_max(float v) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) v = fmaxf(v, shuffle_xor(v, mask));
    return v;
}

}  // namespace secousti::core::simt
