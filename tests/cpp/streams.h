// What the tests of streams share: tiny models opened through the public interface, signals, and chunked runs.
//
// A program links device_cpu.cpp or tests/simt/device_cuda.cpp. With the latter they run on a device, a GPU or the
// emulator, which is so slow that inputs are shorter there (`few`).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "check.h"
#include "secousti.hpp"
#include "tiny_model.h"

namespace streams {

using Pcm = std::vector<float>;
using Tokens = std::vector<std::int32_t>;

inline constexpr tiny::Shape kShapes[] = {tiny::kPlain, tiny::kHalved, tiny::kOdd, tiny::kHift};

extern const char* const kDevice;

inline bool on_device() { return std::string_view(kDevice) == "cuda"; }

/// How much of something a test takes: `least` on a device.
inline std::size_t few(std::size_t usual, std::size_t least) { return on_device() ? least : usual; }

/// On a device its kernels decide about the heads.
inline secousti::Model open(tiny::Shape shape, const char* isa = nullptr,
                            secousti_precision precision = SECOUSTI_PRECISION_FP32) {
    if (on_device()) {
        shape.head_dim = 16;
        shape.dimension = (shape.dimension + 15) / 16 * 16;
    }
    return secousti::Model::from_memory(tiny::model_bytes(shape), isa, precision, kDevice);
}

/// Tones that wander, and noise.
inline Pcm random_pcm(std::size_t samples) {
    Pcm pcm(samples);
    float phase = 0.0F, step = 0.05F;
    for (float& value : pcm) {
        step = std::clamp(step + check::uniform(-0.002F, 0.002F), 0.01F, 1.0F);
        phase = std::fmod(phase + step, 6.2831853F);
        value = 0.4F * std::sin(phase) + check::uniform(-0.1F, 0.1F);
    }
    return pcm;
}

inline Tokens random_tokens(std::size_t count, int cardinality) {
    Tokens tokens(count);
    for (auto& token : tokens) token = std::uniform_int_distribution<std::int32_t>(0, cardinality - 1)(check::random());
    return tokens;
}

inline constexpr std::size_t kRandomChunks = 0;

/// Calls part(begin, size) over [0, total) in chunks; kRandomChunks: 0 to 600 at a time.
template <class Part>
void for_each_chunk(std::size_t total, std::size_t chunk, Part part) {
    for (std::size_t begin = 0; begin < total;) {
        const std::size_t wish =
            chunk != kRandomChunks ? chunk : std::uniform_int_distribution<std::size_t>(0, 600)(check::random());
        const std::size_t size = std::min(wish, total - begin);
        part(begin, size);
        begin += size;
    }
}

inline Tokens encode(secousti::Encoder& encoder, const Pcm& pcm, std::size_t chunk) {
    Tokens tokens;
    for_each_chunk(pcm.size(), chunk, [&](std::size_t begin, std::size_t size) {
        encoder.push(std::span(pcm).subspan(begin, size), tokens);
    });
    encoder.flush(tokens);
    return tokens;
}

inline Tokens encode(const secousti::Model& model, const Pcm& pcm, std::size_t chunk, int threads = 1) {
    secousti::Encoder encoder(model, threads);
    return encode(encoder, pcm, chunk);
}

inline Pcm decode(secousti::Decoder& decoder, const Tokens& tokens, std::size_t chunk) {
    Pcm pcm;
    for_each_chunk(tokens.size(), chunk, [&](std::size_t begin, std::size_t size) {
        decoder.push(std::span(tokens).subspan(begin, size), pcm);
    });
    decoder.flush(pcm);
    return pcm;
}

inline Pcm decode(const secousti::Model& model, const Tokens& tokens, const Pcm& voice, std::size_t chunk,
                  const secousti::DecoderOptions& options = {}) {
    secousti::Decoder decoder(model, voice, options);
    return decode(decoder, tokens, chunk);
}

inline Pcm random_voice(const secousti::Model& model) {
    return check::uniform_vector(static_cast<std::size_t>(model.info().dimension));
}

}  // namespace streams
