// Rows of int8: integers -127..127 times a scale of the row, as kernels/cpu/body_int8.h makes them.
#pragma once

#include "kernels/cuda/simt.cuh"

namespace secousti::core::cuda {

/// The scale of a row whose largest |x| is `top`, and its inverse; `poison` is NaN if it holds NaN or infinity, else 0.
SIMT_DEVICE void int8_range(float top, float poison, float& scale, float& inverse) {
    constexpr float kTiniest = 1e-30F, kLimit = 127.0F;
    scale = poison;
    inverse = 0.0F;
    if (top > kTiniest) {
        scale += top / kLimit;
        inverse = kLimit / top;
    }
}

/// x * inverse rounded, as byte `place` of a word. The limits also make NaN a number; its row's scale carries it on.
SIMT_DEVICE std::uint32_t int8_byte(float x, float inverse, int place) {
    const float q = rintf(fminf(127.0F, fmaxf(-127.0F, x * inverse)));
    return (static_cast<std::uint32_t>(static_cast<std::int32_t>(q)) & 0xFFU) << (8 * place);
}

SIMT_DEVICE float int8_value(std::uint32_t word, int place) {
    return static_cast<float>(static_cast<std::int8_t>(word >> (8 * place)));
}

}  // namespace secousti::core::cuda
