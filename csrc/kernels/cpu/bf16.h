// Bfloat16 in memory: rounding to it, and loads that widen it as if it were float. Included after a simd_<isa>.h.
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

}  // namespace
}  // namespace secousti::core
