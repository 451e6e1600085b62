// Python's handles of the C interface's objects.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <memory>
#include <stdexcept>

#include "secousti.h"

namespace secousti::bindings {

namespace py = pybind11;

template <auto release>
struct Release {
    template <class T>
    void operator()(T* object) const noexcept {
        release(object);
    }
};

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

void bind_model(py::module_& module);
void bind_streams(py::module_& module);
void bind_groups(py::module_& module);
void bind_device(py::module_& module);
void bind_container(py::module_& module);
void bind_live(py::module_& module);

}  // namespace secousti::bindings
