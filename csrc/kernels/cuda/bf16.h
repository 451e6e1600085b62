// Host code: bfloat16 for packed weights.
#pragma once

#include <bit>
#include <cstdint>

namespace secousti::core::cuda {

/// To nearest, ties to even; NaN stays NaN.
inline std::uint16_t to_bf16(float x) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t rounded = bits + 0x7FFFU + ((bits >> 16U) & 1U);
    return static_cast<std::uint16_t>((x == x ? rounded : bits | 0x00400000U) >> 16U);
}

}  // namespace secousti::core::cuda
