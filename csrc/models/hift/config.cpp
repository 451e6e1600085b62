#include "models/hift/config.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "base/error.h"
#include "models/hift/hift.h"
#include "models/hift/source.h"

namespace secousti::core {

namespace hift {

namespace {

void require(bool condition, const std::string& message) {
    if (!condition) throw Error(Status::incompatible, "config: vocoder." + message);
}

}  // namespace

void validate(const HiftConfig& config) {
    const std::size_t stages = config.upsample_rates.size();
    require(stages >= 1, "upsample_rates: is empty");
    require(config.upsample_kernels.size() == stages, "upsample_kernels: one for each of upsample_rates is needed");
    require(config.source_resblock_kernels.size() == stages,
            "source_resblock_kernels: one for each of upsample_rates is needed");
    require(config.resblock_kernels.size() == kBlocks, "resblock_kernels: 3 are needed");
    require(!config.resblock_dilations.empty(), "resblock_dilations: is empty");
    for (std::size_t i = 0; i < stages; ++i) {
        require(config.upsample_rates[i] >= 2 && config.upsample_rates[i] % 2 == 0, "upsample_rates: not all are even");
        require(config.upsample_kernels[i] == 2 * config.upsample_rates[i],
                "upsample_kernels: not twice upsample_rates");
        require(config.source_resblock_kernels[i] % 2 == 1, "source_resblock_kernels: not all are odd");
    }
    require(config.upsample_rates.back() >= 4, "upsample_rates: the last is below 4");
    for (const int kernel : config.resblock_kernels) require(kernel % 2 == 1, "resblock_kernels: not all are odd");
    for (const int dilation : config.resblock_dilations) require(dilation >= 1, "resblock_dilations: one is below 1");
    require(config.channels > 0 && config.channels % (1 << stages) == 0,
            "channels: cannot be halved at each of upsample_rates");
    // Four hops at least, so that squared windows overlap evenly and a reflection lies within the carried history.
    require(config.istft_hop >= 1 && config.istft_n_fft >= 4 * config.istft_hop &&
                config.istft_n_fft % (2 * config.istft_hop) == 0,
            "istft_n_fft: not an even multiple of istft_hop, 4 or more");
    require(config.harmonics >= 1 && config.harmonics <= kMaxHarmonics,
            "harmonics: not in 1.." + std::to_string(kMaxHarmonics));
    require(config.f0_layers >= 1, "f0_layers: is below 1");
    require(config.f0_kernel % 2 == 1, "f0_kernel: is even");
}

void validate(const HiftConfig& config, int hop_length) {
    validate(config);
    std::int64_t samples = config.istft_hop;
    for (const int rate : config.upsample_rates) samples *= rate;
    require(samples == hop_length, "upsample_rates: " + std::to_string(samples) +
                                       " samples for a mel frame, but hop_length is " + std::to_string(hop_length));
    require(config.istft_n_fft <= hop_length, "istft_n_fft: is above hop_length");
}

namespace {

constexpr int kOuterKernel = 7;  // of the trunk's first and last convolutions

std::string indexed(const std::string& name, std::size_t index) { return name + "." + std::to_string(index); }

BlockLayers block(const HiftConfig& config, const std::string& name, int width, int kernel) {
    BlockLayers block;
    for (std::size_t i = 0; i < config.resblock_dilations.size(); ++i) {
        block.units.push_back(
            {indexed(name + ".activations1", i),
             {indexed(name + ".convs1", i), ConvSpec::same(width, width, kernel, config.resblock_dilations[i])},
             indexed(name + ".activations2", i),
             {indexed(name + ".convs2", i), ConvSpec::same(width, width, kernel)}});
    }
    return block;
}

/// From spectra of the source to rows of stage `index`.
ConvSpec down_spec(const HiftConfig& config, std::size_t index, int width) noexcept {
    int rate = 1;
    for (std::size_t later = index + 1; later < config.upsample_rates.size(); ++later) {
        rate *= config.upsample_rates[later];
    }
    const int inputs = config.istft_n_fft + 2;
    if (rate == 1) return ConvSpec::same(inputs, width, 1);
    return {inputs, width, 2 * rate, rate, 1, rate / 2, rate / 2};
}

StageLayers stage(const HiftConfig& config, std::size_t index) {
    StageLayers stage;
    const bool last = index + 1 == config.upsample_rates.size();
    stage.width = config.channels >> (index + 1);
    stage.rate = config.upsample_rates[index];
    stage.reflects = last;
    stage.up = {indexed("vocoder.ups", index), ConvSpec::causal(2 * stage.width, stage.rate * stage.width, 2)};
    stage.down = {indexed("vocoder.source_downs", index), down_spec(config, index, stage.width)};
    stage.source =
        block(config, indexed("vocoder.source_resblocks", index), stage.width, config.source_resblock_kernels[index]);
    for (std::size_t b = 0; b < kBlocks; ++b) {
        stage.blocks[b] =
            block(config, indexed("vocoder.resblocks", index * kBlocks + b), stage.width, config.resblock_kernels[b]);
    }
    stage.slope = last ? kHeadSlope : kTrunkSlope;
    return stage;
}

}  // namespace

int BlockLayers::lag() const noexcept {
    int rows = 0;
    for (const Unit& unit : units) rows += unit.first.spec.pad_right + unit.second.spec.pad_right;
    return rows;
}

Timing StageLayers::upsampled(const Timing& in) const noexcept {
    // A zero row on either side of the input; pad and the reflected row shift the result.
    const Timing taps = in.after(up.spec, 1);
    const int reflected = reflects ? 1 : 0;
    return {taps.rate * rate, taps.lag * rate + rate / 2 - reflected, in.extra * rate + reflected};
}

Layers layers(const HiftConfig& config, int n_mels) {
    validate(config);
    Layers all;
    all.mix = "vocoder.m_source.l_linear";
    for (int i = 0; i < config.f0_layers; ++i) {
        // Between them lie the ELUs, which have no tensors.
        all.pitch.push_back(
            {indexed("vocoder.f0_predictor.condnet", static_cast<std::size_t>(2 * i)),
             ConvSpec::same(i == 0 ? n_mels : config.f0_channels, config.f0_channels, config.f0_kernel)});
    }
    all.classifier = "vocoder.f0_predictor.classifier";
    all.pre = {"vocoder.conv_pre", ConvSpec::same(n_mels, config.channels, kOuterKernel)};
    for (std::size_t i = 0; i < config.upsample_rates.size(); ++i) all.stages.push_back(stage(config, i));
    all.post = {"vocoder.conv_post", ConvSpec::same(all.stages.back().width, config.istft_n_fft + 2, kOuterKernel)};
    return all;
}

}  // namespace hift

std::vector<TensorSpec> hift_tensors(const HiftConfig& config, int n_mels, Precision precision) {
    const hift::Layers all = hift::layers(config, n_mels);
    std::vector<TensorSpec> tensors;
    const auto linear = [&](const std::string& name, int inputs) {
        tensors.push_back({name + ".weight", {1, inputs}});
        tensors.push_back({name + ".bias", {1}});
    };
    const auto convolution = [&](const hift::ConvLayer& layer, Precision kept = Precision::fp32) {
        const ConvSpec& spec = layer.spec;
        tensors.push_back({layer.name + ".weight", {spec.outputs, spec.inputs, spec.kernel}, kept});
        tensors.push_back({layer.name + ".bias", {spec.outputs}});
    };
    const auto block = [&](const hift::BlockLayers& layers) {
        for (const hift::BlockLayers::Unit& unit : layers.units) {
            convolution(unit.first, precision);
            tensors.push_back({unit.snake1 + ".alpha", {unit.first.spec.inputs}});
            convolution(unit.second, precision);
            tensors.push_back({unit.snake2 + ".alpha", {unit.second.spec.inputs}});
        }
    };
    linear(all.mix, config.harmonics);
    for (const hift::ConvLayer& layer : all.pitch) convolution(layer);
    linear(all.classifier, config.f0_channels);
    convolution(all.pre);
    for (const hift::StageLayers& stage : all.stages) {
        tensors.push_back({stage.up.name + ".weight", {2 * stage.width, stage.width, 2 * stage.rate}, precision});
        tensors.push_back({stage.up.name + ".bias", {stage.width}});
        convolution(stage.down);
        block(stage.source);
        for (const hift::BlockLayers& layers : stage.blocks) block(layers);
    }
    convolution(all.post);
    return tensors;
}

}  // namespace secousti::core
