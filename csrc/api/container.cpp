#include "io/container.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "api/handles.h"
#include "io/voice_code.h"
#include "secousti_container.h"

using namespace secousti::core;

struct secousti_container_writer {
    ContainerWriter writer;
    std::size_t dimension;
    std::vector<std::byte> ready;  // not yet taken
    std::vector<std::byte> taken;
};

struct secousti_container {
    ContainerContents contents;
    std::vector<secousti_lost_range> lost;
    std::string notes;
};

namespace {

void require(bool condition, const char* message) {
    if (!condition) throw Error(Status::invalid_argument, message);
}

template <class T>
std::span<T> array(T* data, std::size_t count, const char* null_message) {
    require(data != nullptr || count == 0, null_message);
    return {data, count};
}

std::uint32_t not_negative(std::int32_t value, const char* message) {
    require(value >= 0, message);
    return static_cast<std::uint32_t>(value);
}

ContainerInfo info_of(const secousti_container_info* info) {
    require(info != nullptr, "container: info is NULL");
    require(info->struct_size == sizeof *info, "container: info was not set up by secousti_container_info_init");
    return {.identity = info->identity,
            .sample_rate = not_negative(info->sample_rate, "container: the sample rate is negative"),
            .samples_per_token = not_negative(info->samples_per_token, "container: samples_per_token is negative"),
            .cardinality = not_negative(info->cardinality, "container: the cardinality is negative"),
            .tokens = info->tokens,
            .samples = info->samples,
            .dimension = not_negative(info->dimension, "container: the dimension is negative")};
}

ContainerOptions options_of(const secousti_container_info& info) {
    return {.tokens_per_group = not_negative(info.tokens_per_group, "container: tokens_per_group is negative"),
            .repeat_voice = info.repeat_voice != 0};
}

std::span<const float> optional_vector(const float* values, std::size_t dimension) {
    return values == nullptr ? std::span<const float>() : std::span(values, dimension);
}

}  // namespace

void secousti_container_info_init(secousti_container_info* info) noexcept {
    if (info == nullptr) return;
    *info = {};
    info->struct_size = sizeof *info;
    info->tokens = info->samples = -1;
    info->tokens_per_group = static_cast<std::int32_t>(ContainerOptions().tokens_per_group);
}

std::int64_t secousti_container_pack(const secousti_container_info* info, const std::int32_t* tokens, std::size_t count,
                                     const float* voice, void* bytes, std::size_t capacity) noexcept {
    std::int64_t size = 0;
    const auto status = guarded([&] {
        const ContainerInfo stream = info_of(info);
        const auto packed =
            write_container(stream, array(tokens, count, "container: tokens is NULL"),
                            array(voice, stream.dimension, "container: voice is NULL"), options_of(*info));
        size = static_cast<std::int64_t>(packed.size());
        if (bytes == nullptr && capacity == 0) return;
        require(bytes != nullptr, "container: bytes is NULL");
        if (capacity < packed.size()) {
            throw Error(Status::invalid_argument, "container: a buffer of " + std::to_string(capacity) +
                                                      " bytes, needs " + std::to_string(packed.size()));
        }
        std::memcpy(bytes, packed.data(), packed.size());
    });
    return status == SECOUSTI_OK ? size : std::int64_t{status};
}

secousti_status secousti_container_writer_create(const secousti_container_info* info, const float* voice,
                                                 secousti_container_writer** writer) noexcept {
    return guarded([&] {
        require(writer != nullptr, "container: writer is NULL");
        *writer = nullptr;
        const ContainerInfo stream = info_of(info);
        std::vector<std::byte> header;
        ContainerWriter inner(stream, optional_vector(voice, stream.dimension), header, options_of(*info));
        *writer = new secousti_container_writer{std::move(inner), stream.dimension, std::move(header), {}};
    });
}

void secousti_container_writer_destroy(secousti_container_writer* writer) noexcept { delete writer; }

secousti_status secousti_container_writer_append(secousti_container_writer* writer, const std::int32_t* tokens,
                                                 std::size_t count) noexcept {
    return guarded([&] {
        require(writer != nullptr, "container: writer is NULL");
        writer->writer.append(array(tokens, count, "container: tokens is NULL"), writer->ready);
    });
}

