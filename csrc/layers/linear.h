// A dense layer: packed weights of any precision and an optional bias.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "base/aligned_vector.h"
#include "kernels/exec.h"
#include "layers/conv.h"
#include "layers/packing.h"

namespace secousti::core {

/// Scratch for int8 rows of activations.
struct QuantisedRows {
    std::int8_t* rows = nullptr;  ///< [rows, terms, int8_stride(inputs)]
    float* scales = nullptr;      ///< [rows, terms]
};

class Linear {
  public:
    Linear() = default;
    /// `weight` [outputs, inputs], `bias` [outputs] or empty.
    Linear(const Backend& backend, int inputs, int outputs, std::span<const float> weight, std::span<const float> bias,
           Precision precision = Precision::fp32, std::shared_ptr<WeightBlock> block = nullptr)
        : inputs_(inputs),
          outputs_(outputs),
          weights_(backend, precision, weight, outputs, inputs, std::move(block)),
          bias_(bias.begin(), bias.end()) {}

    /// `weight` [outputs, inputs] as stored; no bias. `terms` of int8 activations: see LinearArgs.
    Linear(const Backend& backend, int inputs, int outputs, StoredWeights weight, Precision precision,
           std::shared_ptr<WeightBlock> block, int terms = 1)
        : inputs_(inputs),
          outputs_(outputs),
          terms_(terms),
          weights_(backend, precision, std::move(weight), outputs, inputs, std::move(block)) {}

    int inputs() const noexcept { return inputs_; }
    int outputs() const noexcept { return outputs_; }

    /// Brings the first of the weights nearer, for a product that comes soon.
    void prefetch() const noexcept { weights_.prefetch(kPrefetchBytes); }

    /// x [rows, inputs] -> y [rows, outputs]; y may be the epilogue's residual, not x. int8 weights need `quantised`.
    void apply(const Exec& exec, const float* x, int rows, float* y, const Epilogue& epilogue = {},
               const QuantisedRows& quantised = {}) const noexcept {
        LinearArgs args;
        args.precision = weights_.precision();
        if (args.precision == Precision::int8) {
            exec->quantise_rows(x, rows, inputs_, terms_, quantised.rows, quantised.scales);
            args.x_int8 = quantised.rows;
            args.x_scales = quantised.scales;
            args.terms = terms_;
        }
        args.x = x;
        args.row_stride = inputs_;
        args.depth = inputs_;
        args.rows = rows;
        args.outputs = outputs_;
        args.weights = weights_.data();
        args.bias = bias_.empty() ? nullptr : bias_.data();
        args.activation = epilogue.activation;
        args.slope = epilogue.slope;
        args.scale = epilogue.scale;
        args.residual = epilogue.residual;
        args.residual_stride = outputs_;
        args.y = y;
        args.y_stride = outputs_;
        exec.linear(args);
    }

  private:
    /// About what arrives while a row is normalised or quantised. The product itself fetches ahead from there on.
    static constexpr std::size_t kPrefetchBytes = 16 << 10;

    int inputs_ = 0;
    int outputs_ = 0;
    int terms_ = 1;
    PackedWeights weights_;
    AlignedVector<float> bias_;
};

}  // namespace secousti::core
