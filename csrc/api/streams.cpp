// C interface: encoder and decoder streams.
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "api/checks.h"
#include "api/handles.h"
#include "codec/engine.h"

using namespace secousti::core;

namespace {

template <class Options>
int threads_of(const Options* options, const char* name) {
    if (options == nullptr) return 1;
    require_size(options->struct_size, sizeof *options, name);
    return checked_threads(options->threads);
}
int threads_of(const secousti_encoder_options* options) { return threads_of(options, "secousti_encoder_options"); }
int threads_of(const secousti_decoder_options* options) { return threads_of(options, "secousti_decoder_options"); }

void require_running(bool ended) {
    if (ended) throw Error(Status::invalid_state, "the stream was flushed: reset it before it is used again");
}

std::size_t frames_of(const DecoderStream& stream, std::size_t tokens) {
    return tokens * static_cast<std::size_t>(stream.model().config.frames_per_token());
}

void require_use(const DecoderStream& stream, DecoderUse use) {
    require_running(stream.ended());
    if (stream.use() != DecoderUse::undecided && stream.use() != use) used_otherwise("the stream", stream.use());
    if (use != DecoderUse::tokens_to_mel && !stream.model().vocoder) {
        throw Error(Status::unsupported,
                    "the model " + stream.model().config.name + " has no vocoder: it decodes to mel only");
    }
}

secousti_status write_snapshot(Stream& stream, void* bytes, std::size_t capacity) {
    require_pointer(bytes, "bytes");
    require_capacity(capacity, stream.snapshot_bytes(), "bytes");
    stream.snapshot(static_cast<std::byte*>(bytes));
    return SECOUSTI_OK;
}

std::span<const std::byte> snapshot_span(const void* bytes, std::size_t size) {
    require_pointer(bytes, "bytes");
    return {static_cast<const std::byte*>(bytes), size};
}

}  // namespace

extern "C" {

void secousti_encoder_options_init(secousti_encoder_options* options) SECOUSTI_NOEXCEPT {
    if (options != nullptr) *options = {sizeof *options, 1};
}

void secousti_decoder_options_init(secousti_decoder_options* options) SECOUSTI_NOEXCEPT {
    if (options != nullptr) *options = {sizeof *options, 1, -1, 1, 0, nullptr};
}

/* ---- encoder */

secousti_status secousti_encoder_create(secousti_model* model, const secousti_encoder_options* options,
                                        secousti_encoder** encoder) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(model, "model");
        require_pointer(encoder, "encoder");
        *encoder = nullptr;
        *encoder = new secousti_encoder{model->model->engine->make_encoder(model->model, threads_of(options))};
        return SECOUSTI_OK;
    });
}

void secousti_encoder_destroy(secousti_encoder* encoder) SECOUSTI_NOEXCEPT { delete encoder; }

secousti_status secousti_encoder_clone(const secousti_encoder* encoder, secousti_encoder** copy) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(encoder, "encoder");
        require_pointer(copy, "copy");
        *copy = nullptr;
        *copy = new secousti_encoder{encoder->stream->clone()};
        return SECOUSTI_OK;
    });
}

secousti_status secousti_encoder_reset(secousti_encoder* encoder) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(encoder, "encoder");
        encoder->stream->reset();
        return SECOUSTI_OK;
    });
}

size_t secousti_encoder_memory(const secousti_encoder* encoder) SECOUSTI_NOEXCEPT {
    return encoder == nullptr ? 0 : encoder->stream->memory_bytes();
}

size_t secousti_encoder_max_tokens(const secousti_encoder* encoder, size_t samples) SECOUSTI_NOEXCEPT {
    return encoder == nullptr ? 0 : encoder->stream->tokens_after_flush(samples);
}

int32_t secousti_encoder_ended(const secousti_encoder* encoder) SECOUSTI_NOEXCEPT {
    return encoder != nullptr && encoder->stream->ended() ? 1 : 0;
}

