// What the files of the C interface share: handles, and the boundary that no exception crosses.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "api/last_error.h"
#include "codec/single.h"
#include "secousti.h"

struct secousti_model {
    secousti::core::ModelPtr model;
};

struct secousti_encoder {
    std::unique_ptr<secousti::core::SingleEncoder> stream;
};

struct secousti_decoder {
    std::unique_ptr<secousti::core::SingleDecoder> stream;
};

namespace secousti::core {

/// Records a failure and returns its code.
inline secousti_status fail(Status status, const char* message) noexcept {
    set_last_error(status, message);
    return static_cast<secousti_status>(status);
}

/// Runs `body`, which returns a status or a count; turns exceptions into codes.
template <class Body>
auto guarded(Body&& body) noexcept -> decltype(body()) {
    try {
        return std::forward<Body>(body)();
    } catch (...) {
        return static_cast<decltype(body())>(status_of_current_exception());
    }
}

[[noreturn]] inline void invalid(const std::string& message) { throw Error(Status::invalid_argument, message); }

inline void require_pointer(const void* pointer, const char* name) {
    if (pointer == nullptr) invalid(std::string(name) + " is NULL");
}

/// The threads of an options struct, checked.
inline int checked_threads(int threads) {
    if (threads < 1 || threads > kMaxThreads) {
        invalid("threads is " + std::to_string(threads) + ", expected 1 to " + std::to_string(kMaxThreads));
    }
    return threads;
}

/// `struct_size` must hold this version's struct.
inline void require_size(std::size_t size, std::size_t expected, const char* name) {
    if (size < expected) {
        invalid(std::string(name) + ".struct_size is " + std::to_string(size) + ", expected at least " +
                std::to_string(expected) + ": initialise the struct first");
    }
}

/// Room in the caller's buffer for what a call can return.
inline void require_capacity(std::size_t capacity, std::size_t needed, const char* what) {
    if (capacity < needed) {
        invalid("capacity is " + std::to_string(capacity) + " " + what + ", this call can return " +
                std::to_string(needed));
    }
}

void require_finite(const float* values, std::size_t count, const char* name);
void require_pcm(const float* pcm, std::size_t samples);
void require_tokens(const Model& model, const std::int32_t* tokens, std::size_t count);

/// Decoder options checked and translated; NULL means defaults.
struct DecoderSettings {
    VocoderOptions vocoder;
    int threads = 1;
    std::span<const float> voice;
};
DecoderSettings decoder_settings(const Model& model, const secousti_decoder_options* options);

}  // namespace secousti::core
