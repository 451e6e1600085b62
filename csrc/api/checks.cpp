#include "api/checks.h"

#include <limits>

#include "base/error.h"
#include "codec/stream.h"

namespace secousti::core {

namespace {

void require_within(const float* values, std::size_t count, float limit, const char* name, const char* expected) {
    const std::size_t bad = first_outside(values, count, limit);
    if (bad != count) {
        invalid(std::string(name) + "[" + std::to_string(bad) + "] is " + std::to_string(values[bad]) + ", expected " +
                expected);
    }
}

}  // namespace

void invalid(const std::string& message) { throw Error(Status::invalid_argument, message); }

void require_pointer(const void* pointer, const char* name) {
    if (pointer == nullptr) invalid(std::string(name) + " is NULL");
}

void require_size(std::size_t size, std::size_t expected, const char* name) {
    if (size < expected) {
        invalid(std::string(name) + ".struct_size is " + std::to_string(size) + ", expected at least " +
                std::to_string(expected) + ": initialise the struct first");
    }
}

void require_capacity(std::size_t capacity, std::size_t needed, const char* what) {
    if (capacity < needed) {
        invalid("capacity is " + std::to_string(capacity) + " " + what + ", this call can return " +
                std::to_string(needed));
    }
}

int checked_threads(int threads) {
    if (threads < 1 || threads > kMaxThreads) {
        invalid("threads is " + std::to_string(threads) + ", expected 1 to " + std::to_string(kMaxThreads));
    }
    return threads;
}

void require_finite(const float* values, std::size_t count, const char* name) {
    require_within(values, count, std::numeric_limits<float>::max(), name, "a finite number");
}

void require_pcm(const float* pcm, std::size_t samples) {
    require_within(pcm, samples, kMaxSample, "pcm", "a sample of nominally -1 to 1 (at most a million)");
}

void require_tokens(const Model& model, const std::int32_t* tokens, std::size_t count) {
    const std::int32_t cardinality = model.config.cardinality();
    const std::size_t bad = first_bad_token(tokens, count, cardinality);
    if (bad != count) {
        invalid("tokens[" + std::to_string(bad) + "] is " + std::to_string(tokens[bad]) + ", expected 0 to " +
                std::to_string(cardinality - 1));
    }
}

void require_voice_size(std::size_t dimension, std::size_t expected) {
    if (dimension != expected) {
        invalid("voice has " + std::to_string(dimension) + " values, expected " + std::to_string(expected));
    }
}

std::span<const float> checked_voice(const float* voice, std::size_t dimension, std::size_t expected) {
    require_pointer(voice, "voice");
    require_voice_size(dimension, expected);
    require_finite(voice, dimension, "voice");
    return {voice, dimension};
}

DecoderSettings decoder_settings(const Model& model, const secousti_decoder_options* options) {
    DecoderSettings settings;
    if (options == nullptr) return settings;
    require_size(options->struct_size, sizeof *options, "secousti_decoder_options");
    settings.threads = checked_threads(options->threads);
    settings.vocoder = {options->look_ahead, options->noise != 0, options->seed};
    if (options->voice != nullptr) {
        const std::size_t dimension = static_cast<std::size_t>(model.config.dimension);
        settings.voice = checked_voice(options->voice, dimension, dimension);
    }
    return settings;
}

void used_otherwise(const std::string& who, DecoderUse before) {
    const char* use = before == DecoderUse::tokens_to_pcm   ? "tokens to PCM"
                      : before == DecoderUse::tokens_to_mel ? "tokens to mel"
                                                            : "mel to PCM";
    throw Error(Status::invalid_state, who + " is already used for " + use + "; reset it first");
}

}  // namespace secousti::core
