// Paralinguistic encoder: a log-mel prompt to the voice vector G (spec section 5). Offline by nature: squeeze
// and excitation averages over the whole prompt.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/arena.h"
#include "kernels/exec.h"
#include "layers/conv.h"
#include "layers/linear.h"
#include "layers/weight_map.h"
#include "models/config.h"

namespace secousti::core {

/// Its layers, from which a device's (cuda/voice.h) are built too.
struct ParalinguisticLayers {
    static constexpr int kKernel = 3;   ///< of the convolutions, each of which is followed by a ReLU
    static constexpr int kSqueeze = 8;  ///< between squeeze (ReLU) and excitation
    static constexpr int kHidden = 64;  ///< of the recurrent layer, whose gates are in torch's order
    struct Convolution {
        std::string weight, bias;
        int inputs, outputs;
    };

    explicit ParalinguisticLayers(const Config& config);

    std::vector<Convolution> convolutions;
    int width = 0;      ///< of what the last convolution gives
    int dimension = 0;  ///< of G
    /// Tensors of linear layers: squeeze and excitation of channels (no biases), what the recurrent layer makes of its
    /// input and of its last state (three gates each), and G.
    std::string squeeze, excite, gru_input, gru_input_bias, gru_hidden, gru_hidden_bias, mu, mu_bias;
};

class ParalinguisticEncoder {
  public:
    ParalinguisticEncoder(const Backend& backend, const Config& config, const WeightMap& weights);

    /// Bytes of the memory that `encode` works in; what it holds before and after does not matter.
    std::size_t scratch_bytes() const noexcept { return scratch_.bytes(); }
    /// g [dimension] of the middle prompt_frames frames of mel [frames, n_mels], or of all when there are fewer.
    /// `frames` >= 1.
    void encode(const Exec& exec, std::byte* scratch, const float* mel, std::size_t frames, float* g) const noexcept;
    /// The same in memory of its own.
    std::vector<float> encode(const Exec& exec, const float* mel, std::size_t frames) const;

  private:
    int n_mels_ = 0, prompt_frames_ = 0, width_ = 0;
    std::vector<Conv> convs_;
    Linear squeeze_, excite_, gru_input_, gru_hidden_, mu_;
    ArenaLayout scratch_;
    Slice<std::byte> conv_state_;
    Slice<float> window_;  ///< of the layer that runs
    Slice<float> a_, b_;   ///< [prompt_frames + 1, widest layer]: a layer reads one and writes the other
    Slice<float> mean_, squeezed_, gate_, from_input_, from_hidden_, h_;
};

void append_paralinguistic_tensors(const Config& config, std::vector<TensorSpec>& tensors);

}  // namespace secousti::core
