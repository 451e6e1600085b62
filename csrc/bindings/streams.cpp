// EncoderStream and DecoderStream.
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "bindings/arrays.h"
#include "bindings/handles.h"
#include "bindings/status.h"

namespace secousti::bindings {
namespace {

struct Encoder {
    EncoderHandle handle;
    std::atomic<bool> busy{false};
    std::size_t frame_size;

    Encoder(secousti_encoder* adopted, std::size_t samples) : handle(adopted), frame_size(samples) {}
    Encoder(secousti_encoder* adopted, const Model& model)
        : Encoder(adopted, static_cast<std::size_t>(model.info.frame_size)) {}
};

/// What the shapes of a decoder's arrays come from.
struct Shapes {
    std::size_t frame_size, hop, bands, dimension;

    explicit Shapes(const secousti_model_info& info)
        : frame_size(static_cast<std::size_t>(info.frame_size)),
          hop(static_cast<std::size_t>(info.hop_length)),
          bands(static_cast<std::size_t>(info.n_mels)),
          dimension(static_cast<std::size_t>(info.dimension)) {}
    std::size_t frames_per_token() const noexcept { return frame_size / hop; }
};

struct Decoder {
    DecoderHandle handle;
    std::atomic<bool> busy{false};
    Shapes shapes;
    std::size_t latency;

