// Eight floats: AVX2, FMA and F16C.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace secousti::core {
namespace {

#define SIMD_INLINE [[gnu::always_inline]] inline

using V = __m256;
using Mask = __m256;
inline constexpr int kWidth = 8;
inline constexpr int kTileRows = 3;  // 12 accumulators, 3 broadcasts and a weight fill the 16 registers

SIMD_INLINE __m256i first_n(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
SIMD_INLINE V load(const float* p) { return _mm256_loadu_ps(p); }
SIMD_INLINE void store(float* p, V v) { _mm256_storeu_ps(p, v); }
SIMD_INLINE V load_n(const float* p, int n) { return _mm256_maskload_ps(p, first_n(n)); }
SIMD_INLINE void store_n(float* p, V v, int n) { _mm256_maskstore_ps(p, first_n(n), v); }
SIMD_INLINE V keep_n(V v, int n) { return _mm256_and_ps(_mm256_castsi256_ps(first_n(n)), v); }
SIMD_INLINE V set1(float x) { return _mm256_set1_ps(x); }
SIMD_INLINE V add(V a, V b) { return _mm256_add_ps(a, b); }
SIMD_INLINE V sub(V a, V b) { return _mm256_sub_ps(a, b); }
SIMD_INLINE V mul(V a, V b) { return _mm256_mul_ps(a, b); }
SIMD_INLINE V div(V a, V b) { return _mm256_div_ps(a, b); }
SIMD_INLINE V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
SIMD_INLINE V fnma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }
SIMD_INLINE V min(V a, V b) { return _mm256_min_ps(a, b); }
SIMD_INLINE V max(V a, V b) { return _mm256_max_ps(a, b); }
SIMD_INLINE V abs(V a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a); }
SIMD_INLINE V copysign(V magnitude, V sign) {
    const __m256 bit = _mm256_set1_ps(-0.0F);
    return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}
SIMD_INLINE V sqrt(V a) { return _mm256_sqrt_ps(a); }
SIMD_INLINE V round(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
SIMD_INLINE Mask less(V a, V b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
SIMD_INLINE V select(Mask m, V a, V b) { return _mm256_blendv_ps(b, a, m); }
SIMD_INLINE float hsum(V a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
SIMD_INLINE float hmax(V a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
SIMD_INLINE V pow2(__m256i k) {  // -126 <= k <= 127
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(k, _mm256_set1_epi32(127)), 23));
}
// Two factors, so that the result may be denormal or infinite though neither factor is.
SIMD_INLINE V scale_by_pow2(V a, V k) {
    const __m256i whole = _mm256_cvtps_epi32(k);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return mul(mul(a, pow2(half)), pow2(_mm256_sub_epi32(whole, half)));
}
SIMD_INLINE V exponent(V a) {
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(_mm256_castps_si256(a), 23), _mm256_set1_epi32(127)));
}
SIMD_INLINE V mantissa(V a) {
    const __m256i bits = _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x007FFFFF));
    return _mm256_castsi256_ps(_mm256_or_si256(bits, _mm256_set1_epi32(0x3F800000)));
}

SIMD_INLINE V reverse(V a) { return _mm256_permutevar8x32_ps(a, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0)); }
SIMD_INLINE void load_interleaved(const float* p, V& even, V& odd) {
    const V a = load(p), b = load(p + kWidth);
    const V low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
    even = _mm256_shuffle_ps(low, high, 0x88);
    odd = _mm256_shuffle_ps(low, high, 0xDD);
}
SIMD_INLINE void store_interleaved(float* p, V even, V odd) {
    const V low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    store(p, _mm256_permute2f128_ps(low, high, 0x20));
    store(p + kWidth, _mm256_permute2f128_ps(low, high, 0x31));
}
SIMD_INLINE void transpose(V (&rows)[kWidth]) {
    V fours[kWidth];  // of each half of a vector, four rows transposed
#pragma GCC unroll 2
    for (int i = 0; i < kWidth; i += 4) {
        const V low0 = _mm256_unpacklo_ps(rows[i], rows[i + 1]), high0 = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
        const V low1 = _mm256_unpacklo_ps(rows[i + 2], rows[i + 3]),
                high1 = _mm256_unpackhi_ps(rows[i + 2], rows[i + 3]);
        fours[i] = _mm256_shuffle_ps(low0, low1, 0x44);
        fours[i + 1] = _mm256_shuffle_ps(low0, low1, 0xEE);
        fours[i + 2] = _mm256_shuffle_ps(high0, high1, 0x44);
        fours[i + 3] = _mm256_shuffle_ps(high0, high1, 0xEE);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        rows[i] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
        rows[i + 4] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
    }
}

SIMD_INLINE V load_half(const std::uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
SIMD_INLINE void store_half(std::uint16_t* p, V a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
SIMD_INLINE V load_bf16(const std::uint16_t* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
SIMD_INLINE void load_bf16_pairs(const std::uint16_t* p, V& even, V& odd) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    even = _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
    odd = _mm256_castsi256_ps(_mm256_and_si256(bits, _mm256_set1_epi32(-65536)));
}
SIMD_INLINE V load_int8(const std::int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

using Ints = __m256i;
using Bytes = __m256i;                 // widened to 16 bits, because products of bytes would saturate
inline constexpr int kGroup = 2;       // activations that one instruction multiplies
inline constexpr int kInt8Offset = 0;  // added by broadcast_group and add_offset
SIMD_INLINE Ints load_ints(const std::int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
SIMD_INLINE Ints ints(std::int32_t x) { return _mm256_set1_epi32(x); }
/// a * k + b, modulo 2^32
SIMD_INLINE Ints scale_add(Ints a, std::int32_t k, Ints b) {
    return _mm256_add_epi32(_mm256_mullo_epi32(a, _mm256_set1_epi32(k)), b);
}
/// Sum i is that of a[i].
SIMD_INLINE Ints sum_each(const Ints (&a)[kWidth]) {
    const auto four = [](const Ints* v) {
        return _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    };
    const Ints low = four(a), high = four(a + 4);
    return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
}
SIMD_INLINE V to_floats(Ints a) { return _mm256_cvtepi32_ps(a); }
SIMD_INLINE Bytes load_group(const std::int8_t* weights) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weights)));
}
SIMD_INLINE Bytes broadcast_group(const std::int8_t* x) {
    std::int16_t two = 0;
    __builtin_memcpy(&two, x, sizeof two);
    return _mm256_cvtepi8_epi16(_mm_set1_epi16(two));
}
SIMD_INLINE Bytes add_offset(Bytes x) { return x; }
SIMD_INLINE Ints dot(Ints sum, Bytes weights, Bytes x) { return _mm256_add_epi32(sum, _mm256_madd_epi16(weights, x)); }
SIMD_INLINE void store_int8(std::int8_t* p, V a, int n) {
    const __m256i wide = _mm256_cvtps_epi32(a);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    std::int8_t lanes[16];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes), _mm_packs_epi16(words, words));
    __builtin_memcpy(p, lanes, static_cast<std::size_t>(n));
}

}  // namespace
}  // namespace secousti::core
