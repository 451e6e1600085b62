// C interface: packets of a live call.
#include "io/packet.h"

#include <memory>
#include <string>

#include "api/checks.h"
#include "api/handles.h"
#include "secousti_live.h"

using namespace secousti::core;

struct secousti_packet_writer {
    PacketWriter writer;
};

struct secousti_packet_reader {
    PacketReader reader;
};

namespace {

static_assert(static_cast<int>(PacketResult::accepted) == SECOUSTI_PACKET_ACCEPTED);
static_assert(static_cast<int>(PacketResult::late) == SECOUSTI_PACKET_LATE);
static_assert(static_cast<int>(PacketResult::known) == SECOUSTI_PACKET_KNOWN);
static_assert(static_cast<int>(PacketResult::stray) == SECOUSTI_PACKET_STRAY);
static_assert(static_cast<int>(PacketResult::damaged) == SECOUSTI_PACKET_DAMAGED);
static_assert(static_cast<int>(PacketReader::Next::lost) == SECOUSTI_PACKET_LOST);
static_assert(static_cast<int>(PacketReader::Next::token) == SECOUSTI_PACKET_TOKEN);
static_assert(static_cast<int>(PacketReader::Next::waiting) == SECOUSTI_PACKET_WAITING);

std::uint32_t not_negative(std::int32_t value, const char* name) {
    if (value < 0) invalid("packets: " + std::string(name) + " is " + std::to_string(value));
    return static_cast<std::uint32_t>(value);
}

PacketStream stream_of(const secousti_packet_options* options) {
    require_pointer(options, "options");
    require_size(options->struct_size, sizeof *options, "secousti_packet_options");
    return {options->identity, not_negative(options->cardinality, "cardinality"),
            not_negative(options->dimension, "dimension")};
}

}  // namespace

extern "C" {

void secousti_packet_options_init(secousti_packet_options* options, const secousti_model* model) SECOUSTI_NOEXCEPT {
    if (options == nullptr) return;
    *options = {};
    options->struct_size = sizeof *options;
    options->tokens_per_packet = static_cast<std::int32_t>(PacketWriterOptions().tokens_per_packet);
    options->depth = 8;
    if (model == nullptr) return;
    options->identity = model->model->identity;
    options->cardinality = model->model->config.cardinality();
    options->dimension = model->model->config.dimension;
}

secousti_status secousti_packet_writer_create(const secousti_packet_options* options,
                                              secousti_packet_writer** writer) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(writer, "writer");
        *writer = nullptr;
        const PacketStream stream = stream_of(options);
        const PacketWriterOptions settings{
            .tokens_per_packet = not_negative(options->tokens_per_packet, "tokens_per_packet"),
            .redundancy = not_negative(options->redundancy, "redundancy"),
            .voice_repeat = not_negative(options->voice_repeat, "voice_repeat")};
        *writer = new secousti_packet_writer{PacketWriter(stream, settings)};
        return SECOUSTI_OK;
    });
}

void secousti_packet_writer_destroy(secousti_packet_writer* writer) SECOUSTI_NOEXCEPT { delete writer; }

size_t secousti_packet_writer_max_bytes(const secousti_packet_writer* writer) SECOUSTI_NOEXCEPT {
    return writer == nullptr ? 0 : writer->writer.max_bytes();
}

int64_t secousti_packet_writer_push(secousti_packet_writer* writer, int32_t token, void* bytes,
                                    size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(writer, "writer");
        require_pointer(bytes, "bytes");
        require_capacity(capacity, writer->writer.max_bytes(), "bytes");
        const auto cardinality = static_cast<std::int32_t>(writer->writer.stream().cardinality);
        if (token < 0 || token >= cardinality) {
            invalid("token is " + std::to_string(token) + ", expected 0 to " + std::to_string(cardinality - 1));
        }
        return static_cast<int64_t>(writer->writer.push(token, static_cast<std::byte*>(bytes)));
    });
}

int64_t secousti_packet_writer_flush(secousti_packet_writer* writer, void* bytes, size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(writer, "writer");
        require_pointer(bytes, "bytes");
        require_capacity(capacity, writer->writer.max_bytes(), "bytes");
        return static_cast<int64_t>(writer->writer.flush(static_cast<std::byte*>(bytes)));
    });
}

secousti_status secousti_packet_writer_set_voice(secousti_packet_writer* writer, const float* voice,
                                                 size_t dimension) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(writer, "writer");
        writer->writer.set_voice(checked_voice(voice, dimension, writer->writer.stream().dimension));
        return SECOUSTI_OK;
    });
}

secousti_status secousti_packet_reader_create(const secousti_packet_options* options,
                                              secousti_packet_reader** reader) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(reader, "reader");
        *reader = nullptr;
        const PacketStream stream = stream_of(options);
        *reader = new secousti_packet_reader{PacketReader(stream, not_negative(options->depth, "depth"))};
        return SECOUSTI_OK;
    });
}

void secousti_packet_reader_destroy(secousti_packet_reader* reader) SECOUSTI_NOEXCEPT { delete reader; }

int64_t secousti_packet_reader_push(secousti_packet_reader* reader, const void* bytes, size_t size) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(reader, "reader");
        if (size != 0) require_pointer(bytes, "bytes");
        return static_cast<int64_t>(reader->reader.push({static_cast<const std::byte*>(bytes), size}));
    });
}

int64_t secousti_packet_reader_pop(secousti_packet_reader* reader, int32_t* token) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(reader, "reader");
        require_pointer(token, "token");
        return static_cast<int64_t>(reader->reader.pop(*token));
    });
}

size_t secousti_packet_reader_buffered(const secousti_packet_reader* reader) SECOUSTI_NOEXCEPT {
    return reader == nullptr ? 0 : reader->reader.buffered();
}

int64_t secousti_packet_reader_take_voice(secousti_packet_reader* reader, float* voice,
                                          size_t dimension) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(reader, "reader");
        require_pointer(voice, "voice");
        require_voice_size(dimension, reader->reader.stream().dimension);
        return reader->reader.take_voice({voice, dimension}) ? 1 : 0;
    });
}

secousti_status secousti_packet_reader_get_counts(const secousti_packet_reader* reader,
                                                  secousti_packet_counts* counts) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(reader, "reader");
        require_pointer(counts, "counts");
        require_size(counts->struct_size, sizeof *counts, "secousti_packet_counts");
        const PacketCounts& from = reader->reader.counts();
        *counts = {sizeof *counts, from.packets, from.late,      from.known, from.stray,
                   from.damaged,   from.tokens,  from.recovered, from.lost,  from.restarts};
        return SECOUSTI_OK;
    });
}

}  // extern "C"
