// Sixteen floats: AVX-512 F, BW, DQ and VL, and VNNI and BF16 where the compiler may use it.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace secousti::core {
namespace {

#define SIMD_INLINE [[gnu::always_inline]] inline

using V = __m512;
using Mask = __mmask16;
inline constexpr int kWidth = 16;
inline constexpr int kTileRows = 6;  // 24 accumulators, 4 weights and the broadcasts fill the 32 registers

SIMD_INLINE __mmask16 first_n(int n) { return static_cast<__mmask16>((1U << n) - 1U); }
SIMD_INLINE V load(const float* p) { return _mm512_loadu_ps(p); }
SIMD_INLINE void store(float* p, V v) { _mm512_storeu_ps(p, v); }
SIMD_INLINE V load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(first_n(n), p); }
SIMD_INLINE void store_n(float* p, V v, int n) { _mm512_mask_storeu_ps(p, first_n(n), v); }
SIMD_INLINE V keep_n(V v, int n) { return _mm512_maskz_mov_ps(first_n(n), v); }
SIMD_INLINE V set1(float x) { return _mm512_set1_ps(x); }
SIMD_INLINE V add(V a, V b) { return _mm512_add_ps(a, b); }
SIMD_INLINE V sub(V a, V b) { return _mm512_sub_ps(a, b); }
SIMD_INLINE V mul(V a, V b) { return _mm512_mul_ps(a, b); }
SIMD_INLINE V div(V a, V b) { return _mm512_div_ps(a, b); }
SIMD_INLINE V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
SIMD_INLINE V fnma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
SIMD_INLINE V min(V a, V b) { return _mm512_min_ps(a, b); }
SIMD_INLINE V max(V a, V b) { return _mm512_max_ps(a, b); }
SIMD_INLINE V abs(V a) { return _mm512_abs_ps(a); }
SIMD_INLINE V copysign(V magnitude, V sign) {
    const __m512 bit = _mm512_set1_ps(-0.0F);
    return _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign));
}
SIMD_INLINE V sqrt(V a) { return _mm512_sqrt_ps(a); }
SIMD_INLINE V round(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
SIMD_INLINE Mask less(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
SIMD_INLINE V select(Mask m, V a, V b) { return _mm512_mask_blend_ps(m, b, a); }
SIMD_INLINE float hsum(V a) { return _mm512_reduce_add_ps(a); }
SIMD_INLINE float hmax(V a) { return _mm512_reduce_max_ps(a); }
SIMD_INLINE V scale_by_pow2(V a, V k) { return _mm512_scalef_ps(a, k); }
SIMD_INLINE V exponent(V a) { return _mm512_getexp_ps(a); }
SIMD_INLINE V mantissa(V a) { return _mm512_getmant_ps(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src); }

SIMD_INLINE V reverse(V a) {
    return _mm512_permutexvar_ps(_mm512_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), a);
}
SIMD_INLINE void load_interleaved(const float* p, V& even, V& odd) {
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const V low = load(p), high = load(p + kWidth);
    even = _mm512_permutex2var_ps(low, evens, high);
    odd = _mm512_permutex2var_ps(low, _mm512_add_epi32(evens, _mm512_set1_epi32(1)), high);
}
SIMD_INLINE void store_interleaved(float* p, V even, V odd) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    store(p, _mm512_permutex2var_ps(even, low, odd));
    store(p + kWidth, _mm512_permutex2var_ps(even, _mm512_add_epi32(low, _mm512_set1_epi32(8)), odd));
}
SIMD_INLINE void transpose(V (&rows)[kWidth]) {
    V fours[kWidth];  // of each quarter of a vector, four rows transposed
#pragma GCC unroll 4
    for (int i = 0; i < kWidth; i += 4) {
        const auto pairs = [](V a) { return _mm512_castps_pd(a); };
        const __m512d low0 = pairs(_mm512_unpacklo_ps(rows[i], rows[i + 1]));
        const __m512d high0 = pairs(_mm512_unpackhi_ps(rows[i], rows[i + 1]));
        const __m512d low1 = pairs(_mm512_unpacklo_ps(rows[i + 2], rows[i + 3]));
        const __m512d high1 = pairs(_mm512_unpackhi_ps(rows[i + 2], rows[i + 3]));
        fours[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low0, low1));
        fours[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low0, low1));
        fours[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high0, high1));
        fours[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high0, high1));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const V low0 = _mm512_shuffle_f32x4(fours[i], fours[i + 4], 0x88);
        const V high0 = _mm512_shuffle_f32x4(fours[i], fours[i + 4], 0xDD);
        const V low1 = _mm512_shuffle_f32x4(fours[i + 8], fours[i + 12], 0x88);
        const V high1 = _mm512_shuffle_f32x4(fours[i + 8], fours[i + 12], 0xDD);
        rows[i] = _mm512_shuffle_f32x4(low0, low1, 0x88);
        rows[i + 4] = _mm512_shuffle_f32x4(high0, high1, 0x88);
        rows[i + 8] = _mm512_shuffle_f32x4(low0, low1, 0xDD);
        rows[i + 12] = _mm512_shuffle_f32x4(high0, high1, 0xDD);
    }
}

