// What a live call needs beside its streams.
#include <memory>
#include <string_view>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/handles.h"
#include "bindings/status.h"
#include "secousti_live.h"

namespace secousti::bindings {
namespace {

using VoiceHandle = std::unique_ptr<secousti_voice_estimator, Release<secousti_voice_estimator_destroy>>;

struct Voice {
    VoiceHandle handle;
    std::atomic<bool> busy{false};

    explicit Voice(secousti_voice_estimator* adopted) : handle(adopted) {}
};

std::unique_ptr<Voice> create_voice(const Model& model, const py::object& stored, float stored_seconds) {
    const OptionalVoice g(stored, model.info.dimension);
    secousti_voice_estimator_options options;
    secousti_voice_estimator_options_init(&options);
    options.voice = g.data();
    options.stored_seconds = stored_seconds;
    secousti_voice_estimator* handle = nullptr;
    run(Source::model, [&] { return secousti_voice_estimator_create(model.handle.get(), &options, &handle); });
    return std::make_unique<Voice>(handle);
}

bool push_pcm(Voice& voice, const py::object& object) {
    const auto pcm = require<float>(object, "pcm", std::array{kAny});
    const Exclusive lock(voice.busy);
    const float* in = pcm.data();
    return run(Source::model, [&] { return secousti_voice_estimator_push(voice.handle.get(), in, length(pcm)); }) > 0;
}

py::array_t<float> get_voice(Voice& voice, std::size_t dimension) {
    const Exclusive lock(voice.busy);
    auto g = empty<float>({dimension});
    float* out = g.mutable_data();
    run(Source::model, [&] { return secousti_voice_estimator_get(voice.handle.get(), out, dimension); });
    return g;
}

/* ---- packets */

using WriterHandle = std::unique_ptr<secousti_packet_writer, Release<secousti_packet_writer_destroy>>;
using ReaderHandle = std::unique_ptr<secousti_packet_reader, Release<secousti_packet_reader_destroy>>;

struct Writer {
    WriterHandle handle;
    std::vector<char> packet;  ///< room for one
    std::atomic<bool> busy{false};

    explicit Writer(secousti_packet_writer* adopted)
        : handle(adopted), packet(secousti_packet_writer_max_bytes(adopted)) {}

    /// The packet that `size` bytes are; a negative size is an error.
    py::bytes taken(std::int64_t size) const {
        if (size < 0) raise(static_cast<secousti_status>(size), Source::model, 0);
        return {packet.data(), static_cast<std::size_t>(size)};
    }
};

struct Reader {
    ReaderHandle handle;
    std::size_t dimension;
    std::atomic<bool> busy{false};

