// Python's handles of the C interface's objects.
#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>

#include "bindings/arrays.h"
#include "bindings/status.h"
#include "secousti.hpp"

namespace secousti::bindings {

namespace py = pybind11;

template <auto release>
using Release = secousti::detail::Deleter<release>;

using ModelHandle = std::unique_ptr<secousti_model, Release<secousti_model_release>>;
using EncoderHandle = std::unique_ptr<secousti_encoder, Release<secousti_encoder_destroy>>;
using DecoderHandle = std::unique_ptr<secousti_decoder, Release<secousti_decoder_destroy>>;

struct Model {
    ModelHandle handle;
    secousti_model_info info{};
};

/// Holds a stream for one call. Calls run without the GIL, so two Python threads could otherwise enter one stream.
class Exclusive {
  public:
    explicit Exclusive(std::atomic<bool>& busy) : busy_(busy) {
        if (busy_.exchange(true, std::memory_order_acquire)) {
            throw std::runtime_error("the stream is in use by another thread; give each thread its own");
        }
    }
    ~Exclusive() { busy_.store(false, std::memory_order_release); }
    Exclusive(const Exclusive&) = delete;
    Exclusive& operator=(const Exclusive&) = delete;

  private:
    std::atomic<bool>& busy_;
};

/// G [dimension] as an argument that may be None, while the call lasts.
class OptionalVoice {
  public:
    OptionalVoice(const py::object& object, py::ssize_t dimension)
        : array_(optional<float>(object, "voice", std::array{dimension})), given_(!object.is_none()) {}
    /// Null: zeros.
    const float* data() const { return given_ ? array_.data() : nullptr; }

  private:
    py::array_t<float> array_;
    bool given_;
};

inline secousti_decoder_options decoder_options(std::int32_t threads, std::int32_t look_ahead = -1, bool noise = true,
                                                std::uint64_t seed = 0, const float* voice = nullptr) {
    secousti_decoder_options options;
    secousti_decoder_options_init(&options);
    options.threads = threads;
    options.look_ahead = look_ahead;
    options.noise = noise ? 1 : 0;
    options.seed = seed;
    options.voice = voice;
    return options;
}

/// `size` bytes that `write(data)` fills, which returns a status.
template <class Write>
py::bytes written(Source source, std::size_t size, const Write& write) {
    auto bytes = py::reinterpret_steal<py::bytes>(PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(size)));
    if (!bytes) throw py::error_already_set();
    char* data = PyBytes_AS_STRING(bytes.ptr());
    run(source, [&] { return write(data); });
    return bytes;
}

void bind_model(py::module_& module);
void bind_streams(py::module_& module);
void bind_groups(py::module_& module);
void bind_device(py::module_& module);
void bind_container(py::module_& module);
void bind_live(py::module_& module);

}  // namespace secousti::bindings
