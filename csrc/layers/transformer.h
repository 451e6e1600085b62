// Streaming pre-norm transformer with rotary positions and a windowed key-value ring per layer (spec: arXiv 2508.02849,
// streaming transformer of encoder, decoder, semantic branch and connector).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/aligned_vector.h"
#include "base/arena.h"
#include "kernels/exec.h"
#include "layers/batch.h"
#include "layers/linear.h"
#include "layers/rope.h"

namespace secousti::core {

class WeightMap;

struct TransformerSpec {
    int layers = 0;
    int dimension = 0;
    int head_dim = 0;
    int feedforward = 0;
    int context = 0;  ///< positions that a query sees, itself included
    double rope_base = 0.0;
    Precision precision = Precision::fp32;  ///< of the matrices, keys and values
    int terms = 1;                          ///< of int8 activations in the feed-forward part: see LinearArgs
};

class Transformer {
  public:
    /// Of a stream.
    struct Clock {
        std::uint64_t position;  ///< of the next row
        std::uint64_t start;     ///< of the first one
    };

    Transformer() = default;
    /// Reads `<prefix>.layers.<i>.…`. At most `max_rows` rows a push.
    Transformer(const Backend& backend, const TransformerSpec& spec, const WeightMap& weights,
                const std::string& prefix, int max_rows, ArenaLayout& state, ArenaLayout& scratch);

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
    struct Layer {
        AlignedVector<float> norm1_weight, norm1_bias, norm2_weight, norm2_bias, scale1, scale2;
        Linear in_projection, out_projection, expand, contract;
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
