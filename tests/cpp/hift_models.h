// Small HiFT models with random weights, for tests of its implementations against hift_naive.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "hift_naive.h"
#include "models/hift/hift.h"
#include "published_config.h"
#include "tiny_model.h"

namespace hift_models {

using namespace secousti::core;

/// Odd widths, so that rows are padded.
inline Config small_config() {
    Config config;
    config.sample_rate = 8000;
    config.hop_length = 48;
    config.n_mels = 5;
    config.vocoder = VocoderKind::hift;
    config.hift = {.channels = 12,
                   .upsample_rates = {6, 4},
                   .upsample_kernels = {12, 8},
                   .istft_n_fft = 8,
                   .istft_hop = 2,
                   .resblock_kernels = {3, 7, 5},
                   .resblock_dilations = {1, 2},
                   .source_resblock_kernels = {3, 5},
                   .harmonics = 6,
                   .f0_channels = 7,
                   .f0_layers = 2,
                   .f0_kernel = 3};
    return config;
}

/// One stage more, six frames over a sample, and a trunk that is never behind the source.
inline Config other_config() {
    Config config = small_config();
    config.hop_length = 64;
    config.hift.channels = 16;
    config.hift.upsample_rates = {2, 2, 4};
    config.hift.upsample_kernels = {4, 4, 8};
    config.hift.istft_n_fft = 24;
    config.hift.istft_hop = 4;
    config.hift.resblock_kernels = {1, 3, 3};
    config.hift.resblock_dilations = {2};
    config.hift.source_resblock_kernels = {1, 5, 3};
    config.hift.f0_layers = 1;
    config.hift.f0_kernel = 1;
    return config;
}

/// The published proportions; few channels.
inline Config published_config(int channels) {
    Config config = published::front_end();
    config.n_mels = 3;
    config.vocoder = VocoderKind::hift;
    config.hift.channels = channels;
    config.hift.f0_channels = 2;
    return config;
}

struct RandomModel {
    explicit RandomModel(Config c) : config(std::move(c)) {
        std::vector<tiny::NamedTensor> tensors;
        for (const TensorSpec& spec : hift_tensors(config.hift, config.n_mels)) {
            std::size_t count = 1;
            for (const std::int64_t size : spec.shape) count *= static_cast<std::size_t>(size);
            float bound = 0.1F;
            if (spec.shape.size() > 1)
                bound = std::sqrt(2.0F * static_cast<float>(spec.shape[0]) / static_cast<float>(count));
            if (spec.name.ends_with("conv_post.weight")) bound *= 0.3F;  // an exponential follows
            std::vector<float> values = check::uniform_vector(count, -bound, bound);
            if (spec.name.ends_with(".alpha")) values = check::uniform_vector(count, 0.5F, 1.5F);
            // Around the limit of voiced frames, and far from the ends of the sample range.
            if (spec.name.ends_with("classifier.weight")) values = check::uniform_vector(count, -60.0F, 60.0F);
            if (spec.name.ends_with("l_linear.weight")) values = check::uniform_vector(count, -3.0F, 3.0F);
            if (spec.name.ends_with("conv_post.bias")) values = check::uniform_vector(count, -1.5F, -1.0F);
            weights[spec.name] = values;
            tensors.push_back({spec.name, spec.shape, values});
        }
        bytes = tiny::safetensors("{}", tensors);
        file = std::make_unique<SafetensorsFile>(SafetensorsFile::from_memory(bytes));
        WeightMap(*file).require(hift_tensors(config.hift, config.n_mels));
    }

    std::vector<float> random_mel(int frames) const {
        return check::uniform_vector(static_cast<std::size_t>(frames * config.n_mels), -2.0F, 2.0F);
    }
    hift_naive::Signal signal(const std::vector<float>& mel) const {
        hift_naive::Signal x(static_cast<int>(mel.size()) / config.n_mels, config.n_mels);
        std::copy(mel.begin(), mel.end(), x.values.begin());
        return x;
    }

    Config config;
    hift_naive::Weights weights;
    std::vector<std::byte> bytes;
    std::unique_ptr<SafetensorsFile> file;
};

}  // namespace hift_models
