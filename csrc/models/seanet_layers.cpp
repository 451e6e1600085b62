#include "models/seanet_layers.h"

#include <utility>

namespace secousti::core {

namespace {

constexpr int kFirstKernel = 7;
constexpr int kLastKernel = 3;
constexpr int kResidualKernel = 3;

/// Adds layer after layer, each of which reads what the one before it writes.
class Chain {
  public:
    Chain(std::string prefix, int width, int rows_per_token, Precision precision)
        : prefix_(std::move(prefix)), width_(width), rows_(rows_per_token), precision_(precision) {}

    Chain& plain(const char* module, int outputs, int kernel) {
        return add(SeanetRole::plain, std::string(module) + ".conv.conv", outputs, kernel);
    }
    Chain& down(const char* module, int ratio) {
        return add(SeanetRole::down, std::string(module) + ".conv.conv", 2 * width_, 2 * ratio, ratio);
    }
    Chain& up(const char* module, int ratio) {
        return add(SeanetRole::up, std::string(module) + ".convtr.convtr", width_ / 2, 2 * ratio, ratio);
    }
    /// x + conv1x1(ELU(conv3(ELU(x)))), half as wide inside.
    Chain& residual(const char* module) {
        const std::string block = std::string(module) + ".block.";
        const int width = width_;
        add(SeanetRole::narrow, block + "1.conv.conv", width / 2, kResidualKernel);
        return add(SeanetRole::widen, block + "3.conv.conv", width, 1);
    }
    SeanetLayers layers() { return std::move(layers_); }

  private:
    Chain& add(SeanetRole role, const std::string& module, int outputs, int kernel, int ratio = 1) {
        const Activation pre = count_ == 0 ? Activation::none : Activation::elu;
        layers_[count_++] = {role, prefix_ + module, width_, outputs, kernel, ratio, rows_, pre, precision_};
        width_ = outputs;
        if (role == SeanetRole::down) rows_ /= ratio;
        if (role == SeanetRole::up) rows_ *= ratio;
        return *this;
    }

    std::string prefix_;
    int width_, rows_;
    Precision precision_;
    SeanetLayers layers_;
    std::size_t count_ = 0;
};

}  // namespace

SeanetLayers seanet_encoder_layers(const Config& config) {
    // What leads to tokens beside the transformers stays fp32. The encoder goes through the ratios in reverse order.
    return Chain("encoder.model.", config.n_mels, config.frames_per_token(), Precision::fp32)
        .plain("0", config.n_filters, kFirstKernel)
        .residual("1")
        .down("3", config.ratios[1])
        .residual("4")
        .down("6", config.ratios[0])
        .plain("8", config.dimension, kLastKernel)
        .layers();
}

SeanetLayers seanet_decoder_layers(const Config& config) {
    return Chain("decoder.model.", config.dimension, 1, config.decoder_convolutions())
        .plain("0", 4 * config.n_filters, kFirstKernel)
        .up("2", config.ratios[0])
        .residual("3")
        .up("5", config.ratios[1])
        .residual("6")
        .plain("8", config.n_mels, kLastKernel)
        .layers();
}

void append_seanet_tensors(const SeanetLayers& layers, std::vector<TensorSpec>& tensors) {
    for (const SeanetLayer& layer : layers) {
        const bool transposed = layer.role == SeanetRole::up;
        const int rows = transposed ? layer.inputs : layer.outputs, columns = transposed ? layer.outputs : layer.inputs;
        tensors.push_back({layer.name + ".weight", {rows, columns, layer.kernel}, layer.precision, true});
        tensors.push_back({layer.name + ".bias", {layer.outputs}});
    }
}

}  // namespace secousti::core
