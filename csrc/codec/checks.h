// Argument checks of step calls: no exceptions, no allocation.
#pragma once

#include <cstddef>
#include <cstdint>

namespace secousti::core {

/// Index of the first NaN or infinity, or `count`.
inline std::size_t first_non_finite(const float* values, std::size_t count) noexcept {
    // The product with zero is NaN exactly for NaN and infinity; blocks keep the common case branch-free.
    constexpr std::size_t kBlock = 256;
    for (std::size_t begin = 0; begin < count; begin += kBlock) {
        const std::size_t end = begin + kBlock < count ? begin + kBlock : count;
        float sum = 0.0F;
        for (std::size_t i = begin; i < end; ++i) sum += values[i] * 0.0F;
        if (sum == 0.0F) continue;
        for (std::size_t i = begin; i < end; ++i) {
            if (!(values[i] * 0.0F == 0.0F)) return i;
        }
    }
    return count;
}

/// Index of the first token outside [0, cardinality), or `count`.
inline std::size_t first_bad_token(const std::int32_t* tokens, std::size_t count, std::int32_t cardinality) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        if (tokens[i] < 0 || tokens[i] >= cardinality) return i;
    }
    return count;
}

}  // namespace secousti::core
