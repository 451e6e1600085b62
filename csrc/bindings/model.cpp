// Model and its offline stages.
#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/handles.h"
#include "bindings/status.h"

namespace secousti::bindings {
namespace {

std::unique_ptr<Model> adopt(secousti_model* handle) {
    auto model = std::make_unique<Model>();
    model->handle.reset(handle);
    model->info.struct_size = sizeof model->info;
    run(Source::model, [&] { return secousti_model_get_info(handle, &model->info); });
    return model;
}

constexpr std::array<const char*, 3> kPrecisions{"fp32", "bf16", "int8"};

std::int32_t precision_of(const std::optional<std::string>& name) {
    if (!name) return SECOUSTI_PRECISION_DEFAULT;
    for (std::size_t i = 0; i < kPrecisions.size(); ++i) {
        if (name == kPrecisions[i]) return static_cast<std::int32_t>(i);
    }
    throw py::value_error("precision: '" + *name + "' is none of fp32, bf16, int8");
}

secousti_model_options options_for(const char* isa, const std::optional<std::string>& precision,
                                   const std::string& device) {
    secousti_model_options options;
    secousti_model_options_init(&options);
    options.isa = isa;
    options.precision = precision_of(precision);
    options.device = device.c_str();
    return options;
}

std::unique_ptr<Model> open(const py::bytes& path, const char* isa, const std::optional<std::string>& precision,
                            const std::string& device) {
    const auto options = options_for(isa, precision, device);
    const std::string name = path;
    secousti_model* handle = nullptr;
    run(Source::model, [&] { return secousti_model_open(name.c_str(), &options, &handle); });
    return adopt(handle);
}

/// The bytes of an object, held until the end of the scope.
class ContiguousBytes {
  public:
    explicit ContiguousBytes(const py::buffer& object) {
        if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) == 0) return;
        // NumPy refuses with one, memoryview with the other.
        if (!PyErr_ExceptionMatches(PyExc_ValueError) && !PyErr_ExceptionMatches(PyExc_BufferError)) {
            throw py::error_already_set();
        }
        PyErr_Clear();
        throw py::value_error("data: expected a C-contiguous buffer");
    }
    ~ContiguousBytes() { PyBuffer_Release(&view_); }
    ContiguousBytes(const ContiguousBytes&) = delete;
    ContiguousBytes& operator=(const ContiguousBytes&) = delete;

    const void* data() const { return view_.buf; }
    std::size_t size() const { return static_cast<std::size_t>(view_.len); }

  private:
    Py_buffer view_{};
};

std::unique_ptr<Model> open_memory(const py::buffer& data, const char* isa, const std::optional<std::string>& precision,
                                   const std::string& device) {
    const auto options = options_for(isa, precision, device);
    const ContiguousBytes bytes(data);
    secousti_model* handle = nullptr;
    run(Source::model, [&] { return secousti_model_open_memory(bytes.data(), bytes.size(), &options, &handle); });
    return adopt(handle);
}

py::dict info(const Model& model) {
    const secousti_model_info& i = model.info;
    py::dict d;
    d["name"] = i.name;
    d["config_json"] = i.config_json;
    d["isa"] = i.isa;
    d["precision"] = kPrecisions[static_cast<std::size_t>(i.precision)];
    d["vocoder"] = i.vocoder;
    d["sample_rate"] = i.sample_rate;
    d["hop_length"] = i.hop_length;
    d["frame_size"] = i.frame_size;
    d["frame_rate"] = i.frame_rate;
    d["cardinality"] = i.cardinality;
    d["n_mels"] = i.n_mels;
    d["dimension"] = i.dimension;
    d["fsq_dimensions"] = i.fsq_dimensions;
    d["prompt_frames"] = i.prompt_frames;
    d["has_acoustic_branch"] = i.has_acoustic_branch != 0;
    d["has_vocoder"] = i.has_vocoder != 0;
    d["vocoder_look_ahead"] = i.vocoder_look_ahead;
    d["encoder_latency"] = i.encoder_latency;
    d["decoder_latency"] = i.decoder_latency;
    d["identity"] = i.identity;
    d["parameters"] = i.parameters;
    d["memory_bytes"] = i.memory_bytes;
    d["half_weights"] = i.half_weights != 0;
    d["device"] = i.device;
    d["device_bytes"] = i.device_bytes;
    return d;
}

std::size_t size(std::int32_t n) { return static_cast<std::size_t>(n); }

py::array_t<float> mel(const Model& model, const py::object& pcm_object) {
    const auto pcm = require<float>(pcm_object, "pcm", std::array{kAny});
    const std::size_t frames = length(pcm) / size(model.info.hop_length);
    auto out = empty<float>({frames, size(model.info.n_mels)});
    const float* in = pcm.data();
    float* result = out.mutable_data();
    run(Source::model, [&] { return secousti_mel(model.handle.get(), in, length(pcm), result, frames); });
    return out;
}

