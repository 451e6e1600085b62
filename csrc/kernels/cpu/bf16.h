// Bfloat16 in memory: rounding to it, loads that widen it as if it were float, products of pairs. Included after a
// simd_<isa>.h.
#pragma once

namespace secousti::core {
namespace {

/// To nearest, ties to even; NaN stays NaN.
SIMD_INLINE std::uint16_t to_bf16(float x) {
    const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t rounded = bits + 0x7FFFU + ((bits >> 16U) & 1U);
    return static_cast<std::uint16_t>((x == x ? rounded : bits | 0x00400000U) >> 16U);
}

SIMD_INLINE V load(const std::uint16_t* p) { return load_bf16(p); }
SIMD_INLINE V load_n(const std::uint16_t* p, int n) {
    std::uint16_t lanes[kWidth] = {};
    for (int i = 0; i < n && i < kWidth; ++i) lanes[i] = p[i];
    return load_bf16(lanes);
}

#if !defined(__AVX512F__)
SIMD_INLINE void store_bf16(std::uint16_t* p, V a, int n) {
    float lanes[kWidth];
    store(lanes, a);
    for (int i = 0; i < n && i < kWidth; ++i) p[i] = to_bf16(lanes[i]);
}
#endif

#if !defined(__AVX512BF16__)
/// Pairs of bfloat16 widened: two registers where the instruction has one, so half as many rows fit a tile.
struct Pairs {
    V first, second;
};
inline constexpr int kPairRows = (kTileRows + 1) / 2;
SIMD_INLINE Pairs load_pairs(const std::uint16_t* p) {
    Pairs pairs;
    load_bf16_pairs(p, pairs.first, pairs.second);
    return pairs;
}
SIMD_INLINE Pairs broadcast_pair(const std::byte* p) {
    std::uint32_t two = 0;
    __builtin_memcpy(&two, p, sizeof two);
    return {set1(__builtin_bit_cast(float, two << 16U)), set1(__builtin_bit_cast(float, two & 0xFFFF0000U))};
}
SIMD_INLINE V dot(V sum, const Pairs& a, const Pairs& b) { return fma(a.first, b.first, fma(a.second, b.second, sum)); }
#endif

}  // namespace
}  // namespace secousti::core
