// What a live call needs beside its streams.
#include <memory>

#include "bindings/arrays.h"
#include "bindings/handles.h"
#include "bindings/status.h"
#include "secousti_live.h"

namespace secousti::bindings {
namespace {

using VoiceHandle = std::unique_ptr<secousti_voice, Release<secousti_voice_destroy>>;

struct Voice {
    VoiceHandle handle;
    std::atomic<bool> busy{false};

    explicit Voice(secousti_voice* adopted) : handle(adopted) {}
};

std::unique_ptr<Voice> create_voice(const Model& model, const py::object& stored, float stored_seconds) {
    const auto g = optional<float>(stored, "paralinguistic", std::array<py::ssize_t, 1>{model.info.dimension});
    secousti_voice_options options;
    secousti_voice_options_init(&options);
    options.paralinguistic = stored.is_none() ? nullptr : g.data();
    options.stored_seconds = stored_seconds;
    secousti_voice* handle = nullptr;
    run(Source::model, [&] { return secousti_voice_create(model.handle.get(), &options, &handle); });
    return std::make_unique<Voice>(handle);
}

bool push_pcm(Voice& voice, const py::object& object) {
    const auto pcm = require<float>(object, "pcm", std::array{kAny});
    const Exclusive lock(voice.busy);
    const float* in = pcm.data();
    return run(Source::model, [&] { return secousti_voice_push(voice.handle.get(), in, length(pcm)); }) > 0;
}

py::array_t<float> get_voice(Voice& voice, std::size_t dimension) {
    const Exclusive lock(voice.busy);
    auto g = empty<float>({dimension});
    float* out = g.mutable_data();
    run(Source::model, [&] { return secousti_voice_get(voice.handle.get(), out, dimension); });
    return g;
}

}  // namespace

void bind_live(py::module_& module) {
    py::class_<Voice>(module, "Voice", "The voice vector of whoever speaks, estimated while they do.")
        .def(py::init(&create_voice), py::arg("model"), py::arg("paralinguistic") = py::none(),
             py::arg("stored_seconds") = 0.0F)
        .def("push", &push_pcm, py::arg("pcm"), "float32 [samples] -> whether the estimate was renewed.")
        .def("get", &get_voice, py::arg("dimension"), "G, float32 [dimension].")
        .def("seconds", [](const Voice& voice) { return secousti_voice_seconds(voice.handle.get()); });
}

}  // namespace secousti::bindings