py::dict encode_mel(const Model& model, const py::object& mel_object, std::int32_t threads) {
    const auto mel = require<float>(mel_object, "mel", std::array<py::ssize_t, 2>{kAny, model.info.n_mels});
    const std::size_t stride = size(model.info.frame_size / model.info.hop_length);
    const std::size_t frames = length(mel);
    const std::size_t count = (frames + stride - 1) / stride;
    const std::size_t dimension = size(model.info.dimension);
    const bool acoustic = model.info.has_acoustic_branch != 0;
    py::dict d;
    const auto add = [&](const char* name, std::size_t width) {
        auto array = empty<float>({count, width});
        d[name] = array;
        return array.mutable_data();
    };
    secousti_encode_outputs outputs{};
    outputs.struct_size = sizeof outputs;
    outputs.encoder_out = add("encoder_out", dimension);
    d["acoustic_embed"] = py::none();
    if (acoustic) outputs.acoustic_embed = add("acoustic_embed", dimension);
    outputs.semantic_mu = add("semantic_mu", dimension);
    outputs.fsq_in = add("fsq_in", size(model.info.fsq_dimensions));
    auto tokens = empty<std::int32_t>({count});
    d["tokens"] = tokens;
    outputs.tokens = tokens.mutable_data();
    const float* in = mel.data();
    run(Source::model, [&] { return secousti_encode_mel(model.handle.get(), in, frames, threads, &outputs); });
    return d;
}

py::array_t<float> voice(const Model& model, const py::object& mel_object) {
    const auto mel = require<float>(mel_object, "mel", std::array<py::ssize_t, 2>{kAny, model.info.n_mels});
    auto out = empty<float>({size(model.info.dimension)});
    const float* in = mel.data();
    float* result = out.mutable_data();
    run(Source::model, [&] { return secousti_voice_of_mel(model.handle.get(), in, length(mel), result); });
    return out;
}

py::array_t<float> decode_tokens(const Model& model, const py::object& token_object, const py::object& g_object,
                                 std::int32_t threads) {
    const auto tokens = require<std::int32_t>(token_object, "tokens", std::array{kAny});
    const auto g = require<float>(g_object, "voice", std::array<py::ssize_t, 1>{model.info.dimension});
    const std::size_t frames = length(tokens) * size(model.info.frame_size / model.info.hop_length);
    auto out = empty<float>({frames, size(model.info.n_mels)});
    const std::int32_t* in = tokens.data();
    const float* voice = g.data();
    float* result = out.mutable_data();
    run(Source::model,
        [&] { return secousti_decode_tokens(model.handle.get(), in, length(tokens), voice, threads, result, frames); });
    return out;
}

py::array_t<float> decode_acoustic(const Model& model, const py::object& object, std::int32_t threads) {
    const auto acoustic = require<float>(object, "acoustic", std::array<py::ssize_t, 2>{kAny, model.info.dimension});
    const std::size_t frames = length(acoustic) * size(model.info.frame_size / model.info.hop_length);
    auto out = empty<float>({frames, size(model.info.n_mels)});
    const float* in = acoustic.data();
    float* result = out.mutable_data();
    run(Source::model,
        [&] { return secousti_decode_acoustic(model.handle.get(), in, length(acoustic), threads, result, frames); });
    return out;
}

/// Without a seed there is no noise.
secousti_decoder_options vocoder_options(std::optional<std::uint64_t> seed, std::int32_t look_ahead,
                                         std::int32_t threads) {
    return decoder_options(threads, look_ahead, seed.has_value(), seed.value_or(0));
}

py::array_t<float> vocode(const Model& model, const py::object& mel_object, std::optional<std::uint64_t> seed,
                          std::int32_t look_ahead, std::int32_t threads) {
    const auto mel = require<float>(mel_object, "mel", std::array<py::ssize_t, 2>{kAny, model.info.n_mels});
    const secousti_decoder_options options = vocoder_options(seed, look_ahead, threads);
    const std::size_t samples = length(mel) * size(model.info.hop_length);
    auto out = empty<float>({samples});
    const float* in = mel.data();
    float* result = out.mutable_data();
    run(Source::model, [&] { return secousti_vocode(model.handle.get(), in, length(mel), &options, result, samples); });
    return out;
}

/// The clips of a list, each checked, and their addresses for the C interface.
template <class T>
struct Clips {
    std::vector<py::array_t<T>> arrays;
    std::vector<const T*> data;
    std::vector<std::size_t> lengths;

    Clips(const py::list& objects, const char* name, py::ssize_t expected) {
        for (const auto& object : objects) {
            arrays.push_back(
                require<T>(py::reinterpret_borrow<py::object>(object), name, std::array<py::ssize_t, 1>{expected}));
            data.push_back(arrays.back().data());
            lengths.push_back(length(arrays.back()));
        }
    }
};

