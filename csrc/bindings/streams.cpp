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

template <class Handle>
struct Stream {
    Handle handle;
    std::atomic<bool> busy{false};

    explicit Stream(typename Handle::pointer adopted) : handle(adopted) {}
};
using Encoder = Stream<EncoderHandle>;
using Decoder = Stream<DecoderHandle>;

template <class StreamType, class Size, class Write>
py::bytes snapshot_bytes(StreamType& stream, const Size& snapshot_size, const Write& write) {
    const Exclusive lock(stream.busy);
    const std::size_t size = snapshot_size(stream.handle.get());
    auto bytes = py::reinterpret_steal<py::bytes>(PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(size)));
    if (!bytes) throw py::error_already_set();
    char* data = PyBytes_AS_STRING(bytes.ptr());
    run(Source::snapshot, [&] { return write(stream.handle.get(), data, size); });
    return bytes;
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
    return std::make_unique<Encoder>(handle);
}

std::unique_ptr<Encoder> restore_encoder(const Model& model, const py::bytes& bytes, std::int32_t threads) {
    const auto options = encoder_options(threads);
    const std::string_view data = bytes;
    secousti_encoder* handle = nullptr;
    run(Source::snapshot,
        [&] { return secousti_encoder_restore(model.handle.get(), data.data(), data.size(), &options, &handle); });
    return std::make_unique<Encoder>(handle);
}

std::unique_ptr<Encoder> clone_encoder(Encoder& encoder) {
    const Exclusive lock(encoder.busy);
    secousti_encoder* handle = nullptr;
    run(Source::model, [&] { return secousti_encoder_clone(encoder.handle.get(), &handle); });
    return std::make_unique<Encoder>(handle);
}

py::array_t<std::int32_t> push_pcm(Encoder& encoder, const py::object& object) {
    const auto pcm = require<float>(object, "pcm", std::array{kAny});
    const Exclusive lock(encoder.busy);
    const std::size_t capacity = secousti_encoder_max_tokens(encoder.handle.get(), length(pcm));
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
    const auto g = optional<float>(voice, "voice", std::array<py::ssize_t, 1>{model.info.dimension});
    secousti_decoder_options options;
    secousti_decoder_options_init(&options);
    options.threads = threads;
    options.look_ahead = look_ahead;
    options.noise = noise ? 1 : 0;
    options.seed = seed;
    options.voice = voice.is_none() ? nullptr : g.data();
    secousti_decoder* handle = nullptr;
    run(Source::model, [&] { return secousti_decoder_create(model.handle.get(), &options, &handle); });
    return std::make_unique<Decoder>(handle);
}

std::unique_ptr<Decoder> restore_decoder(const Model& model, const py::bytes& bytes, std::int32_t threads) {
    secousti_decoder_options options;
    secousti_decoder_options_init(&options);
    options.threads = threads;
    const std::string_view data = bytes;
    secousti_decoder* handle = nullptr;
    run(Source::snapshot,
        [&] { return secousti_decoder_restore(model.handle.get(), data.data(), data.size(), &options, &handle); });
    return std::make_unique<Decoder>(handle);
}

std::unique_ptr<Decoder> clone_decoder(Decoder& decoder) {
    const Exclusive lock(decoder.busy);
    secousti_decoder* handle = nullptr;
    run(Source::model, [&] { return secousti_decoder_clone(decoder.handle.get(), &handle); });
    return std::make_unique<Decoder>(handle);
}

/// `tokens` null: `count` lost ones.
py::array_t<float> decode(Decoder& decoder, const std::int32_t* tokens, std::size_t count) {
    const Exclusive lock(decoder.busy);
    const std::size_t capacity = secousti_decoder_max_samples(decoder.handle.get(), count);
    auto pcm = empty<float>({capacity});
    float* out = pcm.mutable_data();
    const auto written =
        run(Source::model, [&] { return secousti_decoder_push(decoder.handle.get(), tokens, count, out, capacity); });
    return shrink(std::move(pcm), static_cast<std::size_t>(written));
}

py::array_t<float> push_tokens(Decoder& decoder, const py::object& object) {
    const auto tokens = require<std::int32_t>(object, "tokens", std::array{kAny});
    return decode(decoder, tokens.data(), length(tokens));
}

py::array_t<float> conceal(Decoder& decoder, std::size_t count) { return decode(decoder, nullptr, count); }

