// One float at a time, plain C++: the reference every other instruction set is compared with.
#pragma once

#include <cstdint>

namespace secousti::core {
namespace {

#define SIMD_INLINE [[gnu::always_inline]] inline

using V = float;
using Mask = bool;
inline constexpr int kWidth = 1;
inline constexpr int kTileRows = 4;  // rows of the matrix product's register tile

SIMD_INLINE V load(const float* p) { return *p; }
SIMD_INLINE void store(float* p, V v) { *p = v; }
SIMD_INLINE V load_n(const float* p, int n) { return n > 0 ? *p : 0.0F; }
SIMD_INLINE void store_n(float* p, V v, int n) {
    if (n > 0) *p = v;
}
SIMD_INLINE V keep_n(V v, int n) { return n > 0 ? v : 0.0F; }
SIMD_INLINE V set1(float x) { return x; }
SIMD_INLINE V add(V a, V b) { return a + b; }
SIMD_INLINE V sub(V a, V b) { return a - b; }
SIMD_INLINE V mul(V a, V b) { return a * b; }
SIMD_INLINE V div(V a, V b) { return a / b; }
SIMD_INLINE V fma(V a, V b, V c) { return a * b + c; }
SIMD_INLINE V fnma(V a, V b, V c) { return c - a * b; }
SIMD_INLINE V min(V a, V b) { return a < b ? a : b; }
SIMD_INLINE V max(V a, V b) { return a > b ? a : b; }
SIMD_INLINE V abs(V a) { return __builtin_fabsf(a); }
SIMD_INLINE V copysign(V magnitude, V sign) { return __builtin_copysignf(magnitude, sign); }
SIMD_INLINE V sqrt(V a) { return __builtin_sqrtf(a); }
SIMD_INLINE V round(V a) { return __builtin_nearbyintf(a); }
SIMD_INLINE Mask less(V a, V b) { return a < b; }
SIMD_INLINE V select(Mask m, V a, V b) { return m ? a : b; }
SIMD_INLINE float hsum(V a) { return a; }
SIMD_INLINE float hmax(V a) { return a; }
SIMD_INLINE V scale_by_pow2(V a, V k) { return k == k ? __builtin_ldexpf(a, static_cast<int>(k)) : k; }
SIMD_INLINE V exponent(V a) {
    int e = 0;
    __builtin_frexpf(a, &e);
    return static_cast<float>(e - 1);
}
SIMD_INLINE V mantissa(V a) {
    int e = 0;
    return 2.0F * __builtin_frexpf(a, &e);
}

SIMD_INLINE V reverse(V a) { return a; }
SIMD_INLINE void load_interleaved(const float* p, V& even, V& odd) {
    even = p[0];
    odd = p[1];
}
SIMD_INLINE void store_interleaved(float* p, V even, V odd) {
    p[0] = even;
    p[1] = odd;
}
SIMD_INLINE void transpose(V (&)[kWidth]) {}

/// Exact: powers of two, of which the second undoes what the first kept from being a denormal.
SIMD_INLINE V load_half(const std::uint16_t* p) {
    const std::uint32_t sign = (*p & 0x8000U) << 16U, magnitude = *p & 0x7FFFU;
    const std::uint32_t bits = magnitude << 13U | (magnitude >= 0x7C00U ? 0x7F800000U : 0U);
    const float wide =
        magnitude >= 0x7C00U ? __builtin_bit_cast(float, bits) : __builtin_bit_cast(float, bits) * 0x1p112F;
    return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, wide) | sign);
}
/// To nearest, ties to even; what is too large becomes infinite, NaN stays NaN.
SIMD_INLINE void store_half(std::uint16_t* p, V a) {
    const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, a);
    const std::uint32_t sign = bits >> 16U & 0x8000U, magnitude = bits & 0x7FFFFFFFU;
    std::uint32_t half = 0;
    if (magnitude > 0x7F800000U) {
        half = 0x7E00U;
    } else if (magnitude >= 0x477FF000U) {  // 65520 and more
        half = 0x7C00U;
    } else if (magnitude >= 0x38800000U) {  // 2^-14: normal; the exponent's bias falls from 127 to 15
        half = (magnitude - 0x38000000U + 0xFFFU + (magnitude >> 13U & 1U)) >> 13U;
    } else {  // steps of 2^-24, which are those of floats from a half to one
        half = __builtin_bit_cast(std::uint32_t, __builtin_bit_cast(float, magnitude) + 0.5F) - 0x3F000000U;
    }
    *p = static_cast<std::uint16_t>(sign | half);
}
SIMD_INLINE V load_bf16(const std::uint16_t* p) { return __builtin_bit_cast(float, std::uint32_t{*p} << 16U); }
SIMD_INLINE void load_bf16_pairs(const std::uint16_t* p, V& even, V& odd) {
    even = load_bf16(p);
    odd = load_bf16(p + 1);
}
SIMD_INLINE V load_int8(const std::int8_t* p) { return static_cast<float>(*p); }

using Ints = std::int32_t;
using Bytes = std::int32_t;
inline constexpr int kGroup = 1;       // activations that one instruction multiplies
inline constexpr int kInt8Offset = 0;  // added by broadcast_group and add_offset
SIMD_INLINE Ints load_ints(const std::int32_t* p) { return *p; }
SIMD_INLINE Ints ints(std::int32_t x) { return x; }
/// a * k + b, modulo 2^32
SIMD_INLINE Ints scale_add(Ints a, std::int32_t k, Ints b) {
    return static_cast<Ints>(static_cast<std::uint32_t>(a) * static_cast<std::uint32_t>(k) +
                             static_cast<std::uint32_t>(b));
}
/// Sum i is that of a[i].
SIMD_INLINE Ints sum_each(const Ints (&a)[kWidth]) { return a[0]; }
SIMD_INLINE V to_floats(Ints a) { return static_cast<float>(a); }
SIMD_INLINE Bytes load_group(const std::int8_t* weights) { return *weights; }
SIMD_INLINE Bytes broadcast_group(const std::int8_t* x) { return *x; }
SIMD_INLINE Bytes add_offset(Bytes x) { return x; }
SIMD_INLINE Ints dot(Ints sum, Bytes weights, Bytes x) { return sum + weights * x; }
SIMD_INLINE void store_int8(std::int8_t* p, V a, int n) {
    if (n > 0) *p = static_cast<std::int8_t>(a);
}

}  // namespace
}  // namespace secousti::core
