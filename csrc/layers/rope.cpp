#include "layers/rope.h"

#include <cmath>
#include <cstddef>
#include <numbers>

namespace secousti::core {

RotaryTable::RotaryTable(int head_dim, double base) {
    constexpr long double kTurn = 2.0L * std::numbers::pi_v<long double>;
    for (int i = 0; i < head_dim / 2; ++i) {
        const long double angle = std::pow(static_cast<long double>(base), -2.0L * i / head_dim);
        turns_per_frame_.push_back(static_cast<std::uint64_t>(std::ldexp(angle / kTurn, 64)));
    }
}

void RotaryTable::fill(std::uint64_t position, int rows, float* cosine, float* sine) const noexcept {
    for (int r = 0; r < rows; ++r) {
        for (const std::uint64_t frequency : turns_per_frame_) {
            const std::uint64_t turns = (position + static_cast<std::uint64_t>(r)) * frequency;
            // As a signed fraction in [-1/2, 1/2) turns, so that small angles keep their precision.
            const double fraction = std::ldexp(static_cast<double>(static_cast<std::int64_t>(turns)), -64);
            const double angle = fraction * (2.0 * std::numbers::pi);
            *cosine++ = static_cast<float>(std::cos(angle));
            *sine++ = static_cast<float>(std::sin(angle));
        }
    }
}

}  // namespace secousti::core
