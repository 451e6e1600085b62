// One float at a time, plain C++: the reference every other instruction set is compared with.
#pragma once

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

}  // namespace
}  // namespace secousti::core
