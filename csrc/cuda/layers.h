// Convolutions and transformers on the device: weights, shared by every group, apart from the state of a group's slots.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cuda/arrays.h"
#include "layers/transformer.h"
#include "layers/weight_map.h"

namespace secousti::core::cuda {

/// What all launches of one step share.
struct Step {
    const CudaQueue& queue;
    Clock clock;
    int tokens = 1;           ///< of every slot
    void* operand = nullptr;  ///< scratch of the matrix products

    int rows() const noexcept { return clock.slots * tokens; }
};

/// A causal convolution between time-major rows; its ring of past rows is the group's.
class DeviceConv {
  public:
    struct Shape {
        int inputs = 0;
        int outputs = 0;
        int kernel = 1;
        int stride = 1;
        int rows_per_token = 1;  ///< input rows
        Activation pre = Activation::none;
    };

    DeviceConv() = default;
    /// Reads `<name>.weight` [outputs, inputs, kernel] and `<name>.bias`.
    DeviceConv(const CudaQueue& queue, const Shape& shape, const WeightMap& weights, const std::string& name,
               Precision precision);
    /// ConvTranspose1d with kernel 2*stride, `<name>.weight` [inputs, outputs, 2*stride]: a row of inputs gives
    /// `stride` rows of outputs.
    static DeviceConv transposed(const CudaQueue& queue, int inputs, int outputs, int stride, int rows_per_token,
                                 const WeightMap& weights, const std::string& name, Precision precision);

    const Shape& shape() const noexcept { return shape_; }
    const DeviceMatrix& matrix() const noexcept { return matrix_; }
    int rows_out(int tokens) const noexcept { return tokens * shape_.rows_per_token / shape_.stride; }
    int ring_rows(int max_tokens) const noexcept {
        return conv_ring_rows(shape_.kernel, shape_.stride, 1, max_tokens * shape_.rows_per_token);
    }
    /// Input rows that a later step still reads.
    int history() const noexcept { return shape_.kernel - shape_.stride; }

    /// x [slots, tokens*rows_per_token, inputs] -> y [slots, rows_out, outputs]. `valid` as in ConvArgs.
    void apply(const Step& step, const DeviceArray<float>& ring, const float* x, float* y,
               const float* residual = nullptr, const std::int32_t* valid = nullptr, int valid_ratio = 1) const;

  private:
    Shape shape_;
    DeviceMatrix matrix_;
};

/// The stack of a streaming transformer.
class DeviceTransformer {
  public:
    /// Keys and values of every layer, [slots, heads, ring_rows, head_dim] each.
    struct State {
        int ring_rows = 0;
        std::vector<DeviceArray<std::byte>> keys, values;
        std::vector<DeviceArray<float>> key_scales, value_scales;  ///< [slots, heads, ring_rows]; empty unless int8

        std::size_t bytes() const noexcept;
        /// A view of one of the slots.
        State part(std::size_t slot, std::size_t slots) const;
    };
    /// Rows of one step between the layers' parts.
    struct Scratch {
        DeviceArray<float> qkv, attended, hidden, cosine, sine;
    };

    DeviceTransformer(const CudaQueue& queue, const TransformerSpec& spec, const WeightMap& weights);

    State make_state(const CudaQueue& queue, int slots, int max_tokens) const;
    Scratch make_scratch(const CudaQueue& queue, int rows) const;
    std::size_t operand(int rows) const;
    std::size_t weight_bytes() const;
    const TransformerSpec& spec() const noexcept { return spec_; }

    /// x [slots*tokens, dimension] in place.
    void apply(const Step& step, const State& state, const Scratch& scratch, float* x) const;

  private:
    using Layer = TransformerParts<DeviceArray<float>, DeviceMatrix>;

    TransformerSpec spec_;
    DeviceArray<std::uint64_t> turns_per_frame_;
    std::vector<Layer> layers_;
};

}  // namespace secousti::core::cuda
