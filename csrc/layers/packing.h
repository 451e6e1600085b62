// Weights in the layout that a backend's `linear` streams.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "base/aligned_vector.h"
#include "kernels/backend.h"

namespace secousti::core {

/// Memory for the matrices of one stack, in the order in which a step reads them: together they fill huge pages, which
/// a matrix alone may be too small for, and a kernel that fetches ahead at its end fetches the next matrix.
class WeightBlock {
  public:
    explicit WeightBlock(std::size_t bytes) : bytes_(bytes) {}

    static std::size_t padded(std::size_t bytes) noexcept {
        return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
    }
    /// The next padded(bytes), which the block was made large enough for.
    std::byte* take(std::size_t bytes) noexcept { return bytes_.data() + std::exchange(used_, used_ + padded(bytes)); }

  private:
    AlignedVector<std::byte> bytes_;
    std::size_t used_ = 0;
};

/// Weights [outputs, inputs] as a backend wants them, at some precision; in a block of their own if none is given.
class PackedWeights {
  public:
    PackedWeights() = default;
    PackedWeights(const Backend& backend, Precision precision, std::span<const float> weights, int outputs, int inputs,
                  std::shared_ptr<WeightBlock> block = nullptr)
        : precision_(precision), block_(std::move(block)) {
        const std::size_t bytes = backend.packed_bytes(precision, outputs, inputs);
        if (block_ == nullptr) block_ = std::make_shared<WeightBlock>(bytes);
        data_ = block_->take(bytes);
        backend.pack_linear(precision, weights.data(), outputs, inputs, data_);
    }

    /// For products of narrow rows (NarrowArgs): weights [outputs, taps, depth], bf16 or int8.
    static PackedWeights narrow(const Backend& backend, Precision precision, std::span<const float> weights,
                                int outputs, int taps, int depth) {
        PackedWeights packed;
        packed.precision_ = precision;
        packed.block_ = std::make_shared<WeightBlock>(backend.packed_narrow_bytes(precision, outputs, taps, depth));
        packed.data_ = packed.block_->take(0);
        backend.pack_narrow(precision, weights.data(), outputs, taps, depth, packed.data_);
        return packed;
    }

    Precision precision() const noexcept { return precision_; }
    const void* data() const noexcept { return data_; }

  private:
    Precision precision_ = Precision::fp32;
    std::shared_ptr<WeightBlock> block_;
    std::byte* data_ = nullptr;
};

}  // namespace secousti::core