    Decoder(secousti_decoder* adopted, const Shapes& of_model)
        : handle(adopted),
          shapes(of_model),
          latency(static_cast<std::size_t>(secousti_decoder_latency(handle.get()))) {}
    Decoder(secousti_decoder* adopted, const Model& model) : Decoder(adopted, Shapes(model.info)) {}
};

template <class StreamType, class Size, class Write>
py::bytes snapshot_bytes(StreamType& stream, const Size& snapshot_size, const Write& write) {
    const Exclusive lock(stream.busy);
    const std::size_t size = snapshot_size(stream.handle.get());
    return written(Source::snapshot, size, [&](char* data) { return write(stream.handle.get(), data, size); });
}

secousti_encoder_options encoder_options(std::int32_t threads) {
    secousti_encoder_options options;
    secousti_encoder_options_init(&options);
    options.threads = threads;
    return options;
}

std::unique_ptr<Encoder> create_encoder(const Model& model, std::int32_t threads) {
    const auto options = encoder_options(threads);
    secousti_encoder* handle = nullptr;
    run(Source::model, [&] { return secousti_encoder_create(model.handle.get(), &options, &handle); });
    return std::make_unique<Encoder>(handle, model);
}

std::unique_ptr<Encoder> restore_encoder(const Model& model, const py::bytes& bytes, std::int32_t threads) {
    const auto options = encoder_options(threads);
    const std::string_view data = bytes;
    secousti_encoder* handle = nullptr;
    run(Source::snapshot,
        [&] { return secousti_encoder_restore(model.handle.get(), data.data(), data.size(), &options, &handle); });
    return std::make_unique<Encoder>(handle, model);
}

std::unique_ptr<Encoder> clone_encoder(Encoder& encoder) {
    const Exclusive lock(encoder.busy);
    secousti_encoder* handle = nullptr;
    run(Source::model, [&] { return secousti_encoder_clone(encoder.handle.get(), &handle); });
    return std::make_unique<Encoder>(handle, encoder.frame_size);
}

py::array_t<std::int32_t> push_pcm(Encoder& encoder, const py::object& object) {
    const auto pcm = require<float>(object, "pcm", std::array{kAny});
    const Exclusive lock(encoder.busy);
    const std::size_t capacity = length(pcm) / encoder.frame_size + 1;
    auto tokens = empty<std::int32_t>({capacity});
    const float* in = pcm.data();
    std::int32_t* out = tokens.mutable_data();
    const auto count =
        run(Source::model, [&] { return secousti_encoder_push(encoder.handle.get(), in, length(pcm), out, capacity); });
    return shrink(std::move(tokens), static_cast<std::size_t>(count));
}

py::array_t<std::int32_t> flush_encoder(Encoder& encoder) {
    const Exclusive lock(encoder.busy);
    const std::size_t capacity = secousti_encoder_max_tokens(encoder.handle.get(), 0);
    auto tokens = empty<std::int32_t>({capacity});
    std::int32_t* out = tokens.mutable_data();
    const auto count = run(Source::model, [&] { return secousti_encoder_flush(encoder.handle.get(), out, capacity); });
    return shrink(std::move(tokens), static_cast<std::size_t>(count));
}

std::unique_ptr<Decoder> create_decoder(const Model& model, const py::object& voice, std::uint64_t seed, bool noise,
                                        std::int32_t look_ahead, std::int32_t threads) {
    const OptionalVoice g(voice, model.info.dimension);
    const auto options = decoder_options(threads, look_ahead, noise, seed, g.data());
    secousti_decoder* handle = nullptr;
    run(Source::model, [&] { return secousti_decoder_create(model.handle.get(), &options, &handle); });
    return std::make_unique<Decoder>(handle, model);
}

std::unique_ptr<Decoder> restore_decoder(const Model& model, const py::bytes& bytes, std::int32_t threads) {
    const auto options = decoder_options(threads);
    const std::string_view data = bytes;
    secousti_decoder* handle = nullptr;
    run(Source::snapshot,
        [&] { return secousti_decoder_restore(model.handle.get(), data.data(), data.size(), &options, &handle); });
    return std::make_unique<Decoder>(handle, model);
}

std::unique_ptr<Decoder> clone_decoder(Decoder& decoder) {
    const Exclusive lock(decoder.busy);
    secousti_decoder* handle = nullptr;
    run(Source::model, [&] { return secousti_decoder_clone(decoder.handle.get(), &handle); });
    return std::make_unique<Decoder>(handle, decoder.shapes);
}

/// The samples that a call writes: at most those of `frames` more of mel, and what the vocoder holds back.
template <class Call>
py::array_t<float> samples_of(const Decoder& decoder, std::size_t frames, const Call& call) {
    const std::size_t capacity = frames * decoder.shapes.hop + decoder.latency;
    auto pcm = empty<float>({capacity});
    float* out = pcm.mutable_data();
    const auto count = run(Source::model, [&] { return call(out, capacity); });
    return shrink(std::move(pcm), static_cast<std::size_t>(count));
}

/// `tokens` null: `count` lost ones.
py::array_t<float> decode(Decoder& decoder, const std::int32_t* tokens, std::size_t count) {
    const Exclusive lock(decoder.busy);
    return samples_of(decoder, count * decoder.shapes.frames_per_token(), [&](float* pcm, std::size_t capacity) {
        return secousti_decoder_push(decoder.handle.get(), tokens, count, pcm, capacity);
    });
}

py::array_t<float> push_tokens(Decoder& decoder, const py::object& object) {
    const auto tokens = require<std::int32_t>(object, "tokens", std::array{kAny});
    return decode(decoder, tokens.data(), length(tokens));
}

py::array_t<float> conceal(Decoder& decoder, std::size_t count) { return decode(decoder, nullptr, count); }

py::array_t<float> decode_to_mel(Decoder& decoder, const std::int32_t* tokens, std::size_t count) {
    const Exclusive lock(decoder.busy);
    const std::size_t frames = count * decoder.shapes.frames_per_token();
    auto mel = empty<float>({frames, decoder.shapes.bands});
    float* out = mel.mutable_data();
    run(Source::model, [&] { return secousti_decoder_push_to_mel(decoder.handle.get(), tokens, count, out, frames); });
    return mel;
}

py::array_t<float> push_to_mel(Decoder& decoder, const py::object& object) {
    const auto tokens = require<std::int32_t>(object, "tokens", std::array{kAny});
    return decode_to_mel(decoder, tokens.data(), length(tokens));
}

py::array_t<float> conceal_to_mel(Decoder& decoder, std::size_t count) {
    return decode_to_mel(decoder, nullptr, count);
}

py::array_t<float> push_from_mel(Decoder& decoder, const py::object& object) {
    const auto mel = require<float>(object, "mel", std::array{kAny, static_cast<py::ssize_t>(decoder.shapes.bands)});
    const Exclusive lock(decoder.busy);
    const std::size_t frames = length(mel);
    const float* in = mel.data();
    return samples_of(decoder, frames, [&](float* pcm, std::size_t capacity) {
        return secousti_decoder_push_from_mel(decoder.handle.get(), in, frames, pcm, capacity);
    });
}

py::array_t<float> flush_decoder(Decoder& decoder) {
    const Exclusive lock(decoder.busy);
    return samples_of(decoder, 0, [&](float* pcm, std::size_t capacity) {
        return secousti_decoder_flush(decoder.handle.get(), pcm, capacity);
    });
}

void set_voice(Decoder& decoder, const py::object& object) {
    const auto g = require<float>(object, "voice", std::array{kAny});
    const Exclusive lock(decoder.busy);
    const float* in = g.data();
    run(Source::model, [&] { return secousti_decoder_set_voice(decoder.handle.get(), in, length(g)); });
}

py::array_t<float> get_voice(Decoder& decoder) {
    const Exclusive lock(decoder.busy);
    const std::size_t dimension = decoder.shapes.dimension;
    auto g = empty<float>({dimension});
    float* out = g.mutable_data();
    run(Source::model, [&] { return secousti_decoder_get_voice(decoder.handle.get(), out, dimension); });
    return g;
}

}  // namespace

void bind_streams(py::module_& module) {
    py::class_<Encoder>(module, "Encoder", "PCM to tokens, a chunk at a time. One thread at a time.")
        .def(py::init(&create_encoder), py::arg("model"), py::arg("threads") = 1)
        .def_static("restore", &restore_encoder, py::arg("model"), py::arg("snapshot"), py::arg("threads") = 1)
        .def("clone", &clone_encoder)
        .def("reset",
             [](Encoder& encoder) {
                 const Exclusive lock(encoder.busy);
                 run(Source::model, [&] { return secousti_encoder_reset(encoder.handle.get()); });
             })
        .def("push", &push_pcm, py::arg("pcm"), "float32 [samples] -> the tokens that are ready, int32.")
        .def(
            "ended", [](const Encoder& encoder) { return secousti_encoder_ended(encoder.handle.get()) != 0; },
            "Whether it was flushed and not reset.")
        .def("flush", &flush_encoder, "Ends the stream; the remaining tokens, int32.")
        .def("memory_bytes", [](const Encoder& encoder) { return secousti_encoder_memory(encoder.handle.get()); })
        .def("snapshot", [](Encoder& encoder) {
            return snapshot_bytes(encoder, &secousti_encoder_snapshot_size, &secousti_encoder_snapshot);
        });

    py::class_<Decoder>(module, "Decoder", "Tokens to PCM, a chunk at a time. One thread at a time.")
        .def(py::init(&create_decoder), py::arg("model"), py::arg("voice") = py::none(), py::arg("seed") = 0,
             py::arg("noise") = true, py::arg("look_ahead") = -1, py::arg("threads") = 1)
        .def_static("restore", &restore_decoder, py::arg("model"), py::arg("snapshot"), py::arg("threads") = 1)
        .def("clone", &clone_decoder)
        .def("reset",
             [](Decoder& decoder) {
                 const Exclusive lock(decoder.busy);
                 run(Source::model, [&] { return secousti_decoder_reset(decoder.handle.get()); });
             })
        .def("push", &push_tokens, py::arg("tokens"), "int32 [N] -> the samples that are ready, float32.")
        .def("conceal", &conceal, py::arg("count"), "As push for tokens that were lost.")
        .def("conceal_to_mel", &conceal_to_mel, py::arg("count"), "As push_to_mel for tokens that were lost.")
        .def("push_to_mel", &push_to_mel, py::arg("tokens"),
             "int32 [N] -> log-mel float32 [N * frames_per_token, n_mels].")
        .def("push_from_mel", &push_from_mel, py::arg("mel"),
             "Log-mel float32 [frames, n_mels] -> the samples that are ready, float32.")
        .def("flush", &flush_decoder, "Ends the stream; the remaining samples, float32.")
        .def("snapshot",
             [](Decoder& decoder) {
                 return snapshot_bytes(decoder, &secousti_decoder_snapshot_size, &secousti_decoder_snapshot);
             })
        .def("memory_bytes", [](const Decoder& decoder) { return secousti_decoder_memory(decoder.handle.get()); })
        .def("latency", [](const Decoder& decoder) { return decoder.latency; })
        .def("set_voice", &set_voice, py::arg("voice"), "Replaces G from the next token on.")
        .def("get_voice", &get_voice);
}

}  // namespace secousti::bindings
