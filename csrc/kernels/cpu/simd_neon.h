// Four floats: Advanced SIMD of AArch64, and its dot product where the compiler may use it.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace secousti::core {
namespace {

#define SIMD_INLINE [[gnu::always_inline]] inline

using V = float32x4_t;
using Mask = uint32x4_t;
inline constexpr int kWidth = 4;
inline constexpr int kTileRows = 6;  // 24 accumulators of the 32 registers

SIMD_INLINE V load(const float* p) { return vld1q_f32(p); }
SIMD_INLINE void store(float* p, V v) { vst1q_f32(p, v); }
SIMD_INLINE V load_n(const float* p, int n) {
    float lanes[4] = {0.0F, 0.0F, 0.0F, 0.0F};
    for (int i = 0; i < n && i < 4; ++i) lanes[i] = p[i];
    return vld1q_f32(lanes);
}
SIMD_INLINE void store_n(float* p, V v, int n) {
    float lanes[4];
    vst1q_f32(lanes, v);
    for (int i = 0; i < n && i < 4; ++i) p[i] = lanes[i];
}
SIMD_INLINE V keep_n(V v, int n) {
    static const std::int32_t index[4] = {0, 1, 2, 3};
    const uint32x4_t keep = vcltq_s32(vld1q_s32(index), vdupq_n_s32(n));
    return vreinterpretq_f32_u32(vandq_u32(keep, vreinterpretq_u32_f32(v)));
}
SIMD_INLINE V set1(float x) { return vdupq_n_f32(x); }
SIMD_INLINE V add(V a, V b) { return vaddq_f32(a, b); }
SIMD_INLINE V sub(V a, V b) { return vsubq_f32(a, b); }
SIMD_INLINE V mul(V a, V b) { return vmulq_f32(a, b); }
SIMD_INLINE V div(V a, V b) { return vdivq_f32(a, b); }
SIMD_INLINE V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
SIMD_INLINE V fnma(V a, V b, V c) { return vfmsq_f32(c, a, b); }
SIMD_INLINE V min(V a, V b) { return vminq_f32(a, b); }
SIMD_INLINE V max(V a, V b) { return vmaxq_f32(a, b); }
SIMD_INLINE V abs(V a) { return vabsq_f32(a); }
SIMD_INLINE V copysign(V magnitude, V sign) { return vbslq_f32(vdupq_n_u32(0x80000000U), sign, magnitude); }
SIMD_INLINE V sqrt(V a) { return vsqrtq_f32(a); }
SIMD_INLINE V round(V a) { return vrndnq_f32(a); }
SIMD_INLINE Mask less(V a, V b) { return vcltq_f32(a, b); }
SIMD_INLINE V select(Mask m, V a, V b) { return vbslq_f32(m, a, b); }
SIMD_INLINE float hsum(V a) { return vaddvq_f32(a); }
SIMD_INLINE float hmax(V a) { return vmaxvq_f32(a); }
SIMD_INLINE V pow2(int32x4_t k) {  // -126 <= k <= 127
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(k, vdupq_n_s32(127)), 23));
}
// Two factors, so that the result may be denormal or infinite though neither factor is.
SIMD_INLINE V scale_by_pow2(V a, V k) {
    const int32x4_t whole = vcvtnq_s32_f32(k);
    const int32x4_t half = vshrq_n_s32(whole, 1);
    return mul(mul(a, pow2(half)), pow2(vsubq_s32(whole, half)));
}
SIMD_INLINE V exponent(V a) {
    return vcvtq_f32_s32(vsubq_s32(vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_f32(a), 23)), vdupq_n_s32(127)));
}
SIMD_INLINE V mantissa(V a) {
    const uint32x4_t bits = vandq_u32(vreinterpretq_u32_f32(a), vdupq_n_u32(0x007FFFFFU));
    return vreinterpretq_f32_u32(vorrq_u32(bits, vdupq_n_u32(0x3F800000U)));
}

