#include "cuda/voice.h"

#include <algorithm>
#include <string>

#include "base/arena.h"
#include "kernels/cuda/voice.h"
#include "layers/conv_matrix.h"
#include "models/paralinguistic.h"

namespace secousti::core::cuda {

namespace {

using Layers = ParalinguisticLayers;

constexpr int kGates = 3 * kGruHidden;
static_assert(kGruHidden == Layers::kHidden, "the kernel has its size at compile time");

/// y [rows, outputs] from windows of `taps` rows of x.
void product(const CudaQueue& queue, const DeviceVoice::Scratch& scratch, const DeviceMatrix& matrix, int taps,
             const float* x, int rows, Activation activation, float* y) {
    const int inputs = matrix.depth() / taps;
    LinearArgs args;
    args.x = x;
    args.row_stride = inputs;
    args.tap_stride = inputs;
    args.taps = taps;
    args.rows_per_slot = rows;
    args.matrix = matrix.view();
    args.epilogue.activation = activation;
    args.operand = scratch.operand.data();
    args.y = y;
    linear(queue, args);
}

}  // namespace

DeviceVoice::DeviceVoice(const CudaQueue& queue, const Config& config, const WeightMap& weights)
    : bands_(config.n_mels), prompt_frames_(config.prompt_frames), dimension_(config.dimension) {
    const Layers layers(config);
    width_ = layers.width;
    for (const Layers::Convolution& conv : layers.convolutions) {
        const int depth = Layers::kKernel * conv.inputs;
        const std::vector<float> matrix =
            conv_matrix(weights.get(conv.weight), conv.outputs, conv.inputs, Layers::kKernel);
        convolutions_.emplace_back(queue, Precision::fp32, matrix, conv.outputs, depth, weights.get(conv.bias));
    }
    const auto linear = [&](const std::string& weight, int outputs, int inputs, const std::string& bias = {}) {
        return DeviceMatrix(queue, Precision::fp32, weights.get(weight), outputs, inputs,
                            bias.empty() ? AlignedVector<float>() : weights.get(bias));
    };
    squeeze_ = linear(layers.squeeze, Layers::kSqueeze, width_);
    excite_ = linear(layers.excite, width_, Layers::kSqueeze);
    gru_input_ = linear(layers.gru_input, kGates, width_, layers.gru_input_bias);
    const AlignedVector<float> hidden = weights.get(layers.gru_hidden);
    std::vector<float> transposed(hidden.size());
    for (std::size_t gate = 0; gate < kGates; ++gate) {
        for (std::size_t i = 0; i < kGruHidden; ++i) transposed[i * kGates + gate] = hidden[gate * kGruHidden + i];
    }
    gru_hidden_ = {queue, transposed, "the voice encoder"};
    gru_hidden_bias_ = {queue, weights.get(layers.gru_hidden_bias), "the voice encoder"};
    mu_ = linear(layers.mu, dimension_, kGruHidden, layers.mu_bias);
}

DeviceVoice::Scratch DeviceVoice::make_scratch(const CudaQueue& queue) const {
    const char* what = "the voice encoder";
    const int width = std::max(bands_, width_);
    Scratch scratch;
    scratch.a = {queue, area(prompt_frames_ + 2, width), what};
    scratch.b = {queue, area(prompt_frames_ + 2, width), what};
    scratch.mean = {queue, static_cast<std::size_t>(width_), what};
    scratch.squeezed = {queue, static_cast<std::size_t>(Layers::kSqueeze), what};
    scratch.gate = {queue, static_cast<std::size_t>(width_), what};
    scratch.gates = {queue, area(prompt_frames_, kGates), what};
    scratch.last = {queue, static_cast<std::size_t>(kGruHidden), what};
    std::size_t operand =
        std::max({squeeze_.operand(1), excite_.operand(1), gru_input_.operand(prompt_frames_), mu_.operand(1)});
    for (const DeviceMatrix& conv : convolutions_) operand = std::max(operand, conv.operand(prompt_frames_));
    scratch.operand = {queue, operand, what};
    return scratch;
}

std::size_t DeviceVoice::weight_bytes() const {
    std::size_t bytes = squeeze_.bytes() + excite_.bytes() + gru_input_.bytes() + mu_.bytes() + gru_hidden_.bytes() +
                        gru_hidden_bias_.bytes();
    for (const DeviceMatrix& conv : convolutions_) bytes += conv.bytes();
    return bytes;
}

void DeviceVoice::encode(const CudaQueue& queue, const Scratch& scratch, const float* mel, std::size_t frames,
                         float* g) const {
    // The middle of the clip.
    const std::size_t prompt = static_cast<std::size_t>(prompt_frames_);
    const std::size_t first = frames > prompt ? (frames - prompt) / 2 : 0;
    const int rows = static_cast<int>(std::min(frames, prompt));
    // Rows 1 ... rows of a buffer are a layer's; those beside them are zeros.
    const auto pad = [&](float* x, int width) {
        const std::size_t bytes = static_cast<std::size_t>(width) * sizeof(float);
        queue.fill(x, 0, bytes);
        queue.fill(x + area(rows + 1, width), 0, bytes);
    };
    float* x = scratch.a.data();
    float* y = scratch.b.data();
    pad(x, bands_);
    queue.copy_on_device(x + bands_, mel + first * static_cast<std::size_t>(bands_),
                         area(rows, bands_) * sizeof(float));
    for (const DeviceMatrix& conv : convolutions_) {
        pad(y, conv.outputs());
        product(queue, scratch, conv, Layers::kKernel, x, rows, Activation::relu, y + conv.outputs());
        std::swap(x, y);
    }
    float* top = x + width_;
    mean_rows(queue, top, 1, rows, width_, nullptr, scratch.mean.data());
    product(queue, scratch, squeeze_, 1, scratch.mean.data(), 1, Activation::relu, scratch.squeezed.data());
    product(queue, scratch, excite_, 1, scratch.squeezed.data(), 1, Activation::none, scratch.gate.data());
    excite(queue, {top, scratch.gate.data(), rows, width_});
    product(queue, scratch, gru_input_, 1, top, rows, Activation::none, scratch.gates.data());
    gru(queue, {scratch.gates.data(), rows, gru_hidden_.data(), gru_hidden_bias_.data(), scratch.last.data()});
    product(queue, scratch, mu_, 1, scratch.last.data(), 1, Activation::none, g);
}

}  // namespace secousti::core::cuda