secousti_status secousti_container_writer_flush(secousti_container_writer* writer) noexcept {
    return guarded([&] {
        require(writer != nullptr, "container: writer is NULL");
        writer->writer.flush(writer->ready);
    });
}

secousti_status secousti_container_writer_finish(secousti_container_writer* writer, std::int64_t samples,
                                                 const float* voice) noexcept {
    return guarded([&] {
        require(writer != nullptr, "container: writer is NULL");
        writer->writer.finish(samples, optional_vector(voice, writer->dimension), writer->ready);
    });
}

std::int64_t secousti_container_writer_take(secousti_container_writer* writer, const void** bytes) noexcept {
    const auto status = guarded([&] {
        require(writer != nullptr && bytes != nullptr, "container: writer or bytes is NULL");
        std::swap(writer->taken, writer->ready);
        writer->ready.clear();
        *bytes = writer->taken.data();
    });
    return status == SECOUSTI_OK ? static_cast<std::int64_t>(writer->taken.size()) : std::int64_t{status};
}

secousti_status secousti_container_open(const void* bytes, std::size_t size, secousti_container** container) noexcept {
    return guarded([&] {
        require(container != nullptr, "container: container is NULL");
        *container = nullptr;
        auto opened = std::make_unique<secousti_container>();
        opened->contents =
            read_container(array(static_cast<const std::byte*>(bytes), size, "container: bytes is NULL"));
        for (const LostRange& range : opened->contents.lost) opened->lost.push_back({range.first, range.count});
        for (const std::string& note : opened->contents.notes) {
            opened->notes += opened->notes.empty() ? note : "\n" + note;
        }
        *container = opened.release();
    });
}

void secousti_container_close(secousti_container* container) noexcept { delete container; }

secousti_status secousti_container_get_info(const secousti_container* container,
                                            secousti_container_info* info) noexcept {
    return guarded([&] {
        require(container != nullptr && info != nullptr, "container: container or info is NULL");
        require(info->struct_size == sizeof *info, "container: info was not set up by secousti_container_info_init");
        const ContainerInfo& from = container->contents.info;
        info->identity = from.identity;
        info->sample_rate = static_cast<std::int32_t>(from.sample_rate);
        info->samples_per_token = static_cast<std::int32_t>(from.samples_per_token);
        info->cardinality = static_cast<std::int32_t>(from.cardinality);
        info->dimension = static_cast<std::int32_t>(from.dimension);
        info->tokens = from.tokens;
        info->samples = from.samples;
    });
}

secousti_status secousti_container_get_contents(const secousti_container* container,
                                                secousti_container_contents* contents) noexcept {
    return guarded([&] {
        require(container != nullptr && contents != nullptr, "container: container or contents is NULL");
        require(contents->struct_size == sizeof *contents, "container: contents->struct_size is not its size");
        const ContainerContents& from = container->contents;
        *contents = {.struct_size = sizeof *contents,
                     .tokens = from.tokens.data(),
                     .count = from.tokens.size(),
                     .voice = from.voice.empty() ? nullptr : from.voice.data(),
                     .lost = container->lost.data(),
                     .lost_count = container->lost.size(),
                     .notes = container->notes.c_str(),
                     .repaired_bits = from.repaired_bits,
                     .info_lost = from.info_lost,
                     .voice_lost = from.voice_lost,
                     .complete = from.complete,
                     .token_bytes = from.bytes.tokens,
                     .framing_bytes = from.bytes.framing,
                     .header_bytes = from.bytes.header,
                     .voice_bytes = from.bytes.voice,
                     .damaged_bytes = from.bytes.damaged};
    });
}

secousti_status secousti_container_quantise(const float* values, std::size_t dimension, float* result) noexcept {
    return guarded([&] {
        const auto in = array(values, dimension, "container: values is NULL");
        const auto out = array(result, dimension, "container: result is NULL");
        std::vector<std::byte> code;
        quantise_voice(in, code);
        dequantise_voice(code, out);
    });
}
