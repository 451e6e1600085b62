// What the kernels of HiFT share: elementary functions without slow paths, as on the CPU, and rows of signals.
#pragma once

#include "kernels/cuda/hift.h"
#include "kernels/cuda/simt.cuh"

namespace secousti::core::cuda {

/// sin(r) for |r| <= pi/2 (Taylor series, 7e-10).
SIMT_DEVICE float sine_near_zero(float r) {
    const float r2 = r * r;
    float p = 1.0F / 6227020800.0F;
    p = fmaf(p, r2, -1.0F / 39916800.0F);
    p = fmaf(p, r2, 1.0F / 362880.0F);
    p = fmaf(p, r2, -1.0F / 5040.0F);
    p = fmaf(p, r2, 1.0F / 120.0F);
    p = fmaf(p, r2, -1.0F / 6.0F);
    return fmaf(r * r2, p, r);
}
/// x - k*pi. The leading parts of pi have 8 and 11 bits.
SIMT_DEVICE float minus_half_turns(float x, float k) {
    float r = fmaf(-k, 3.140625F, x);
    r = fmaf(-k, 9.67502593994140625e-4F, r);
    return fmaf(-k, 1.50995799e-7F, r);
}
/// -1 for odd k, 1 for even k.
SIMT_DEVICE float parity_sign(float k) {
    const float odd = fmaf(-2.0F, rintf(0.5F * k), k);
    return 1.0F - 2.0F * fabsf(odd);
}
/// Absolute error below 3e-7 for |x| <= 1e4.
SIMT_DEVICE float sine(float x) {
    const float k = rintf(x * 0.318309886F);
    return sine_near_zero(minus_half_turns(x, k)) * parity_sign(k);
}
SIMT_DEVICE float cosine(float x) {
    const float k = rintf(x * 0.318309886F - 0.5F);
    return -sine_near_zero(minus_half_turns(x, k + 0.5F)) * parity_sign(k);
}
/// x + sin^2(alpha x)/alpha.
SIMT_DEVICE float snake(float x, float alpha, float inverse_alpha) {
    const float a = alpha * x;
    const float s = sine_near_zero(minus_half_turns(a, rintf(a * 0.318309886F)));
    return fmaf(s * s, inverse_alpha, x);
}

SIMT_DEVICE bool hift_active(const HiftStep& step, int slot) {
    if (step.active == nullptr) return true;
    const std::uint8_t value = simt::global(step.active)[slot];
    return value != 0;
}

/// A field of a slot's clock.
SIMT_DEVICE long long hift_frames(const HiftStep& step, int slot) {
    return simt::global(reinterpret_cast<const long long*>(step.clocks + slot))[hift_clock::kFrames];
}
SIMT_DEVICE long long hift_length(const HiftStep& step, int slot) {
    return simt::global(reinterpret_cast<const long long*>(step.clocks + slot))[hift_clock::kLength];
}

inline constexpr long long kHiftForever = 1LL << 62;
/// Rows that a signal has in all.
SIMT_DEVICE long long hift_total(const HiftSignal& signal, long long length) {
    return length < 0 ? kHiftForever : signal.rate * length + signal.extra;
}
/// The first row that this step makes known.
SIMT_DEVICE long long hift_first(const HiftSignal& signal, long long frames) {
    return signal.rate * frames - signal.lag;
}
SIMT_DEVICE int hift_ring_row(const HiftSignal& signal, long long row) {
    const int r = static_cast<int>(row % signal.rows);
    return r < 0 ? r + signal.rows : r;
}
SIMT_DEVICE int clamp_to_int(long long v) {
    constexpr long long kMost = 0x3FFFFFFF;
    return static_cast<int>(v < 0 ? 0 : v > kMost ? kMost : v);
}

/// Row `ring_row` of a signal of float32.
SIMT_DEVICE simt::Global<float> hift_floats(const HiftSignal& signal, int slot, int ring_row) {
    return simt::global(reinterpret_cast<float*>(signal.data + static_cast<std::size_t>(slot) * signal.slot_bytes)) +
           static_cast<std::ptrdiff_t>(ring_row) * signal.stride;
}
/// Row `ring_row` of a signal of bfloat16, in pairs.
SIMT_DEVICE simt::Global<std::uint32_t> hift_pairs(const HiftSignal& signal, int slot, int ring_row) {
    return simt::global(
               reinterpret_cast<std::uint32_t*>(signal.data + static_cast<std::size_t>(slot) * signal.slot_bytes)) +
           static_cast<std::ptrdiff_t>(ring_row) * (signal.stride / 2);
}
/// Writes elements `c` (even) and c + 1 of a row.
template <bool kBf16>
SIMT_DEVICE void hift_store(const HiftSignal& signal, int slot, int ring_row, int c, float v0, float v1) {
    if constexpr (kBf16) {
        hift_pairs(signal, slot, ring_row)[c / 2] = simt::pack_bf16(v0, v1);
    } else {
        simt::store(hift_floats(signal, slot, ring_row) + c, simt::Vector<float, 2>{{v0, v1}});
    }
}

/// Row of a signal that thread-item `r` of this step stands for.
struct HiftRow {
    long long row;
    bool exists;

    SIMT_DEVICE HiftRow(const HiftStep& step, const HiftSignal& signal, int slot, int r)
        : row(hift_first(signal, hift_frames(step, slot)) + r),
          exists(row >= 0 && row < hift_total(signal, hift_length(step, slot))) {}
};

}  // namespace secousti::core::cuda
