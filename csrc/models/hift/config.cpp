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

std::string published(const std::string& name) { return "vocoder." + name; }

std::string indexed(const std::string& name, std::size_t index) {
    return published(name) + "." + std::to_string(index);
}

int stage_width(const HiftConfig& config, std::size_t index) noexcept { return config.channels >> (index + 1); }

ConvSpec down_spec(const HiftConfig& config, std::size_t index) noexcept {
    int rate = 1;
    for (std::size_t later = index + 1; later < config.upsample_rates.size(); ++later) {
        rate *= config.upsample_rates[later];
    }
    const int inputs = config.istft_n_fft + 2, outputs = stage_width(config, index);
    if (rate == 1) return ConvSpec::same(inputs, outputs, 1);
    return {inputs, outputs, 2 * rate, rate, 1, rate / 2, rate / 2};
}

}  // namespace hift

std::vector<TensorSpec> hift_tensors(const HiftConfig& config, int n_mels, Precision precision) {
    using hift::indexed, hift::published;
    hift::validate(config);
    std::vector<TensorSpec> tensors;
    const auto layer = [&](const std::string& name, std::vector<std::int64_t> shape, int outputs,
                           Precision kept = Precision::fp32) {
        tensors.push_back({name + ".weight", std::move(shape), kept});
        tensors.push_back({name + ".bias", {outputs}});
    };
    const auto block = [&](const std::string& name, int width, int kernel) {
        for (std::size_t i = 0; i < config.resblock_dilations.size(); ++i) {
            const std::string index = "." + std::to_string(i);
            for (const char* half : {"1", "2"}) {
                layer(name + ".convs" + half + index, {width, width, kernel}, width, precision);
                tensors.push_back({name + ".activations" + half + index + ".alpha", {width}});
            }
        }
    };
    layer(published("m_source.l_linear"), {1, config.harmonics}, 1);
    for (int i = 0; i < config.f0_layers; ++i) {
        layer(indexed("f0_predictor.condnet", static_cast<std::size_t>(2 * i)),
              {config.f0_channels, i == 0 ? n_mels : config.f0_channels, config.f0_kernel}, config.f0_channels);
    }
    layer(published("f0_predictor.classifier"), {1, config.f0_channels}, 1);
    layer(published("conv_pre"), {config.channels, n_mels, hift::kOuterKernel}, config.channels);
    int width = config.channels;
    for (std::size_t i = 0; i < config.upsample_rates.size(); ++i) {
        const ConvSpec down = hift::down_spec(config, i);
        layer(indexed("ups", i), {width, down.outputs, config.upsample_kernels[i]}, down.outputs, precision);
        width = down.outputs;
        layer(indexed("source_downs", i), {width, down.inputs, down.kernel}, width);
        block(indexed("source_resblocks", i), width, config.source_resblock_kernels[i]);
        for (std::size_t b = 0; b < hift::kBlocks; ++b) {
            block(indexed("resblocks", i * hift::kBlocks + b), width, config.resblock_kernels[b]);
        }
    }
    const int spectrum = config.istft_n_fft + 2;
    layer(published("conv_post"), {spectrum, width, hift::kOuterKernel}, spectrum);
    return tensors;
}

}  // namespace secousti::core
