// C interface: single stages on whole inputs.
#include <memory>
#include <string>
#include <vector>

#include "api/checks.h"
#include "api/handles.h"
#include "codec/offline.h"

using namespace secousti::core;

namespace {

/// The model behind a handle.
const Model& checked(const secousti_model* model) {
    require_pointer(model, "model");
    return *model->model;
}

/// What follows a check of a clip's argument: which clip it was.
template <class Body>
void of_clip(std::size_t clip, const Body& body) {
    try {
        body();
    } catch (const Error& error) {
        throw Error(error.status(), "clip " + std::to_string(clip) + ": " + error.what());
    }
}

}  // namespace

extern "C" {

int64_t secousti_mel(const secousti_model* model, const float* pcm, size_t samples, float* mel,
                     size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        const std::unique_ptr<Offline> offline = make_offline(checked(model), 1);
        const std::size_t frames = offline->mel_frames(samples);
        require_capacity(capacity, frames, "frames");
        if (frames == 0) return 0;
        require_pointer(pcm, "pcm");
        require_pointer(mel, "mel");
        require_pcm(pcm, samples);
        offline->mel(pcm, samples, mel);
        return static_cast<int64_t>(frames);
    });
}

int64_t secousti_encode_mel(const secousti_model* model, const float* mel, size_t frames, int32_t threads,
                            const secousti_encode_outputs* outputs) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        const Model& m = checked(model);
        require_pointer(outputs, "outputs");
        require_size(outputs->struct_size, sizeof *outputs, "secousti_encode_outputs");
        const std::unique_ptr<Offline> offline = make_offline(m, checked_threads(threads));
        if (frames == 0) return 0;
        require_pointer(mel, "mel");
        require_finite(mel, frames * static_cast<std::size_t>(m.config.n_mels), "mel");
        offline->encode_mel(
            mel, frames,
            {{outputs->encoder_out, outputs->semantic_mu, outputs->fsq_in, outputs->tokens}, outputs->acoustic_embed});
        return static_cast<int64_t>(offline->tokens_of(frames));
    });
}

secousti_status secousti_voice_of_mel(const secousti_model* model, const float* mel, size_t frames,
                                      float* voice) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        const Model& m = checked(model);
        if (frames == 0) invalid("mel has no frames: a voice needs at least one");
        require_pointer(mel, "mel");
        require_pointer(voice, "voice");
        require_finite(mel, frames * static_cast<std::size_t>(m.config.n_mels), "mel");
        make_offline(m, 1)->voice(mel, frames, voice);
        return SECOUSTI_OK;
    });
}

int64_t secousti_decode_tokens(const secousti_model* model, const int32_t* tokens, size_t count, const float* voice,
                               int32_t threads, float* mel, size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        const Model& m = checked(model);
        const std::unique_ptr<Offline> offline = make_offline(m, checked_threads(threads));
        const std::size_t frames = count * static_cast<std::size_t>(m.config.frames_per_token());
        require_capacity(capacity, frames, "frames");
        if (count == 0) return 0;
        require_pointer(tokens, "tokens");
        require_pointer(mel, "mel");
        require_tokens(m, tokens, count);
        const std::size_t dimension = static_cast<std::size_t>(m.config.dimension);
        checked_voice(voice, dimension, dimension);
        offline->decode_tokens(tokens, count, voice, mel);
        return static_cast<int64_t>(frames);
    });
}

int64_t secousti_decode_acoustic(const secousti_model* model, const float* acoustic, size_t count, int32_t threads,
                                 float* mel, size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        const Model& m = checked(model);
        const std::unique_ptr<Offline> offline = make_offline(m, checked_threads(threads));
        const std::size_t frames = count * static_cast<std::size_t>(m.config.frames_per_token());
        require_capacity(capacity, frames, "frames");
        if (count == 0) return 0;
        require_pointer(acoustic, "acoustic");
        require_pointer(mel, "mel");
        require_finite(acoustic, count * static_cast<std::size_t>(m.config.dimension), "acoustic");
        offline->decode_acoustic(acoustic, count, mel);
        return static_cast<int64_t>(frames);
    });
}

int64_t secousti_vocode(const secousti_model* model, const float* mel, size_t frames,
                        const secousti_decoder_options* options, float* pcm, size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        const Model& m = checked(model);
        const DecoderSettings settings = decoder_settings(m, options);
        const std::unique_ptr<Offline> offline = make_offline(m, settings.threads);
        const std::size_t samples = frames * static_cast<std::size_t>(m.config.hop_length);
        require_capacity(capacity, samples, "samples");
        if (frames == 0) return 0;
        require_pointer(mel, "mel");
        require_pointer(pcm, "pcm");
        require_finite(mel, frames * static_cast<std::size_t>(m.config.n_mels), "mel");
        offline->vocode(mel, frames, settings.vocoder, pcm);
        return static_cast<int64_t>(samples);
    });
}

secousti_status secousti_encode_clips(const secousti_model* model, const float* const* pcm, const size_t* samples,
                                      size_t count, int32_t threads, int32_t* const* tokens,
                                      float* const* voice) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        const std::unique_ptr<Offline> offline = make_offline(checked(model), checked_threads(threads));
        if (count == 0) return SECOUSTI_OK;
        require_pointer(pcm, "pcm");
        require_pointer(samples, "samples");
        require_pointer(tokens, "tokens");
        std::vector<ClipToEncode> clips;
        for (std::size_t i = 0; i < count; ++i) {
            of_clip(i, [&] {
                if (samples[i] != 0) require_pointer(pcm[i], "pcm");
                if (offline->mel_frames(samples[i]) != 0) require_pointer(tokens[i], "tokens");
                require_pcm(pcm[i], samples[i]);
            });
            clips.push_back({pcm[i], samples[i], tokens[i], voice == nullptr ? nullptr : voice[i]});
        }
        offline->encode_clips(clips);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decode_clips(const secousti_model* model, const int32_t* const* tokens, const size_t* counts,
                                      const float* const* voice, size_t count, const secousti_decoder_options* options,
                                      float* const* pcm) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        const Model& m = checked(model);
        const DecoderSettings settings = decoder_settings(m, options);
        const std::unique_ptr<Offline> offline = make_offline(m, settings.threads);
        if (count == 0) return SECOUSTI_OK;
        require_pointer(tokens, "tokens");
        require_pointer(counts, "counts");
        require_pointer(voice, "voice");
        require_pointer(pcm, "pcm");
        std::vector<ClipToDecode> clips;
        for (std::size_t i = 0; i < count; ++i) {
            if (counts[i] == 0) continue;
            of_clip(i, [&] {
                require_pointer(tokens[i], "tokens");
                require_pointer(pcm[i], "pcm");
                require_tokens(m, tokens[i], counts[i]);
                const std::size_t dimension = static_cast<std::size_t>(m.config.dimension);
                checked_voice(voice[i], dimension, dimension);
            });
            clips.push_back({tokens[i], counts[i], voice[i], pcm[i]});
        }
        offline->decode_clips(clips, settings.vocoder);
        return SECOUSTI_OK;
    });
}

}  // extern "C"
