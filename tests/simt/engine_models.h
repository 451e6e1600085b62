// What the tests of the device engine share: small models of shapes that the kernels take, on the CPU and the device.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "check.h"
#include "codec/cpu_stream.h"
#include "codec/engine.h"
#include "codec/group.h"
#include "io/safetensors.h"
#include "tiny_model.h"

namespace engine_test {

using namespace secousti::core;

using Pcm = std::vector<float>;
using Tokens = std::vector<std::int32_t>;

/// Heads of 16, the smallest that the kernels take; a window of five frames, which a short run fills; ratios 1,1, 2,2
/// and 1,3.
inline constexpr tiny::Shape kShapes[] = {
    {.name = "plain", .n_filters = 8, .dimension = 32, .head_dim = 16, .feedforward = 48, .context = 5, .seed = 21},
    {.name = "halved",
     .ratio1 = 2,
     .ratio2 = 2,
     .acoustic_layers = 0,
     .n_filters = 8,
     .dimension = 32,
     .head_dim = 16,
     .feedforward = 48,
     .context = 5,
     .seed = 22},
    {.name = "odd",
     .ratio1 = 1,
     .ratio2 = 3,
     .acoustic_layers = 0,
     .sample_rate = 16000,
     .n_fft = 64,
     .hop_length = 20,
     .n_mels = 7,
     .n_filters = 8,
     .dimension = 48,
     .head_dim = 16,
     .feedforward = 40,
     .context = 3,
     .fsq_levels = "[3, 5, 7]",
     .seed = 23},
};

inline ModelPtr load(const tiny::Shape& shape, Precision precision) {
    const std::vector<std::byte> bytes = tiny::model_bytes(shape);
    return Model::load(SafetensorsFile::from_memory(bytes), nullptr, precision, "cuda");
}

inline Pcm random_pcm(const Model& model, int steps, int extra = 0) {
    Pcm pcm(static_cast<std::size_t>(model.config.frame_size() * steps + extra));
    float phase = 0.0F, speed = 0.05F;
    for (float& value : pcm) {
        speed = std::clamp(speed + check::uniform(-0.002F, 0.002F), 0.01F, 1.0F);
        phase = std::fmod(phase + speed, 6.2831853F);
        value = 0.4F * std::sin(phase) + check::uniform(-0.1F, 0.1F);
    }
    return pcm;
}

/// What a stream on the CPU gives for the whole clip.
inline Tokens cpu_tokens(const ModelPtr& model, const Pcm& pcm) {
    CpuEncoderStream stream(model, 1);
    Tokens tokens(stream.tokens_after_flush(pcm.size()));
    const std::size_t count = stream.push(pcm.data(), pcm.size(), tokens.data());
    stream.flush(tokens.data() + count);
    return tokens;
}

}  // namespace engine_test