py::array_t<float> decode_to_mel(Decoder& decoder, const std::int32_t* tokens, std::size_t count,
                                 std::size_t frames_per_token, std::size_t n_mels) {
    const Exclusive lock(decoder.busy);
    const std::size_t frames = count * frames_per_token;
    auto mel = empty<float>({frames, n_mels});
    float* out = mel.mutable_data();
    run(Source::model, [&] { return secousti_decoder_push_to_mel(decoder.handle.get(), tokens, count, out, frames); });
    return mel;
}

py::array_t<float> push_to_mel(Decoder& decoder, const py::object& object, std::size_t frames_per_token,
                               std::size_t n_mels) {
    const auto tokens = require<std::int32_t>(object, "tokens", std::array{kAny});
    return decode_to_mel(decoder, tokens.data(), length(tokens), frames_per_token, n_mels);
}

py::array_t<float> conceal_to_mel(Decoder& decoder, std::size_t count, std::size_t frames_per_token,
                                  std::size_t n_mels) {
    return decode_to_mel(decoder, nullptr, count, frames_per_token, n_mels);
}

py::array_t<float> push_from_mel(Decoder& decoder, const py::object& object, std::size_t frames_per_token,
                                 std::size_t n_mels) {
    const auto mel = require<float>(object, "mel", std::array{kAny, static_cast<py::ssize_t>(n_mels)});
    const Exclusive lock(decoder.busy);
    const std::size_t frames = static_cast<std::size_t>(mel.shape(0));
    const std::size_t tokens = (frames + frames_per_token - 1) / frames_per_token;
    const std::size_t capacity = secousti_decoder_max_samples(decoder.handle.get(), tokens);
    auto pcm = empty<float>({capacity});
    const float* in = mel.data();
    float* out = pcm.mutable_data();
    const auto count = run(
        Source::model, [&] { return secousti_decoder_push_from_mel(decoder.handle.get(), in, frames, out, capacity); });
    return shrink(std::move(pcm), static_cast<std::size_t>(count));
}

py::array_t<float> flush_decoder(Decoder& decoder) {
    const Exclusive lock(decoder.busy);
    const std::size_t capacity = secousti_decoder_max_samples(decoder.handle.get(), 0);
    auto pcm = empty<float>({capacity});
    float* out = pcm.mutable_data();
    const auto count = run(Source::model, [&] { return secousti_decoder_flush(decoder.handle.get(), out, capacity); });
    return shrink(std::move(pcm), static_cast<std::size_t>(count));
}

void set_voice(Decoder& decoder, const py::object& object) {
    const auto g = require<float>(object, "voice", std::array{kAny});
    const Exclusive lock(decoder.busy);
    const float* in = g.data();
    run(Source::model, [&] { return secousti_decoder_set_voice(decoder.handle.get(), in, length(g)); });
}

py::array_t<float> get_voice(Decoder& decoder, std::size_t dimension) {
    const Exclusive lock(decoder.busy);
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
        .def("conceal_to_mel", &conceal_to_mel, py::arg("count"), py::arg("frames_per_token"), py::arg("n_mels"),
             "As push_to_mel for tokens that were lost.")
        .def("push_to_mel", &push_to_mel, py::arg("tokens"), py::arg("frames_per_token"), py::arg("n_mels"),
             "int32 [N] -> log-mel float32 [N * frames_per_token, n_mels].")
        .def("push_from_mel", &push_from_mel, py::arg("mel"), py::arg("frames_per_token"), py::arg("n_mels"),
             "Log-mel float32 [frames, n_mels] -> the samples that are ready, float32.")
        .def("flush", &flush_decoder, "Ends the stream; the remaining samples, float32.")
        .def("snapshot",
             [](Decoder& decoder) {
                 return snapshot_bytes(decoder, &secousti_decoder_snapshot_size, &secousti_decoder_snapshot);
             })
        .def("memory_bytes", [](const Decoder& decoder) { return secousti_decoder_memory(decoder.handle.get()); })
        .def("latency", [](const Decoder& decoder) { return secousti_decoder_latency(decoder.handle.get()); })
        .def("set_voice", &set_voice, py::arg("voice"), "Replaces G from the next token on.")
        .def("get_voice", &get_voice, py::arg("dimension"));
}

}  // namespace secousti::bindings