/// As many new arrays as there are lengths, in a list, and their addresses.
template <class T>
py::list new_clips(const std::vector<std::size_t>& lengths, std::vector<T*>& data) {
    py::list list;
    for (const std::size_t n : lengths) {
        auto array = empty<T>({n});
        data.push_back(array.mutable_data());
        list.append(array);
    }
    return list;
}

py::tuple encode_clips(const Model& model, const py::list& objects, std::int32_t threads, bool voices) {
    const Clips<float> clips(objects, "pcm", kAny);
    const std::size_t hop = size(model.info.hop_length), ratio = size(model.info.frame_size) / hop;
    std::vector<std::size_t> counts;
    for (const std::size_t samples : clips.lengths) counts.push_back((samples / hop + ratio - 1) / ratio);
    std::vector<std::int32_t*> tokens;
    std::vector<float*> g;
    py::list token_list = new_clips(counts, tokens);
    py::object voice_list = py::none();
    if (voices) voice_list = new_clips(std::vector(clips.data.size(), size(model.info.dimension)), g);
    run(Source::model, [&] {
        return secousti_encode_clips(model.handle.get(), clips.data.data(), clips.lengths.data(), clips.data.size(),
                                     threads, tokens.data(), voices ? g.data() : nullptr);
    });
    return py::make_tuple(token_list, voice_list);
}

py::list decode_clips(const Model& model, const py::list& token_objects, const py::list& voice_objects,
                      std::optional<std::uint64_t> seed, std::int32_t look_ahead, std::int32_t threads) {
    const Clips<std::int32_t> tokens(token_objects, "tokens", kAny);
    const Clips<float> voices(voice_objects, "voice", model.info.dimension);
    if (tokens.data.size() != voices.data.size()) throw py::value_error("voice: one for each clip");
    const secousti_decoder_options options = vocoder_options(seed, look_ahead, threads);
    std::vector<std::size_t> lengths;
    for (const std::size_t count : tokens.lengths) lengths.push_back(count * size(model.info.frame_size));
    std::vector<float*> pcm;
    py::list list = new_clips(lengths, pcm);
    run(Source::model, [&] {
        return secousti_decode_clips(model.handle.get(), tokens.data.data(), tokens.lengths.data(), voices.data.data(),
                                     tokens.data.size(), &options, pcm.data());
    });
    return list;
}

}  // namespace

void bind_model(py::module_& module) {
    py::class_<Model>(module, "Model", "An opened model: immutable, for any number of threads.")
        .def(py::init(&open), py::arg("path"), py::arg("isa") = nullptr, py::arg("precision") = py::none(),
             py::arg("device") = "cpu", "Opens the safetensors file at `path` (bytes in the file system's encoding).")
        .def_static("from_memory", &open_memory, py::arg("data"), py::arg("isa") = nullptr,
                    py::arg("precision") = py::none(), py::arg("device") = "cpu",
                    "Opens a safetensors file held in memory; the data is copied.")
        .def("info", &info, "Sizes, latencies (samples), identity and configuration.")
        .def("mel", &mel, py::arg("pcm"), "float32 [samples] -> log-mel float32 [floor(samples / hop_length), n_mels].")
        .def("encode_mel", &encode_mel, py::arg("mel"), py::arg("threads") = 1,
             "Log-mel [T, n_mels] -> every stage of the encoder; acoustic_embed is None without an acoustic branch.")
        .def("voice", &voice, py::arg("mel"), "Log-mel [T, n_mels] -> G float32 [dimension].")
        .def("decode_tokens", &decode_tokens, py::arg("tokens"), py::arg("voice"), py::arg("threads") = 1,
             "int32 [N], G float32 [dimension] -> log-mel [T, n_mels].")
        .def("decode_acoustic", &decode_acoustic, py::arg("acoustic"), py::arg("threads") = 1,
             "float32 [N, dimension] -> log-mel [T, n_mels].")
        .def("vocode", &vocode, py::arg("mel"), py::arg("seed") = py::none(), py::arg("look_ahead") = -1,
             py::arg("threads") = 1, "Log-mel [T, n_mels] -> float32 [T * hop_length]; no noise when `seed` is None.")
        .def("encode_clips", &encode_clips, py::arg("pcm"), py::arg("threads") = 1, py::arg("voices") = true,
             "float32 [samples] each -> tokens, int32 [N] each, and G, float32 [dimension] each (None if not wanted).")
        .def("decode_clips", &decode_clips, py::arg("tokens"), py::arg("voice"), py::arg("seed") = py::none(),
             py::arg("look_ahead") = -1, py::arg("threads") = 1,
             "int32 [N] and G float32 [dimension] each -> float32 [N * frame_size] each.");
}

}  // namespace secousti::bindings
