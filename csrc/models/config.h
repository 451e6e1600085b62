// Every size of a model, read from the JSON in its file's metadata and checked before anything is allocated.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "layers/transformer.h"
#include "layers/weight_map.h"

namespace secousti::core {

enum class VocoderKind { none, spectral, hift };

/// The published HiFT vocoder's sizes (defaults are the published ones).
struct HiftConfig {
    int channels = 512;
    std::vector<int> upsample_rates = {8, 8};
    std::vector<int> upsample_kernels = {16, 16};
    int istft_n_fft = 16;
    int istft_hop = 4;
    std::vector<int> resblock_kernels = {3, 7, 11};
    std::vector<int> resblock_dilations = {1, 3, 5};
    std::vector<int> source_resblock_kernels = {7, 11};
    int harmonics = 9;
    int f0_channels = 512;
    int f0_layers = 5;
    int f0_kernel = 3;
};

struct SpectralConfig {
    int look_ahead = -1;  ///< mel frames, 0..3; -1: the vocoder's own default
    int iterations = -1;  ///< per mel frame; -1: the vocoder's own choice for the look-ahead
};

struct Config {
    std::string name;
    std::string json;  ///< as in the file
    int sample_rate = 0;
    int n_fft = 0;
    int hop_length = 0;
    int n_mels = 0;
    double mel_fmin = 0.0;
    double mel_fmax = 0.0;
    std::array<int, 2> ratios{};  ///< r1, r2 of the decoder's order
    int n_filters = 0;
    int dimension = 0;
    int head_dim = 0;
    int feedforward = 0;
    int context = 0;
    double rope_base = 0.0;
    int acoustic_layers = 0;  ///< 0: no acoustic branch
    int semantic_layers = 0;
    int connector_layers = 0;
    int decoder_layers = 0;
    std::vector<int> fsq_levels;
    int prompt_frames = 0;
    VocoderKind vocoder = VocoderKind::none;
    SpectralConfig spectral;
    HiftConfig hift;
    /// The lowest precision that the transformer which leads to tokens may be kept at: "token_precision" of the file,
    /// int8 without. A model whose tokens change with the rounding of its weights says fp32 (docs/design/precision.md).
    Precision token_precision = Precision::int8;
    /// The fastest precision that was measured to keep this model's quality: "default_precision" of the file, fp32
    /// without. The CPU uses it unless another is asked for.
    Precision default_precision = Precision::fp32;
    /// Precision in memory of the weights that most of the work is with: of the transformers and of HiFT's upsampling
    /// and residual blocks. Not from the file: the model was opened at it.
    Precision precision = Precision::fp32;

    /// Throws Error(invalid_file) that names the key at fault. `file` goes into messages.
    static Config parse(std::string_view json, const std::string& file);

    /// Precision of the decoder's convolutions. What leads to tokens beside the transformers stays fp32: rounding it to
    /// bf16 changes more tokens than int8 transformers do (docs/design/precision.md).
    Precision decoder_convolutions() const noexcept {
        return precision == Precision::fp32 ? Precision::fp32 : Precision::bf16;
    }
    /// Precision of the transformer that leads to tokens.
    Precision semantic_precision() const noexcept { return std::min(precision, token_precision); }
    int frames_per_token() const noexcept { return ratios[0] * ratios[1]; }
    int frame_size() const noexcept { return hop_length * frames_per_token(); }
    int cardinality() const noexcept;
    TransformerSpec acoustic_transformer() const {
        return transformer("encoder_transformer.transformer", acoustic_layers);
    }
    /// The one that leads to tokens. Rounding its feed-forward part's activations to 8 bits is most of what int8 costs
    /// in tokens, so they have two terms.
    TransformerSpec semantic_transformer() const {
        TransformerSpec spec =
            transformer("vae_semantic_transformer.semantic_transformer.transformer", semantic_layers);
        spec.precision = semantic_precision();
        spec.terms = 2;
        return spec;
    }
    TransformerSpec connector_transformer() const {
        return transformer("semantic_connector.semantic_transformer.transformer", connector_layers);
    }
    TransformerSpec decoder_transformer() const {
        return transformer("decoder_transformer.transformer", decoder_layers);
    }

  private:
    TransformerSpec transformer(const char* tensors, int layers) const {
        return {tensors, layers, dimension, head_dim, feedforward, context, rope_base, precision};
    }
};

/// Every tensor that a model of this configuration needs, vocoder included.
std::vector<TensorSpec> required_tensors(const Config& config);

}  // namespace secousti::core