SIMD_INLINE V reverse(V a) {
    const V pairs = vrev64q_f32(a);
    return vextq_f32(pairs, pairs, 2);
}
SIMD_INLINE void load_interleaved(const float* p, V& even, V& odd) {
    const float32x4x2_t both = vld2q_f32(p);
    even = both.val[0];
    odd = both.val[1];
}
SIMD_INLINE void store_interleaved(float* p, V even, V odd) {
    const float32x4x2_t both = {{even, odd}};  // not in the call, which is a macro in Clang: braces do not keep commas
    vst2q_f32(p, both);
}
SIMD_INLINE void transpose(V (&rows)[kWidth]) {
    const auto pairs = [](V a) { return vreinterpretq_f64_f32(a); };
    const float64x2_t even0 = pairs(vtrn1q_f32(rows[0], rows[1])), odd0 = pairs(vtrn2q_f32(rows[0], rows[1]));
    const float64x2_t even1 = pairs(vtrn1q_f32(rows[2], rows[3])), odd1 = pairs(vtrn2q_f32(rows[2], rows[3]));
    rows[0] = vreinterpretq_f32_f64(vtrn1q_f64(even0, even1));
    rows[1] = vreinterpretq_f32_f64(vtrn1q_f64(odd0, odd1));
    rows[2] = vreinterpretq_f32_f64(vtrn2q_f64(even0, even1));
    rows[3] = vreinterpretq_f32_f64(vtrn2q_f64(odd0, odd1));
}

SIMD_INLINE V load_half(const std::uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
SIMD_INLINE void store_half(std::uint16_t* p, V a) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a))); }
SIMD_INLINE V load_bf16(const std::uint16_t* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
SIMD_INLINE void load_bf16_pairs(const std::uint16_t* p, V& even, V& odd) {
    const uint32x4_t bits = vreinterpretq_u32_u16(vld1q_u16(p));
    even = vreinterpretq_f32_u32(vshlq_n_u32(bits, 16));
    odd = vreinterpretq_f32_u32(vandq_u32(bits, vdupq_n_u32(0xFFFF0000U)));
}
SIMD_INLINE V load_int8(const std::int8_t* p) {
    std::int32_t four = 0;
    __builtin_memcpy(&four, p, sizeof four);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four))))));
}

using Ints = int32x4_t;
inline constexpr int kInt8Offset = 0;  // added by broadcast_group and add_offset
SIMD_INLINE Ints load_ints(const std::int32_t* p) { return vld1q_s32(p); }
SIMD_INLINE Ints ints(std::int32_t x) { return vdupq_n_s32(x); }
/// a * k + b, modulo 2^32
SIMD_INLINE Ints scale_add(Ints a, std::int32_t k, Ints b) { return vmlaq_n_s32(b, a, k); }
/// Sum i is that of a[i].
SIMD_INLINE Ints sum_each(const Ints (&a)[kWidth]) {
    return vpaddq_s32(vpaddq_s32(a[0], a[1]), vpaddq_s32(a[2], a[3]));
}
SIMD_INLINE V to_floats(Ints a) { return vcvtq_f32_s32(a); }
#if defined(__ARM_FEATURE_DOTPROD)
using Bytes = int8x16_t;
inline constexpr int kGroup = 4;  // activations that one instruction multiplies
SIMD_INLINE Bytes load_group(const std::int8_t* weights) { return vld1q_s8(weights); }
SIMD_INLINE Bytes broadcast_group(const std::int8_t* x) {
    std::int32_t four = 0;
    __builtin_memcpy(&four, x, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
SIMD_INLINE Ints dot(Ints sum, Bytes weights, Bytes x) { return vdotq_s32(sum, weights, x); }
#else
using Bytes = int8x8_t;
inline constexpr int kGroup = 2;
SIMD_INLINE Bytes load_group(const std::int8_t* weights) { return vld1_s8(weights); }
SIMD_INLINE Bytes broadcast_group(const std::int8_t* x) {
    std::int16_t two = 0;
    __builtin_memcpy(&two, x, sizeof two);
    return vreinterpret_s8_s16(vdup_n_s16(two));
}
SIMD_INLINE Ints dot(Ints sum, Bytes weights, Bytes x) { return vpadalq_s16(sum, vmull_s8(weights, x)); }
#endif
SIMD_INLINE Bytes add_offset(Bytes x) { return x; }
SIMD_INLINE void store_int8(std::int8_t* p, V a, int n) {
    const int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(a));
    std::int8_t lanes[8];
    vst1_s8(lanes, vqmovn_s16(vcombine_s16(words, words)));
    for (int i = 0; i < n && i < 4; ++i) p[i] = lanes[i];
}

}  // namespace
}  // namespace secousti::core
