#include "models/seanet.h"

#include <algorithm>
#include <string>

#include "models/limits.h"

namespace secousti::core {

namespace {

constexpr int kFirstKernel = 7;
constexpr int kLastKernel = 3;
constexpr int kResidualKernel = 3;
constexpr PreActivation kElu{Activation::elu};

Conv make_conv(const Backend& backend, const ConvSpec& spec, const WeightMap& weights, const std::string& name,
               int max_rows, ArenaLayout& state, Precision precision) {
    const std::string weight = name + ".weight";
    return {backend,
            spec,
            weights.get(weight),
            weights.get(name + ".bias"),
            max_rows,
            state,
            weights.kept_at(weight, precision)};
}

}  // namespace

ResidualUnit::ResidualUnit(const Backend& backend, int channels, const WeightMap& weights, const std::string& prefix,
                           int max_rows, ArenaLayout& state, ArenaLayout& scratch, Precision precision)
    : narrow_(make_conv(backend, ConvSpec::causal(channels, channels / 2, kResidualKernel), weights,
                        prefix + ".block.1.conv.conv", max_rows, state, precision)),
      widen_(make_conv(backend, ConvSpec::causal(channels / 2, channels, 1), weights, prefix + ".block.3.conv.conv",
                       max_rows, state, precision)),
      hidden_(scratch.reserve<float>(area(max_rows, channels / 2))) {}

void ResidualUnit::push(const Exec& exec, const Batch& batch, std::byte* scratch, float* x) const noexcept {
    float* hidden = hidden_.in(scratch);
    narrow_.push(exec, batch, x, hidden, kElu);
    widen_.push(exec, batch, hidden, x, kElu, {.residual = x});
}

SeanetEncoder::SeanetEncoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
                             ArenaLayout& scratch) {
    const int n = config.n_filters;
    const Precision precision = Precision::fp32;
    // The encoder walks the ratios in reverse order.
    const int stride1 = config.ratios[1], stride2 = config.ratios[0];
    const int max1 = kMaxFrames, max2 = max1 / stride1 + 1, max3 = max2 / stride2 + 1;
    first_ = make_conv(backend, ConvSpec::causal(config.n_mels, n, kFirstKernel), weights, "encoder.model.0.conv.conv",
                       max1, state, precision);
    residual1_ = {backend, n, weights, "encoder.model.1", max1, state, scratch, precision};
    down1_ = make_conv(backend, ConvSpec::causal(n, 2 * n, 2 * stride1, stride1), weights, "encoder.model.3.conv.conv",
                       max1, state, precision);
    residual2_ = {backend, 2 * n, weights, "encoder.model.4", max2, state, scratch, precision};
    down2_ = make_conv(backend, ConvSpec::causal(2 * n, 4 * n, 2 * stride2, stride2), weights,
                       "encoder.model.6.conv.conv", max2, state, precision);
    last_ = make_conv(backend, ConvSpec::causal(4 * n, config.dimension, kLastKernel), weights,
                      "encoder.model.8.conv.conv", max3, state, precision);
    rows1_ = scratch.reserve<float>(area(max1, n));
    rows2_ = scratch.reserve<float>(area(max2 + 1, 2 * n));
    rows3_ = scratch.reserve<float>(area(max3 + 1, 4 * n));
    window_ =
        scratch.reserve<float>(std::max({first_.window_floats(), residual1_.window_floats(), down1_.window_floats(),
                                         residual2_.window_floats(), down2_.window_floats(), last_.window_floats()}));
}

int SeanetEncoder::push(const Exec& exec, const Batch& streams, std::byte* scratch, const float* mel, bool end,
                        float* z) const noexcept {
    const Batch batch{streams.lanes, streams.windows, window_.in(scratch)};
    float* rows1 = rows1_.in(scratch);
    float* rows2 = rows2_.in(scratch);
    float* rows3 = rows3_.in(scratch);
    Lane& lane = batch.lanes.front();

    first_.push(exec, batch, mel, rows1);
    residual1_.push(exec, batch, scratch, rows1);
    down1_.push(exec, batch, rows1, rows2, kElu);
    if (end) lane.rows += down1_.finish(exec, lane.state, batch.window, rows2 + area(lane.rows, down1_.spec().outputs));
    residual2_.push(exec, batch, scratch, rows2);
    down2_.push(exec, batch, rows2, rows3, kElu);
    if (end) lane.rows += down2_.finish(exec, lane.state, batch.window, rows3 + area(lane.rows, down2_.spec().outputs));
    return last_.push(exec, batch, rows3, z, kElu);
}

std::size_t SeanetEncoder::windows(int frames) const noexcept {
    const int middle = frames / down1_.spec().stride;
    return std::max({first_.gathered(frames), residual1_.windows(frames), down1_.gathered(middle),
                     residual2_.windows(middle), down2_.gathered(middle / down2_.spec().stride),
                     last_.gathered(middle / down2_.spec().stride)});
}

int max_tokens_per_step(const Config& config) noexcept { return std::max(1, kMaxFrames / config.frames_per_token()); }