    Reader(secousti_packet_reader* adopted, std::size_t values) : handle(adopted), dimension(values) {}
};

std::unique_ptr<Writer> create_writer(const Model& model, std::int32_t tokens_per_packet, std::int32_t redundancy,
                                      std::int32_t voice_repeat) {
    secousti_packet_options options;
    secousti_packet_options_init(&options, model.handle.get());
    options.tokens_per_packet = tokens_per_packet;
    options.redundancy = redundancy;
    options.voice_repeat = voice_repeat;
    secousti_packet_writer* handle = nullptr;
    run(Source::model, [&] { return secousti_packet_writer_create(&options, &handle); });
    return std::make_unique<Writer>(handle);
}

// Steps of packets take less than letting the GIL go and taking it again, so they keep it.

py::list push_tokens(Writer& writer, const py::object& object) {
    const auto tokens = require<std::int32_t>(object, "tokens", std::array{kAny});
    const Exclusive lock(writer.busy);
    py::list packets;
    for (std::size_t i = 0; i < length(tokens); ++i) {
        const std::int64_t size = secousti_packet_writer_push(writer.handle.get(), tokens.data()[i],
                                                              writer.packet.data(), writer.packet.size());
        if (size != 0) packets.append(writer.taken(size));
    }
    return packets;
}

py::bytes flush_packet(Writer& writer) {
    const Exclusive lock(writer.busy);
    return writer.taken(secousti_packet_writer_flush(writer.handle.get(), writer.packet.data(), writer.packet.size()));
}

void set_packet_voice(Writer& writer, const py::object& object) {
    const auto g = require<float>(object, "voice", std::array{kAny});
    const Exclusive lock(writer.busy);
    const float* values = g.data();
    run(Source::model, [&] { return secousti_packet_writer_set_voice(writer.handle.get(), values, length(g)); });
}

std::unique_ptr<Reader> create_reader(const Model& model, std::int32_t depth) {
    secousti_packet_options options;
    secousti_packet_options_init(&options, model.handle.get());
    options.depth = depth;
    secousti_packet_reader* handle = nullptr;
    run(Source::model, [&] { return secousti_packet_reader_create(&options, &handle); });
    return std::make_unique<Reader>(handle, static_cast<std::size_t>(options.dimension));
}

int push_packet(Reader& reader, const py::bytes& packet) {
    const std::string_view bytes = packet;
    const Exclusive lock(reader.busy);
    return static_cast<int>(secousti_packet_reader_push(reader.handle.get(), bytes.data(), bytes.size()));
}

py::object pop_token(Reader& reader) {
    const Exclusive lock(reader.busy);
    std::int32_t token = SECOUSTI_TOKEN_NONE;
    const std::int64_t next = secousti_packet_reader_pop(reader.handle.get(), &token);
    return next == SECOUSTI_PACKET_WAITING ? py::object(py::none()) : py::object(py::int_(token));
}

py::object take_packet_voice(Reader& reader) {
    const Exclusive lock(reader.busy);
    auto g = empty<float>({reader.dimension});
    const std::int64_t taken =
        secousti_packet_reader_take_voice(reader.handle.get(), g.mutable_data(), reader.dimension);
    return taken > 0 ? py::object(g) : py::object(py::none());
}

py::dict packet_counts(Reader& reader) {
    const Exclusive lock(reader.busy);
    secousti_packet_counts counts{};
    counts.struct_size = sizeof counts;
    run(Source::model, [&] { return secousti_packet_reader_get_counts(reader.handle.get(), &counts); });
    py::dict result;
    result["packets"] = counts.packets;
    result["late"] = counts.late;
    result["known"] = counts.known;
    result["stray"] = counts.stray;
    result["damaged"] = counts.damaged;
    result["tokens"] = counts.tokens;
    result["recovered"] = counts.recovered;
    result["lost"] = counts.lost;
    result["restarts"] = counts.restarts;
    return result;
}

}  // namespace

void bind_live(py::module_& module) {
    py::class_<Writer>(module, "PacketWriter", "Tokens to packets of a live call.")
        .def(py::init(&create_writer), py::arg("model"), py::arg("tokens_per_packet") = 4, py::arg("redundancy") = 0,
             py::arg("voice_repeat") = 0)
        .def("push", &push_tokens, py::arg("tokens"), "int32 [n] -> the packets that they complete.")
        .def("flush", &flush_packet, "The tokens that wait as a shorter packet; empty if none do.")
        .def("set_voice", &set_packet_voice, py::arg("voice"), "Sends G, float32 [dimension], from now on.")
        .def("max_bytes", [](const Writer& writer) { return writer.packet.size(); });
    py::class_<Reader>(module, "PacketReader", "Packets in any order to tokens in theirs.")
        .def(py::init(&create_reader), py::arg("model"), py::arg("depth") = 8)
        .def("push", &push_packet, py::arg("packet"), "Bytes -> secousti_packet_result.")
        .def("pop", &pop_token, "The next token, -1 if it is lost, None if there is nothing to play.")
        .def("buffered", [](const Reader& reader) { return secousti_packet_reader_buffered(reader.handle.get()); })
        .def("take_voice", &take_packet_voice, "G, float32 [dimension], if it is new; else None.")
        .def("counts", &packet_counts, "secousti_packet_counts as a dict.");
    py::class_<Voice>(module, "Voice", "The voice vector of whoever speaks, estimated while they do.")
        .def(py::init(&create_voice), py::arg("model"), py::arg("voice") = py::none(), py::arg("stored_seconds") = 0.0F)
        .def("push", &push_pcm, py::arg("pcm"), "float32 [samples] -> whether the estimate was renewed.")
        .def("get", &get_voice, py::arg("dimension"), "G, float32 [dimension].")
        .def("seconds", [](const Voice& voice) { return secousti_voice_estimator_seconds(voice.handle.get()); });
}

}  // namespace secousti::bindings
