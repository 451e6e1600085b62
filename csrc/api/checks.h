// Argument checks of step calls: no exceptions, no allocation.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace secousti::core {

/// Largest magnitude of a sample that the front end takes: far beyond the nominal 1, far from overflow in the spectrum.
inline constexpr float kMaxSample = 1e6F;

/// Index of the first value that is NaN or larger in magnitude than `limit`, or `count`.
inline std::size_t first_outside(const float* values, std::size_t count, float limit) noexcept {
    // Blocks keep the common case free of branches.
    constexpr std::size_t kBlock = 256;
    for (std::size_t begin = 0; begin < count; begin += kBlock) {
        const std::size_t end = begin + kBlock < count ? begin + kBlock : count;
        int outside = 0;
        for (std::size_t i = begin; i < end; ++i) outside |= !(std::fabs(values[i]) <= limit);
        if (outside == 0) continue;
        for (std::size_t i = begin; i < end; ++i) {
            if (!(std::fabs(values[i]) <= limit)) return i;
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
