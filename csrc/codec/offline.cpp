#include "codec/offline.h"

#include <algorithm>
#include <string>

#include "base/arena.h"
#include "base/error.h"
#include "models/limits.h"

namespace secousti::core {

Offline::Offline(const Model& model, int threads) : model_(model) {
    if (threads > 1) pool_ = std::make_unique<ThreadPool>(threads);
}

std::size_t Offline::mel_frames(std::size_t samples) const noexcept {
    return samples / static_cast<std::size_t>(model_.config.hop_length);
}

std::size_t Offline::tokens_of(std::size_t frames) const noexcept {
    const std::size_t ratio = static_cast<std::size_t>(model_.config.frames_per_token());
    return (frames + ratio - 1) / ratio;
}

void Offline::mel(const float* pcm, std::size_t samples, float* out) const {
    Arena state(model_.encoder_state.bytes()), scratch(model_.encoder_scratch.bytes());
    const std::size_t bands = static_cast<std::size_t>(model_.config.n_mels);
    while (samples > 0) {
        const std::size_t part = std::min(samples, static_cast<std::size_t>(model_.mel.max_samples()));
        out += bands * static_cast<std::size_t>(model_.mel.push(exec(), state.data(), scratch.data(), pcm,
                                                                static_cast<int>(part), false, out));
        pcm += part;
        samples -= part;
    }
    model_.mel.push(exec(), state.data(), scratch.data(), nullptr, 0, true, out);
}

void Offline::encode_mel(const float* mel, std::size_t frames, const EncodeOutputs& out) const {
    if (out.acoustic_embed != nullptr && !model_.acoustic) {
        throw Error(Status::unsupported, "the model " + model_.config.name + " has no acoustic branch");
    }
    const std::size_t dimension = static_cast<std::size_t>(model_.config.dimension);
    Arena state(model_.encoder_state.bytes()), scratch(model_.encoder_scratch.bytes());
    Arena acoustic_state, acoustic_scratch;
    if (out.acoustic_embed != nullptr) {
        acoustic_state = Arena(model_.acoustic_state.bytes());
        acoustic_scratch = Arena(model_.acoustic_scratch.bytes());
    }
    EncodedRows rows = out.rows;
    float* acoustic = out.acoustic_embed;
    // The acoustic branch reads z: where the caller does not want z, its rows pass through those of A.
    const bool borrow = rows.encoder_out == nullptr && acoustic != nullptr;
    do {
        const std::size_t part = std::min(frames, static_cast<std::size_t>(kMaxFrames));
        if (borrow) rows.encoder_out = acoustic;
        const int count = model_.encoder.push(exec(), state.data(), scratch.data(), mel, static_cast<int>(part),
                                              part == frames, rows);
        const std::size_t tokens = static_cast<std::size_t>(count);
        if (acoustic != nullptr) {
            if (!borrow) std::copy_n(rows.encoder_out, tokens * dimension, acoustic);
            model_.acoustic->push(exec(), acoustic_state.data(), acoustic_scratch.data(), acoustic, count);
            acoustic += tokens * dimension;
        }
        if (rows.encoder_out != nullptr) rows.encoder_out += tokens * dimension;
        if (rows.semantic_mu != nullptr) rows.semantic_mu += tokens * dimension;
        if (rows.fsq_in != nullptr) rows.fsq_in += tokens * model_.config.fsq_levels.size();
        if (rows.tokens != nullptr) rows.tokens += tokens;
        mel += part * static_cast<std::size_t>(model_.config.n_mels);
        frames -= part;
    } while (frames > 0);
}

void Offline::decode_tokens(const std::int32_t* tokens, std::size_t count, const float* paralinguistic,
                            float* mel) const {
    Arena state(model_.decoder_state.bytes()), scratch(model_.decoder_scratch.bytes());
    const std::size_t width = static_cast<std::size_t>(model_.config.frames_per_token() * model_.config.n_mels);
    while (count > 0) {
        const std::size_t part = std::min(count, static_cast<std::size_t>(model_.decoder.max_tokens()));
        model_.decoder.push_tokens(exec(), state.data(), scratch.data(), tokens, static_cast<int>(part), paralinguistic,
                                   mel);
        tokens += part;
        mel += part * width;
        count -= part;
    }
}

void Offline::decode_acoustic(const float* acoustic, std::size_t count, float* mel) const {
    Arena state(model_.decoder_state.bytes()), scratch(model_.decoder_scratch.bytes());
    const std::size_t width = static_cast<std::size_t>(model_.config.frames_per_token() * model_.config.n_mels);
    while (count > 0) {
        const std::size_t part = std::min(count, static_cast<std::size_t>(model_.decoder.max_tokens()));
        model_.decoder.push_acoustic(exec(), state.data(), scratch.data(), acoustic, static_cast<int>(part), mel);
        acoustic += part * static_cast<std::size_t>(model_.config.dimension);
        mel += part * width;
        count -= part;
    }
}

void Offline::vocode(const float* mel, std::size_t frames, const VocoderOptions& options, float* pcm) const {
    if (model_.vocoder == nullptr) {
        throw Error(Status::unsupported, "the model " + model_.config.name + " has no vocoder");
    }
    const Vocoder& vocoder = *model_.vocoder;
    const VocoderOptions resolved = vocoder.resolve(options);
    Arena state(vocoder.state_bytes()), scratch(vocoder.scratch_bytes());
    vocoder.start(state.data(), resolved);
    while (frames > 0) {
        const std::size_t part = std::min(frames, static_cast<std::size_t>(kMaxFrames));
        pcm += vocoder.push(exec(), state.data(), scratch.data(), mel, static_cast<int>(part), pcm);
        mel += part * static_cast<std::size_t>(model_.config.n_mels);
        frames -= part;
    }
    vocoder.finish(exec(), state.data(), scratch.data(), pcm);
}

}  // namespace secousti::core