int64_t secousti_encoder_push(secousti_encoder* encoder, const float* pcm, size_t samples, int32_t* tokens,
                              size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(encoder, "encoder");
        EncoderStream& stream = *encoder->stream;
        require_running(stream.ended());
        if (samples == 0) return 0;
        require_pointer(pcm, "pcm");
        const std::size_t needed = stream.tokens_after_push(samples);
        require_capacity(capacity, needed, "tokens");
        if (needed != 0) require_pointer(tokens, "tokens");
        require_pcm(pcm, samples);
        return static_cast<int64_t>(stream.push(pcm, samples, tokens));
    });
}

int64_t secousti_encoder_flush(secousti_encoder* encoder, int32_t* tokens, size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(encoder, "encoder");
        EncoderStream& stream = *encoder->stream;
        require_running(stream.ended());
        const std::size_t needed = stream.tokens_after_flush(0);
        require_capacity(capacity, needed, "tokens");
        if (needed != 0) require_pointer(tokens, "tokens");
        return static_cast<int64_t>(stream.flush(tokens));
    });
}

size_t secousti_encoder_snapshot_size(const secousti_encoder* encoder) SECOUSTI_NOEXCEPT {
    return encoder == nullptr ? 0 : encoder->stream->snapshot_bytes();
}

secousti_status secousti_encoder_snapshot(const secousti_encoder* encoder, void* bytes,
                                          size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(encoder, "encoder");
        return write_snapshot(*encoder->stream, bytes, capacity);
    });
}

secousti_status secousti_encoder_restore(secousti_model* model, const void* bytes, size_t size,
                                         const secousti_encoder_options* options,
                                         secousti_encoder** encoder) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(model, "model");
        require_pointer(encoder, "encoder");
        *encoder = nullptr;
        *encoder = new secousti_encoder{
            model->model->engine->restore_encoder(model->model, snapshot_span(bytes, size), threads_of(options))};
        return SECOUSTI_OK;
    });
}

/* ---- decoder */

secousti_status secousti_decoder_create(secousti_model* model, const secousti_decoder_options* options,
                                        secousti_decoder** decoder) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(model, "model");
        require_pointer(decoder, "decoder");
        *decoder = nullptr;
        const DecoderSettings settings = decoder_settings(*model->model, options);
        *decoder = new secousti_decoder{
            model->model->engine->make_decoder(model->model, settings.vocoder, settings.voice, settings.threads)};
        return SECOUSTI_OK;
    });
}

void secousti_decoder_destroy(secousti_decoder* decoder) SECOUSTI_NOEXCEPT { delete decoder; }

secousti_status secousti_decoder_clone(const secousti_decoder* decoder, secousti_decoder** copy) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(decoder, "decoder");
        require_pointer(copy, "copy");
        *copy = nullptr;
        *copy = new secousti_decoder{decoder->stream->clone()};
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_reset(secousti_decoder* decoder) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(decoder, "decoder");
        decoder->stream->reset();
        return SECOUSTI_OK;
    });
}

size_t secousti_decoder_memory(const secousti_decoder* decoder) SECOUSTI_NOEXCEPT {
    return decoder == nullptr ? 0 : decoder->stream->memory_bytes();
}

int32_t secousti_decoder_latency(const secousti_decoder* decoder) SECOUSTI_NOEXCEPT {
    return decoder == nullptr ? 0 : decoder->stream->latency();
}

secousti_status secousti_decoder_set_voice(secousti_decoder* decoder, const float* voice,
                                           size_t dimension) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(decoder, "decoder");
        const std::size_t expected = static_cast<std::size_t>(decoder->stream->model().config.dimension);
        decoder->stream->set_voice(checked_voice(voice, dimension, expected));
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_get_voice(const secousti_decoder* decoder, float* voice,
                                           size_t dimension) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(decoder, "decoder");
        require_pointer(voice, "voice");
        require_capacity(dimension, static_cast<std::size_t>(decoder->stream->model().config.dimension), "values");
        decoder->stream->get_voice(voice);
        return SECOUSTI_OK;
    });
}