SeanetDecoder::SeanetDecoder(const Backend& backend, const Config& config, const WeightMap& weights, ArenaLayout& state,
                             ArenaLayout& scratch)
    : ratio1_(config.ratios[0]), ratio2_(config.ratios[1]) {
    const int n = config.n_filters;
    const Precision precision = config.decoder_convolutions();
    const int max1 = max_tokens_per_step(config), max2 = max1 * ratio1_, max3 = max2 * ratio2_;
    const auto up = [&](int inputs, int outputs, int stride, const std::string& name, int max_rows) {
        const std::string weight = name + ".weight";
        return Conv::transposed(backend, inputs, outputs, stride, weights.get(weight), weights.get(name + ".bias"),
                                max_rows, state, weights.kept_at(weight, precision));
    };
    first_ = make_conv(backend, ConvSpec::causal(config.dimension, 4 * n, kFirstKernel), weights,
                       "decoder.model.0.conv.conv", max1, state, precision);
    up1_ = up(4 * n, 2 * n, ratio1_, "decoder.model.2.convtr.convtr", max1);
    residual1_ = {backend, 2 * n, weights, "decoder.model.3", max2, state, scratch, precision};
    up2_ = up(2 * n, n, ratio2_, "decoder.model.5.convtr.convtr", max2);
    residual2_ = {backend, n, weights, "decoder.model.6", max3, state, scratch, precision};
    last_ = make_conv(backend, ConvSpec::causal(n, config.n_mels, kLastKernel), weights, "decoder.model.8.conv.conv",
                      max3, state, precision);
    rows1_ = scratch.reserve<float>(area(max1, 4 * n));
    rows2_ = scratch.reserve<float>(area(max2, 2 * n));
    rows3_ = scratch.reserve<float>(area(max3, n));
    window_ =
        scratch.reserve<float>(std::max({first_.window_floats(), up1_.window_floats(), residual1_.window_floats(),
                                         up2_.window_floats(), residual2_.window_floats(), last_.window_floats()}));
}

void SeanetDecoder::push(const Exec& exec, const Batch& streams, std::byte* scratch, const float* x,
                         float* mel) const noexcept {
    const Batch batch{streams.lanes, streams.windows, window_.in(scratch)};
    float* rows1 = rows1_.in(scratch);
    float* rows2 = rows2_.in(scratch);
    float* rows3 = rows3_.in(scratch);
    const auto multiply_rows = [&](int ratio) {
        for (Lane& lane : batch.lanes) lane.rows *= ratio;
    };
    first_.push(exec, batch, x, rows1);
    up1_.push(exec, batch, rows1, rows2, kElu);
    multiply_rows(ratio1_);
    residual1_.push(exec, batch, scratch, rows2);
    up2_.push(exec, batch, rows2, rows3, kElu);
    multiply_rows(ratio2_);
    residual2_.push(exec, batch, scratch, rows3);
    last_.push(exec, batch, rows3, mel, kElu);
}

std::size_t SeanetDecoder::windows(int tokens) const noexcept {
    const int middle = tokens * ratio1_, frames = middle * ratio2_;
    return std::max({first_.gathered(tokens), up1_.gathered(tokens), residual1_.windows(middle), up2_.gathered(middle),
                     residual2_.windows(frames), last_.gathered(frames)});
}

void append_seanet_tensors(const Config& config, std::vector<TensorSpec>& tensors) {
    const int n = config.n_filters, d = config.dimension;
    Precision precision = Precision::fp32;
    const auto conv = [&](const std::string& name, int out, int in, int kernel) {
        tensors.push_back({name + ".weight", {out, in, kernel}, precision, true});
        tensors.push_back({name + ".bias", {out}});
    };
    const auto residual = [&](const std::string& prefix, int channels) {
        conv(prefix + ".block.1.conv.conv", channels / 2, channels, kResidualKernel);
        conv(prefix + ".block.3.conv.conv", channels, channels / 2, 1);
    };
    conv("encoder.model.0.conv.conv", n, config.n_mels, kFirstKernel);
    residual("encoder.model.1", n);
    conv("encoder.model.3.conv.conv", 2 * n, n, 2 * config.ratios[1]);
    residual("encoder.model.4", 2 * n);
    conv("encoder.model.6.conv.conv", 4 * n, 2 * n, 2 * config.ratios[0]);
    conv("encoder.model.8.conv.conv", d, 4 * n, kLastKernel);

    precision = config.decoder_convolutions();
    conv("decoder.model.0.conv.conv", 4 * n, d, kFirstKernel);
    tensors.push_back({"decoder.model.2.convtr.convtr.weight", {4 * n, 2 * n, 2 * config.ratios[0]}, precision, true});
    tensors.push_back({"decoder.model.2.convtr.convtr.bias", {2 * n}});
    residual("decoder.model.3", 2 * n);
    tensors.push_back({"decoder.model.5.convtr.convtr.weight", {2 * n, n, 2 * config.ratios[1]}, precision, true});
    tensors.push_back({"decoder.model.5.convtr.convtr.bias", {n}});
    residual("decoder.model.6", n);
    conv("decoder.model.8.conv.conv", config.n_mels, n, kLastKernel);
}

}  // namespace secousti::core
