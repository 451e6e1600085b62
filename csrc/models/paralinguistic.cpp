#include "models/paralinguistic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace secousti::core {

namespace {

constexpr std::array<int, 6> kWidths{32, 32, 64, 64, 128, 128};
constexpr int kGates = 3 * ParalinguisticLayers::kHidden;

float sigmoid(float x) { return 1.0F / (1.0F + std::exp(-x)); }

}  // namespace

ParalinguisticLayers::ParalinguisticLayers(const Config& config) : dimension(config.dimension) {
    const std::string root = "paralinguistic_encoder.";
    width = config.n_mels;
    for (const int outputs : kWidths) {
        const std::string name = root + "conv_" + std::to_string(convolutions.size() + 1);
        convolutions.push_back({name + ".weight", name + ".bias", width, outputs});
        width = outputs;
    }
    squeeze = root + "senet.fc.0.weight";
    excite = root + "senet.fc.2.weight";
    gru_input = root + "gru.weight_ih_l0";
    gru_input_bias = root + "gru.bias_ih_l0";
    gru_hidden = root + "gru.weight_hh_l0";
    gru_hidden_bias = root + "gru.bias_hh_l0";
    mu = root + "dense_mu.weight";
    mu_bias = root + "dense_mu.bias";
}

ParalinguisticEncoder::ParalinguisticEncoder(const Backend& backend, const Config& config, const WeightMap& weights)
    : n_mels_(config.n_mels), prompt_frames_(config.prompt_frames) {
    const ParalinguisticLayers layers(config);
    width_ = layers.width;
    ArenaLayout conv_state;
    for (const ParalinguisticLayers::Convolution& conv : layers.convolutions) {
        convs_.emplace_back(backend, ConvSpec::same(conv.inputs, conv.outputs, layers.kKernel),
                            weights.get(conv.weight), weights.get(conv.bias), prompt_frames_, conv_state);
    }
    const AlignedVector<float> none;
    squeeze_ = {backend, width_, layers.kSqueeze, weights.get(layers.squeeze), none};
    excite_ = {backend, layers.kSqueeze, width_, weights.get(layers.excite), none};
    gru_input_ = {backend, width_, kGates, weights.get(layers.gru_input), weights.get(layers.gru_input_bias)};
    gru_hidden_ = {backend, layers.kHidden, kGates, weights.get(layers.gru_hidden),
                   weights.get(layers.gru_hidden_bias)};
    mu_ = {backend, layers.kHidden, layers.dimension, weights.get(layers.mu), weights.get(layers.mu_bias)};

    const std::size_t layer = area(prompt_frames_ + 1, std::max(n_mels_, width_));
    const std::size_t width = static_cast<std::size_t>(width_), hidden = layers.kHidden;
    conv_state_ = scratch_.reserve<std::byte>(conv_state.bytes());
    std::size_t window = 0;
    for (const Conv& conv : convs_) window = std::max(window, conv.window_floats());
    window_ = scratch_.reserve<float>(window);
    a_ = scratch_.reserve<float>(layer);
    b_ = scratch_.reserve<float>(layer);
    mean_ = scratch_.reserve<float>(width);
    squeezed_ = scratch_.reserve<float>(layers.kSqueeze);
    gate_ = scratch_.reserve<float>(width);
    from_input_ = scratch_.reserve<float>(area(prompt_frames_, kGates));
    from_hidden_ = scratch_.reserve<float>(3 * hidden);
    h_ = scratch_.reserve<float>(hidden);
}

