// IEEE half precision in memory: rounding to it, loads that widen it as if it were float. Included after a
// simd_<isa>.h.
#pragma once

namespace secousti::core {
namespace {

/// A type of its own: 16-bit integers are bfloat16.
struct Half {
    std::uint16_t bits;
};

/// To nearest, ties to even; what is too large becomes infinite, NaN stays NaN.
SIMD_INLINE Half to_half(float x) {
    const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
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
    return {static_cast<std::uint16_t>(sign | half)};
}

SIMD_INLINE V load(const Half* p) { return load_half(&p->bits); }

}  // namespace
}  // namespace secousti::core
