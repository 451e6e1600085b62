// Weights in the layout that a backend's `linear` streams.
#pragma once

#include <span>

#include "base/aligned_vector.h"
#include "kernels/backend.h"

namespace secousti::core {

/// Packs [outputs, inputs] row-major weights.
inline AlignedVector<float> pack_weights(const Backend& backend, std::span<const float> weights, int outputs,
                                         int inputs) {
    const std::size_t panels = static_cast<std::size_t>((outputs + backend.panel - 1) / backend.panel);
    AlignedVector<float> packed(panels * static_cast<std::size_t>(backend.panel) * static_cast<std::size_t>(inputs));
    backend.pack_linear(weights.data(), outputs, inputs, packed.data());
    return packed;
}

}  // namespace secousti::core
