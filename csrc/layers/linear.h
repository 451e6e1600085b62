// A dense layer: packed weights and an optional bias.
#pragma once

#include <span>

#include "base/aligned_vector.h"
#include "kernels/exec.h"
#include "layers/conv.h"
#include "layers/packing.h"

namespace secousti::core {

class Linear {
  public:
    Linear() = default;
    /// `weight` [outputs, inputs], `bias` [outputs] or empty.
    Linear(const Backend& backend, int inputs, int outputs, std::span<const float> weight, std::span<const float> bias)
        : inputs_(inputs),
          outputs_(outputs),
          weights_(pack_weights(backend, weight, outputs, inputs)),
          bias_(bias.begin(), bias.end()) {}

    int inputs() const noexcept { return inputs_; }
    int outputs() const noexcept { return outputs_; }

    /// x [rows, inputs] -> y [rows, outputs]; y may be the epilogue's residual, not x.
    void apply(const Exec& exec, const float* x, int rows, float* y, const Epilogue& epilogue = {}) const noexcept {
        LinearArgs args;
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
    int inputs_ = 0;
    int outputs_ = 0;
    AlignedVector<float> weights_;
    AlignedVector<float> bias_;
};

}  // namespace secousti::core
