// Small random models, made in memory, for tests of everything that a model is needed for.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "models/config.h"

namespace tiny {

struct Shape {
    const char* name = "tiny";
    int ratio1 = 1, ratio2 = 1;
    int acoustic_layers = 1;
    const char* vocoder = "spectral";
    int sample_rate = 22050, n_fft = 1024, hop_length = 256, n_mels = 20;
    int n_filters = 6, dimension = 24, head_dim = 12, feedforward = 40, context = 9;
    const char* fsq_levels = "[3, 3, 3, 3]";
    int prompt_frames = 30;
    std::uint32_t seed = 1;
    int hift_channels = 16;
    const char *upsample_rates = "[8, 8]", *upsample_kernels = "[16, 16]";  ///< rates' product times 4 is hop_length
};

/// Ratios 1,1 / 2,2 / 1,3; with and without acoustic branch; each vocoder; sizes that are no multiple of a vector.
inline constexpr Shape kPlain{};
inline constexpr Shape kHalved{.name = "halved", .ratio1 = 2, .ratio2 = 2, .acoustic_layers = 0, .seed = 2};
inline constexpr Shape kOdd{.name = "odd",
                            .ratio1 = 1,
                            .ratio2 = 3,
                            .acoustic_layers = 2,
                            .sample_rate = 16000,
                            .n_fft = 64,
                            .hop_length = 20,
                            .n_mels = 7,
                            .n_filters = 10,
                            .dimension = 33 * 2,
                            .head_dim = 22,
                            .feedforward = 31,
                            .context = 5,
                            .fsq_levels = "[3, 5, 7]",
                            .prompt_frames = 11,
                            .seed = 3};
inline constexpr Shape kHift{.name = "hift", .ratio1 = 2, .ratio2 = 1, .vocoder = "hift", .seed = 4};
inline constexpr Shape kSilent{.name = "mel only", .vocoder = "none", .seed = 5};

/// As small as a model can be.
inline constexpr Shape kSmallest{.name = "s",
                                 .sample_rate = 8000,
                                 .n_fft = 64,
                                 .hop_length = 16,
                                 .n_mels = 5,
                                 .n_filters = 2,
                                 .dimension = 4,
                                 .head_dim = 2,
                                 .feedforward = 3,
                                 .context = 4,
                                 .fsq_levels = "[3, 3]",
                                 .prompt_frames = 6};

inline std::string config_json(const Shape& s) {
    std::ostringstream json;
    json << R"({"name": ")" << s.name << R"(", "sample_rate": )" << s.sample_rate << R"(, "n_fft": )" << s.n_fft
         << R"(, "hop_length": )" << s.hop_length << R"(, "n_mels": )" << s.n_mels
         << R"(, "mel_fmin": 0.0, "mel_fmax": )" << s.sample_rate * 0.4 << R"(, "ratios": [)" << s.ratio1 << ", "
         << s.ratio2 << R"(], "n_filters": )" << s.n_filters << R"(, "dimension": )" << s.dimension
         << R"(, "head_dim": )" << s.head_dim << R"(, "feedforward": )" << s.feedforward << R"(, "context": )"
         << s.context << R"(, "rope_base": 10000.0, "layers": {"acoustic": )" << s.acoustic_layers
         << R"(, "semantic": 2, "connector": 1, "decoder": 2}, "fsq_levels": )" << s.fsq_levels
         << R"(, "prompt_frames": )" << s.prompt_frames << R"(, "vocoder": {"kind": ")" << s.vocoder << '"';
    if (std::string(s.vocoder) == "hift") {
        json << R"(, "channels": )" << s.hift_channels << R"(, "upsample_rates": )" << s.upsample_rates
             << R"(, "upsample_kernels": )" << s.upsample_kernels << R"(, "istft_n_fft": 16,
                "istft_hop": 4, "resblock_kernels": [3, 7, 11], "resblock_dilations": [1, 3],
                "source_resblock_kernels": [7, 11], "harmonics": 3, "f0_channels": 10, "f0_layers": 2, "f0_kernel": 3)";
    }
    json << "}}";
    return json.str();
}

struct NamedTensor {
    std::string name;
    std::vector<std::int64_t> shape;
    std::vector<float> values;
};

/// Random weights that keep activations near 1: normal, scaled by 1/sqrt(fan-in); gains near 1.
inline std::vector<NamedTensor> random_tensors(const std::string& json, std::uint32_t seed) {
    const auto config = secousti::core::Config::parse(json, "tiny");
    std::mt19937 generator(seed);
    std::vector<NamedTensor> tensors;
    for (const auto& spec : secousti::core::required_tensors(config)) {
        std::size_t count = 1;
        for (const std::int64_t size : spec.shape) count *= static_cast<std::size_t>(size);
        const bool matrix = spec.shape.size() >= 2;
        const std::size_t outputs = matrix ? static_cast<std::size_t>(spec.shape[0]) : 1;
        const bool gain =
            !matrix && (spec.name.find("weight") != std::string::npos || spec.name.find("scale") != std::string::npos ||
                        spec.name.find("alpha") != std::string::npos);
        const float deviation = matrix ? 1.0F / std::sqrt(static_cast<float>(count / outputs)) : 0.1F;
        std::normal_distribution<float> normal(gain ? 0.7F : 0.0F, deviation);
        NamedTensor tensor{spec.name, spec.shape, std::vector<float>(count)};
        for (float& value : tensor.values) value = normal(generator);
        tensors.push_back(std::move(tensor));
    }
    return tensors;
}

inline std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c == '\n' ? ' ' : c;
    }
    return out;
}

/// A safetensors file of float32 tensors.
inline std::vector<std::byte> safetensors(const std::string& config, const std::vector<NamedTensor>& tensors,
                                          const char* format = "secousti", const char* version = "1") {
    std::ostringstream header;
    header << R"({"__metadata__": {"format": ")" << format << R"(", "format_version": ")" << version
           << R"(", "config": ")" << escaped(config) << "\"}";
    std::size_t offset = 0;
    for (const NamedTensor& tensor : tensors) {
        header << ", \"" << tensor.name << R"(": {"dtype": "F32", "shape": [)";
        for (std::size_t i = 0; i < tensor.shape.size(); ++i) header << (i == 0 ? "" : ", ") << tensor.shape[i];
        const std::size_t end = offset + tensor.values.size() * sizeof(float);
        header << R"(], "data_offsets": [)" << offset << ", " << end << "]}";
        offset = end;
    }
    std::string text = header.str() + "}";
    text.resize((text.size() + 7) / 8 * 8, ' ');

    std::vector<std::byte> bytes(8 + text.size() + offset);
    const std::uint64_t length = text.size();
    std::memcpy(bytes.data(), &length, sizeof length);
    std::memcpy(bytes.data() + 8, text.data(), text.size());
    std::byte* out = bytes.data() + 8 + text.size();
    for (const NamedTensor& tensor : tensors) {
        std::memcpy(out, tensor.values.data(), tensor.values.size() * sizeof(float));
        out += tensor.values.size() * sizeof(float);
    }
    return bytes;
}

inline std::vector<std::byte> model_bytes(const Shape& shape = kPlain) {
    const std::string json = config_json(shape);
    return safetensors(json, random_tensors(json, shape.seed));
}

}  // namespace tiny