size_t secousti_decoder_max_samples(const secousti_decoder* decoder, size_t tokens) SECOUSTI_NOEXCEPT {
    return decoder == nullptr ? 0 : decoder->stream->samples_owed(frames_of(*decoder->stream, tokens));
}

int32_t secousti_decoder_ended(const secousti_decoder* decoder) SECOUSTI_NOEXCEPT {
    return decoder != nullptr && decoder->stream->ended() ? 1 : 0;
}

int64_t secousti_decoder_push(secousti_decoder* decoder, const int32_t* tokens, size_t count, float* pcm,
                              size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(decoder, "decoder");
        DecoderStream& stream = *decoder->stream;
        require_use(stream, DecoderUse::tokens_to_pcm);
        if (count == 0) return 0;
        require_pointer(pcm, "pcm");
        require_capacity(capacity, stream.samples_owed(frames_of(stream, count)), "samples");
        if (tokens != nullptr) require_tokens(stream.model(), tokens, count);
        return static_cast<int64_t>(stream.push(tokens, count, pcm));
    });
}

int64_t secousti_decoder_push_to_mel(secousti_decoder* decoder, const int32_t* tokens, size_t count, float* mel,
                                     size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(decoder, "decoder");
        DecoderStream& stream = *decoder->stream;
        require_use(stream, DecoderUse::tokens_to_mel);
        if (count == 0) return 0;
        require_pointer(mel, "mel");
        const std::size_t frames = frames_of(stream, count);
        require_capacity(capacity, frames, "frames");
        if (tokens != nullptr) require_tokens(stream.model(), tokens, count);
        stream.push_to_mel(tokens, count, mel);
        return static_cast<int64_t>(frames);
    });
}

int64_t secousti_decoder_push_from_mel(secousti_decoder* decoder, const float* mel, size_t frames, float* pcm,
                                       size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(decoder, "decoder");
        DecoderStream& stream = *decoder->stream;
        require_use(stream, DecoderUse::mel_to_pcm);
        if (frames == 0) return 0;
        require_pointer(mel, "mel");
        require_pointer(pcm, "pcm");
        require_capacity(capacity, stream.samples_owed(frames), "samples");
        require_finite(mel, frames * static_cast<std::size_t>(stream.model().config.n_mels), "mel");
        return static_cast<int64_t>(stream.push_from_mel(mel, frames, pcm));
    });
}

int64_t secousti_decoder_flush(secousti_decoder* decoder, float* pcm, size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        require_pointer(decoder, "decoder");
        DecoderStream& stream = *decoder->stream;
        require_running(stream.ended());
        const std::size_t needed = stream.samples_owed(0);
        require_capacity(capacity, needed, "samples");
        if (needed != 0) require_pointer(pcm, "pcm");
        return static_cast<int64_t>(stream.flush(pcm));
    });
}

size_t secousti_decoder_snapshot_size(const secousti_decoder* decoder) SECOUSTI_NOEXCEPT {
    return decoder == nullptr ? 0 : decoder->stream->snapshot_bytes();
}

secousti_status secousti_decoder_snapshot(const secousti_decoder* decoder, void* bytes,
                                          size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(decoder, "decoder");
        return write_snapshot(*decoder->stream, bytes, capacity);
    });
}

secousti_status secousti_decoder_restore(secousti_model* model, const void* bytes, size_t size,
                                         const secousti_decoder_options* options,
                                         secousti_decoder** decoder) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(model, "model");
        require_pointer(decoder, "decoder");
        *decoder = nullptr;
        *decoder = new secousti_decoder{
            model->model->engine->restore_decoder(model->model, snapshot_span(bytes, size), threads_of(options))};
        return SECOUSTI_OK;
    });
}

}  // extern "C"