SIMD_INLINE V load_half(const std::uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
SIMD_INLINE void store_half(std::uint16_t* p, V a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
SIMD_INLINE V load_bf16(const std::uint16_t* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
SIMD_INLINE void load_bf16_pairs(const std::uint16_t* p, V& even, V& odd) {
    const __m512i bits = _mm512_loadu_si512(p);
    even = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
    odd = _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(-65536)));
}
SIMD_INLINE void store_bf16(std::uint16_t* p, V a, int n) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x00400000));
    const __m512i any = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), quiet, rounded);
    _mm512_mask_cvtepi32_storeu_epi16(p, first_n(n), _mm512_srli_epi32(any, 16));
}
SIMD_INLINE V load_int8(const std::int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
#if defined(__AVX512BF16__)
inline constexpr int kPairRows = kTileRows;
using Pairs = __m512bh;  // sixteen pairs of bfloat16
SIMD_INLINE Pairs load_pairs(const std::uint16_t* p) { return reinterpret_cast<Pairs>(_mm512_loadu_si512(p)); }
SIMD_INLINE Pairs broadcast_pair(const std::byte* p) {
    std::int32_t two = 0;
    __builtin_memcpy(&two, p, sizeof two);
    return reinterpret_cast<Pairs>(_mm512_set1_epi32(two));
}
SIMD_INLINE V dot(V sum, Pairs a, Pairs b) { return _mm512_dpbf16_ps(sum, a, b); }
#endif

// Sixteen int32: GCC keeps __m512i accumulators, which are long long, in memory as well as in registers.
typedef int Ints __attribute__((vector_size(64)));
using Bytes = __m512i;
SIMD_INLINE Ints load_ints(const std::int32_t* p) { return reinterpret_cast<Ints>(_mm512_loadu_si512(p)); }
SIMD_INLINE Ints ints(std::int32_t x) { return reinterpret_cast<Ints>(_mm512_set1_epi32(x)); }
/// a * k + b, modulo 2^32
SIMD_INLINE Ints scale_add(Ints a, std::int32_t k, Ints b) {
    return reinterpret_cast<Ints>(_mm512_add_epi32(
        _mm512_mullo_epi32(reinterpret_cast<__m512i>(a), _mm512_set1_epi32(k)), reinterpret_cast<__m512i>(b)));
}
/// Sum i is that of a[i].
SIMD_INLINE Ints sum_each(const Ints (&a)[kWidth]) {
    const auto add = [](__m512i x, __m512i y) { return _mm512_add_epi32(x, y); };
    const auto pair = [&](Ints x, Ints y) {
        const __m512i u = reinterpret_cast<__m512i>(x), v = reinterpret_cast<__m512i>(y);
        return add(_mm512_unpacklo_epi32(u, v), _mm512_unpackhi_epi32(u, v));
    };
    __m512i fours[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const __m512i low = pair(a[4 * i], a[4 * i + 1]), high = pair(a[4 * i + 2], a[4 * i + 3]);
        fours[i] = add(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    }
    const auto lanes = [&](__m512i x, __m512i y) {
        return add(_mm512_shuffle_i32x4(x, y, 0x88), _mm512_shuffle_i32x4(x, y, 0xDD));
    };
    return reinterpret_cast<Ints>(lanes(lanes(fours[0], fours[1]), lanes(fours[2], fours[3])));
}
SIMD_INLINE V to_floats(Ints a) { return _mm512_cvtepi32_ps(reinterpret_cast<__m512i>(a)); }
SIMD_INLINE void store_int8(std::int8_t* p, V a, int n) {
    _mm512_mask_cvtepi32_storeu_epi8(p, first_n(n), _mm512_cvtps_epi32(a));
}
#if defined(__AVX512VNNI__)
inline constexpr int kGroup = 4;  // activations that one instruction multiplies
// Added by broadcast_group and add_offset: one side of the instruction is unsigned.
inline constexpr int kInt8Offset = 128;
SIMD_INLINE Bytes load_group(const std::int8_t* weights) { return _mm512_loadu_si512(weights); }
SIMD_INLINE Bytes broadcast_group(const std::int8_t* x) {
    std::int32_t four = 0;
    __builtin_memcpy(&four, x, sizeof four);
    return _mm512_xor_si512(_mm512_set1_epi32(four), _mm512_set1_epi8(-128));
}
SIMD_INLINE Bytes add_offset(Bytes x) { return _mm512_xor_si512(x, _mm512_set1_epi8(-128)); }
SIMD_INLINE Ints dot(Ints sum, Bytes weights, Bytes x) {
    return reinterpret_cast<Ints>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), x, weights));
}
#else
inline constexpr int kGroup = 2;
inline constexpr int kInt8Offset = 0;
SIMD_INLINE Bytes load_group(const std::int8_t* weights) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights)));
}
SIMD_INLINE Bytes broadcast_group(const std::int8_t* x) {
    std::int16_t two = 0;
    __builtin_memcpy(&two, x, sizeof two);
    return _mm512_cvtepi8_epi16(_mm256_set1_epi16(two));
}
SIMD_INLINE Bytes add_offset(Bytes x) { return x; }
SIMD_INLINE Ints dot(Ints sum, Bytes weights, Bytes x) {
    return sum + reinterpret_cast<Ints>(_mm512_madd_epi16(weights, x));
}
#endif

}  // namespace
}  // namespace secousti::core
