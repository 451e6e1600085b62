// Weights in the layout that a backend's `linear` streams.
#pragma once

#include <cstddef>
#include <span>

#include "base/aligned_vector.h"
#include "kernels/backend.h"

namespace secousti::core {

/// Weights [outputs, inputs] as a backend wants them, at some precision.
class PackedWeights {
  public:
    PackedWeights() = default;
    PackedWeights(const Backend& backend, Precision precision, std::span<const float> weights, int outputs, int inputs)
        : precision_(precision), bytes_(backend.packed_bytes(precision, outputs, inputs)) {
        backend.pack_linear(precision, weights.data(), outputs, inputs, bytes_.data());
    }

    Precision precision() const noexcept { return precision_; }
    const void* data() const noexcept { return bytes_.data(); }

  private:
    Precision precision_ = Precision::fp32;
    AlignedVector<std::byte> bytes_;
};

}  // namespace secousti::core
