// Weights in the layout that a backend's `linear` streams.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "base/aligned_vector.h"
#include "kernels/backend.h"
#include "layers/weight_map.h"

namespace secousti::core {

/// Memory for the matrices of one stack, in the order in which a step reads them: together they fill huge pages, which
/// a matrix alone may be too small for, and a kernel that fetches ahead at its end fetches the next matrix.
class WeightBlock {
  public:
    explicit WeightBlock(std::size_t bytes) : bytes_(bytes), data_(static_cast<std::byte*>(allocate_aligned(bytes))) {}
    ~WeightBlock() { free_aligned(data_, bytes_); }
    WeightBlock(const WeightBlock&) = delete;
    WeightBlock& operator=(const WeightBlock&) = delete;

    static std::size_t padded(std::size_t bytes) noexcept {
        return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
    }
    /// The next padded(bytes), which the block was made large enough for.
    std::byte* take(std::size_t bytes) noexcept { return data_ + std::exchange(used_, used_ + padded(bytes)); }

  private:
    std::size_t bytes_;
    std::size_t used_ = 0;
    std::byte* data_;  ///< not cleared: packing writes every byte that is read
};

/// Weights [outputs, inputs] as a backend wants them, at some precision; in a block of their own if none is given.
class PackedWeights {
  public:
    PackedWeights() = default;
    PackedWeights(const Backend& backend, Precision precision, std::span<const float> weights, int outputs, int inputs,
                  std::shared_ptr<WeightBlock> block = nullptr)
        : PackedWeights(precision, backend.packed_bytes(precision, outputs, inputs), std::move(block)) {
        backend.pack_linear(precision, weights.data(), outputs, inputs, data_);
    }

    /// The same from weights that may be stored quantised, which int8 takes over as they are.
    PackedWeights(const Backend& backend, Precision precision, StoredWeights weights, int outputs, int inputs,
                  std::shared_ptr<WeightBlock> block = nullptr)
        : PackedWeights(precision, backend.packed_bytes(precision, outputs, inputs), std::move(block)) {
        if (precision == Precision::int8 && weights.count != 0) {
            backend.pack_integers(weights.integers.get(), weights.scales.data(), outputs, inputs, data_);
        } else {
            backend.pack_linear(precision, std::move(weights).widened().data(), outputs, inputs, data_);
        }
    }

    /// For products of narrow rows (NarrowArgs): weights [outputs, taps, depth], bf16 or int8.
    static PackedWeights narrow(const Backend& backend, Precision precision, std::span<const float> weights,
                                int outputs, int taps, int depth, std::shared_ptr<WeightBlock> block = nullptr) {
        PackedWeights packed(precision, backend.packed_narrow_bytes(precision, outputs, taps, depth), std::move(block));
        backend.pack_narrow(precision, weights.data(), outputs, taps, depth, packed.data_);
        return packed;
    }

    Precision precision() const noexcept { return precision_; }
    const void* data() const noexcept { return data_; }
    /// Brings the first `bytes` into the second cache; more than there are do no harm.
    void prefetch(std::size_t bytes) const noexcept {
#if defined(__GNUC__)
        for (std::size_t line = 0; line < bytes; line += kArenaAlignment) __builtin_prefetch(data_ + line, 0, 2);
#else
        static_cast<void>(bytes);
#endif
    }

  private:
    PackedWeights(Precision precision, std::size_t bytes, std::shared_ptr<WeightBlock> block)
        : precision_(precision),
          block_(block != nullptr ? std::move(block) : std::make_shared<WeightBlock>(bytes)),
          data_(block_->take(bytes)) {}

    Precision precision_ = Precision::fp32;
    std::shared_ptr<WeightBlock> block_;
    std::byte* data_ = nullptr;
};

}  // namespace secousti::core
