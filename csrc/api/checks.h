// Checks of arguments, which name what is wrong and what was expected.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "codec/model.h"
#include "secousti.h"

namespace secousti::core {

/// Largest magnitude of a sample that the front end takes: far beyond the nominal 1, far from overflow in the spectrum.
inline constexpr float kMaxSample = 1e6F;

/// Index of the first value that is NaN or larger in magnitude than `limit`, or `count`.
inline std::size_t first_outside(const float* values, std::size_t count, float limit) noexcept {
    // Blocks keep the common case free of branches.
    constexpr std::size_t kBlock = 256;
    for (std::size_t begin = 0; begin < count; begin += kBlock) {
        const std::size_t end = begin + kBlock < count ? begin + kBlock : count;
        int outside = 0;
        for (std::size_t i = begin; i < end; ++i) outside |= !(std::fabs(values[i]) <= limit);
        if (outside == 0) continue;
        for (std::size_t i = begin; i < end; ++i) {
            if (!(std::fabs(values[i]) <= limit)) return i;
        }
    }
    return count;
}

/// Index of the first token outside [0, cardinality), or `count`.
inline std::size_t first_bad_token(const std::int32_t* tokens, std::size_t count, std::int32_t cardinality) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        if (tokens[i] < 0 || tokens[i] >= cardinality) return i;
    }
    return count;
}

[[noreturn]] void invalid(const std::string& message);

void require_pointer(const void* pointer, const char* name);
/// `struct_size` must hold this version's struct.
void require_size(std::size_t size, std::size_t expected, const char* name);
/// Room in the caller's buffer for what a call can return.
void require_capacity(std::size_t capacity, std::size_t needed, const char* what);
/// The threads of an options struct, checked.
int checked_threads(int threads);

void require_finite(const float* values, std::size_t count, const char* name);
void require_pcm(const float* pcm, std::size_t samples);
void require_tokens(const Model& model, const std::int32_t* tokens, std::size_t count);
/// A voice of the caller's: as many values as the model's G has.
void require_voice_size(std::size_t dimension, std::size_t expected);
/// The same, all of them finite.
std::span<const float> checked_voice(const float* voice, std::size_t dimension, std::size_t expected);

/// Decoder options checked and translated; NULL means defaults.
struct DecoderSettings {
    VocoderOptions vocoder;
    int threads = 1;
    std::span<const float> voice;
};
DecoderSettings decoder_settings(const Model& model, const secousti_decoder_options* options);

/// The error of a decoder that is used in another way than before, `who` being the stream or a slot.
[[noreturn]] void used_otherwise(const std::string& who, DecoderUse before);

}  // namespace secousti::core
