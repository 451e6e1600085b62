// Streaming pre-norm transformer with rotary positions and a windowed key-value ring per layer (spec: arXiv 2508.02849,
// streaming transformer of encoder, decoder, semantic branch and connector).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/aligned_vector.h"
#include "base/arena.h"
#include "kernels/exec.h"
#include "layers/batch.h"
#include "layers/linear.h"
#include "layers/rope.h"
#include "layers/weight_map.h"

namespace secousti::core {

struct TransformerSpec {
    std::string name;  ///< of its tensors in a model file: "<name>.layers.<i>.…"
    int layers = 0;
    int dimension = 0;
    int head_dim = 0;
    int feedforward = 0;
    int context = 0;  ///< positions that a query sees, itself included
    double rope_base = 0.0;
    Precision precision = Precision::fp32;  ///< of the matrices, keys and values
    int terms = 1;                          ///< of int8 activations in the feed-forward part: see LinearArgs
};

/// The parts of a layer, each as whoever has them keeps it.
template <class Vector, class Matrix>
struct TransformerParts {
    Vector norm1_weight, norm1_bias, norm2_weight, norm2_bias, scale1, scale2;
    Matrix in_projection, out_projection, expand, contract;

    std::array<const Vector*, 6> vectors() const noexcept {
        return {&norm1_weight, &norm1_bias, &norm2_weight, &norm2_bias, &scale1, &scale2};
    }
    /// In the order in which a step reads them.
    std::array<const Matrix*, 4> matrices() const noexcept {
        return {&in_projection, &out_projection, &expand, &contract};
    }
};
struct TransformerMatrix {
    std::string name;
    int outputs = 0;
    int inputs = 0;
    int terms = 1;  ///< of int8 activations
};
/// A layer's tensors in a model file: what the CPU's layers and a device's are made from.
using TransformerTensors = TransformerParts<std::string, TransformerMatrix>;
TransformerTensors transformer_tensors(const TransformerSpec& spec, int layer);
/// Makes the parts of a layer, one after the other.
template <class MakeVector, class MakeMatrix>
auto make_parts(const TransformerTensors& of, const MakeVector& vector, const MakeMatrix& matrix) {
    return TransformerParts<decltype(vector(of.scale1)), decltype(matrix(of.expand))>{
        vector(of.norm1_weight), vector(of.norm1_bias), vector(of.norm2_weight),  vector(of.norm2_bias),
        vector(of.scale1),       vector(of.scale2),     matrix(of.in_projection), matrix(of.out_projection),
        matrix(of.expand),       matrix(of.contract)};
}
/// Names and shapes of all layers' tensors.
void append_transformer_tensors(const TransformerSpec& spec, std::vector<TensorSpec>& tensors);

class Transformer {
  public:
    /// Where a stream is.
    struct Clock {
        std::uint64_t position;  ///< of the next row
        std::uint64_t start;     ///< of the first one
    };

    Transformer() = default;
    /// At most `max_rows` rows a push.
    Transformer(const Backend& backend, const TransformerSpec& spec, const WeightMap& weights, int max_rows,
                ArenaLayout& state, ArenaLayout& scratch);

    /// x [batch.rows(), dimension], updated in place; a lane's rows are consecutive positions.
    void push(const Exec& exec, const Batch& batch, std::byte* scratch, float* x) const noexcept;
    /// One stream alone.
    void push(const Exec& exec, std::byte* state, std::byte* scratch, float* x, int rows) const noexcept {
        Lane lane{state, rows};
        push(exec, Batch{{&lane, 1}}, scratch, x);
    }

    /// Makes `position` the stream's first (a reset stream starts at 0).
    void seek(std::byte* state, std::uint64_t position) const noexcept;

    /// Where a stream's state lies, which a device takes from there and back; rings are [heads, context, head_dim].
    const TransformerSpec& spec() const noexcept { return spec_; }
    const Slice<Clock>& clock() const noexcept { return clock_; }
    const Slice<std::byte>& keys(std::size_t layer) const noexcept { return layers_[layer].keys; }
    const Slice<std::byte>& values(std::size_t layer) const noexcept { return layers_[layer].values; }
    /// [heads, context]; empty unless keys and values are int8
    const Slice<float>& key_scales(std::size_t layer) const noexcept { return layers_[layer].key_scales; }
    const Slice<float>& value_scales(std::size_t layer) const noexcept { return layers_[layer].value_scales; }

  private:
    struct Layer : TransformerParts<AlignedVector<float>, Linear> {
        Slice<std::byte> keys, values;
        Slice<float> key_scales, value_scales;
    };

    void attend(const Exec& exec, const Batch& batch, std::byte* scratch, const Layer& layer, int rows) const noexcept;
    std::size_t scores_stride() const noexcept { return static_cast<std::size_t>(spec_.context + 63) / 64 * 64; }

    TransformerSpec spec_;
    RotaryTable rotary_;
    std::vector<Layer> layers_;
    Slice<Clock> clock_;
    Slice<float> normed_, qkv_, attended_, hidden_, scores_, cos_, sin_;
    Slice<std::int8_t> quantised_;
    Slice<float> quantised_scales_;
};

}  // namespace secousti::core