void ParalinguisticEncoder::encode(const Exec& exec, std::byte* scratch, const float* mel, std::size_t frames,
                                   float* g) const noexcept {
    // The middle of the clip. (The published code keeps only a few frames of a clip shorter than the prompt.)
    const std::size_t prompt = static_cast<std::size_t>(prompt_frames_);
    const std::size_t first = frames > prompt ? (frames - prompt) / 2 : 0;
    const int rows = static_cast<int>(std::min(frames, prompt));
    const std::size_t length = static_cast<std::size_t>(rows), width = static_cast<std::size_t>(width_);

    std::byte* state = conv_state_.in(scratch);
    std::fill_n(state, conv_state_.count, std::byte{0});
    const float* in = mel + first * static_cast<std::size_t>(n_mels_);
    float *x = a_.in(scratch), *y = b_.in(scratch), *window = window_.in(scratch);
    for (const Conv& conv : convs_) {
        const int count = conv.push(exec, state, window, in, rows, x, {}, {.activation = Activation::relu});
        conv.finish(exec, state, window, x + area(count, conv.spec().outputs), {.activation = Activation::relu});
        in = x;
        std::swap(x, y);
    }
    x = y;  // the last layer's

    float *mean = mean_.in(scratch), *squeezed = squeezed_.in(scratch), *gate = gate_.in(scratch);
    for (std::size_t c = 0; c < width; ++c) {
        double sum = 0.0;
        for (std::size_t t = 0; t < length; ++t) sum += static_cast<double>(x[t * width + c]);
        mean[c] = static_cast<float>(sum / static_cast<double>(length));
    }
    squeeze_.apply(exec, mean, 1, squeezed, {.activation = Activation::relu});
    excite_.apply(exec, squeezed, 1, gate);
    for (std::size_t c = 0; c < width; ++c) gate[c] = 1.0F + sigmoid(gate[c]);  // x * gate + x
    for (std::size_t t = 0; t < length; ++t) {
        for (std::size_t c = 0; c < width; ++c) x[t * width + c] *= gate[c];
    }

    constexpr std::size_t hidden = ParalinguisticLayers::kHidden;
    float *from_input = from_input_.in(scratch), *from_hidden = from_hidden_.in(scratch), *h = h_.in(scratch);
    gru_input_.apply(exec, x, rows, from_input);
    std::fill_n(h, hidden, 0.0F);
    for (std::size_t t = 0; t < length; ++t) {
        const float* now = from_input + t * 3 * hidden;
        gru_hidden_.apply(exec, h, 1, from_hidden);
        for (std::size_t i = 0; i < hidden; ++i) {
            const float reset = sigmoid(now[i] + from_hidden[i]);
            const float update = sigmoid(now[hidden + i] + from_hidden[hidden + i]);
            const float candidate = std::tanh(now[2 * hidden + i] + reset * from_hidden[2 * hidden + i]);
            h[i] = (1.0F - update) * candidate + update * h[i];
        }
    }
    mu_.apply(exec, h, 1, g);
}

std::vector<float> ParalinguisticEncoder::encode(const Exec& exec, const float* mel, std::size_t frames) const {
    Arena scratch(scratch_bytes());
    std::vector<float> g(static_cast<std::size_t>(mu_.outputs()));
    encode(exec, scratch.data(), mel, frames, g.data());
    return g;
}

void append_paralinguistic_tensors(const Config& config, std::vector<TensorSpec>& tensors) {
    const ParalinguisticLayers layers(config);
    for (const ParalinguisticLayers::Convolution& conv : layers.convolutions) {
        tensors.push_back({conv.weight, {conv.outputs, conv.inputs, layers.kKernel}});
        tensors.push_back({conv.bias, {conv.outputs}});
    }
    tensors.push_back({layers.squeeze, {layers.kSqueeze, layers.width}});
    tensors.push_back({layers.excite, {layers.width, layers.kSqueeze}});
    tensors.push_back({layers.gru_input, {kGates, layers.width}});
    tensors.push_back({layers.gru_hidden, {kGates, layers.kHidden}});
    tensors.push_back({layers.gru_input_bias, {kGates}});
    tensors.push_back({layers.gru_hidden_bias, {kGates}});
    tensors.push_back({layers.mu, {layers.dimension, layers.kHidden}});
    tensors.push_back({layers.mu_bias, {layers.dimension}});
}

}  // namespace secousti::core
