// Streams that step together: one pass over a layer's weights serves the rows of all.
#pragma once

#include <cstddef>
#include <span>

namespace secousti::core {

/// One stream of a step: its state, and how many rows of the step's array are its own.
struct Lane {
    std::byte* state = nullptr;
    int rows = 0;
};

/// The lanes' rows lie one lane after the other in the arrays of a step. What a lane gets depends on its own rows and
/// state alone, bit for bit (the rule of kernels/backend.h).
struct Batch {
    std::span<Lane> lanes;
    float* windows = nullptr;  ///< scratch for the windows of one convolution (Conv::gathered); one lane needs none
    float* window = nullptr;   ///< scratch for one lane's window of it (Conv::window_floats)

    int rows() const noexcept {
        int total = 0;
        for (const Lane& lane : lanes) total += lane.rows;
        return total;
    }
};

}  // namespace secousti::core
