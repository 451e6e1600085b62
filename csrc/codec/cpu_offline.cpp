// Whole inputs on the CPU.
#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "codec/cpu_engine.h"
#include "codec/offline.h"
#include "models/limits.h"

namespace secousti::core {

namespace {

class CpuOffline final : public Offline {
  public:
    CpuOffline(const Model& model, int threads) : Offline(model) {
        if (threads > 1) pool_ = std::make_unique<ThreadPool>(threads);
    }

    void mel(const float* pcm, std::size_t samples, float* out) const override { mel(exec(), pcm, samples, out); }
    void encode_mel(const float* mel, std::size_t frames, const EncodeOutputs& out) const override {
        encode_mel(exec(), mel, frames, out);
    }
    void voice(const float* mel, std::size_t frames, float* g) const override { voice(exec(), mel, frames, g); }
    void decode_tokens(const std::int32_t* tokens, std::size_t count, const float* voice, float* mel) const override {
        decode_tokens(exec(), tokens, count, voice, mel);
    }
    void decode_acoustic(const float* acoustic, std::size_t count, float* mel) const override {
        decode_acoustic(exec(), acoustic, count, mel);
    }
    void vocode(const float* mel, std::size_t frames, const VocoderOptions& options, float* pcm) const override {
        vocode(exec(), mel, frames, options, pcm);
    }
    void encode_clips(std::span<const ClipToEncode> clips) const override;
    void decode_clips(std::span<const ClipToDecode> clips, const VocoderOptions& options) const override;

  private:
    Exec exec() const noexcept { return {&model_.backend, pool_.get()}; }

    void mel(const Exec& run, const float* pcm, std::size_t samples, float* out) const;
    void encode_mel(const Exec& run, const float* mel, std::size_t frames, const EncodeOutputs& out) const;
    void voice(const Exec& run, const float* mel, std::size_t frames, float* g) const;
    void decode_tokens(const Exec& run, const std::int32_t* tokens, std::size_t count, const float* voice,
                       float* mel) const;
    void decode_acoustic(const Exec& run, const float* acoustic, std::size_t count, float* mel) const;
    void vocode(const Exec& run, const float* mel, std::size_t frames, const VocoderOptions& options, float* pcm) const;

    /// Calls body(exec, clip) for every clip. A clip is one thread's work; a single clip has them all. Throws what the
    /// first clip that failed threw.
    template <class Clip, class Body>
    void for_clips(std::span<const Clip> clips, const Body& body) const;

    std::unique_ptr<ThreadPool> pool_;
};

void CpuOffline::mel(const Exec& run, const float* pcm, std::size_t samples, float* out) const {
    Arena state(model_.encoder_state.bytes()), scratch(model_.encoder_scratch.bytes());
    const std::size_t bands = static_cast<std::size_t>(model_.config.n_mels);
    while (samples > 0) {
        const std::size_t part = std::min(samples, static_cast<std::size_t>(model_.mel.max_samples()));
        out += bands * static_cast<std::size_t>(
                           model_.mel.push(run, state.data(), scratch.data(), pcm, static_cast<int>(part), false, out));
        pcm += part;
        samples -= part;
    }
    model_.mel.push(run, state.data(), scratch.data(), nullptr, 0, true, out);
}

void CpuOffline::encode_mel(const Exec& run, const float* mel, std::size_t frames, const EncodeOutputs& out) const {
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
        const int count =
            model_.encoder.push(run, state.data(), scratch.data(), mel, static_cast<int>(part), part == frames, rows);
        const std::size_t tokens = static_cast<std::size_t>(count);
        if (acoustic != nullptr) {
            if (!borrow) std::copy_n(rows.encoder_out, tokens * dimension, acoustic);
            model_.acoustic->push(run, acoustic_state.data(), acoustic_scratch.data(), acoustic, count);
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

void CpuOffline::decode_tokens(const Exec& run, const std::int32_t* tokens, std::size_t count, const float* voice,
                               float* mel) const {
    Arena state(model_.decoder_state.bytes()), scratch(model_.decoder_scratch.bytes());
    const std::size_t width = static_cast<std::size_t>(model_.config.frames_per_token() * model_.config.n_mels);
    while (count > 0) {
        const std::size_t part = std::min(count, static_cast<std::size_t>(model_.decoder.max_tokens()));
        model_.decoder.push_tokens(run, state.data(), scratch.data(), tokens, static_cast<int>(part), voice, mel);
        tokens += part;
        mel += part * width;
        count -= part;
    }
}

void CpuOffline::decode_acoustic(const Exec& run, const float* acoustic, std::size_t count, float* mel) const {
    Arena state(model_.decoder_state.bytes()), scratch(model_.decoder_scratch.bytes());
    const std::size_t width = static_cast<std::size_t>(model_.config.frames_per_token() * model_.config.n_mels);
    while (count > 0) {
        const std::size_t part = std::min(count, static_cast<std::size_t>(model_.decoder.max_tokens()));
        model_.decoder.push_acoustic(run, state.data(), scratch.data(), acoustic, static_cast<int>(part), mel);
        acoustic += part * static_cast<std::size_t>(model_.config.dimension);
        mel += part * width;
        count -= part;
    }
}

void CpuOffline::vocode(const Exec& run, const float* mel, std::size_t frames, const VocoderOptions& options,
                        float* pcm) const {
    const Vocoder& vocoder = this->vocoder();
    const VocoderOptions resolved = vocoder.resolve(options);
    Arena state(vocoder.state_bytes()), scratch(vocoder.scratch_bytes());
    vocoder.start(state.data(), resolved);
    while (frames > 0) {
        const std::size_t part = std::min(frames, static_cast<std::size_t>(kMaxFrames));
        pcm += vocoder.push(run, state.data(), scratch.data(), mel, static_cast<int>(part), pcm);
        mel += part * static_cast<std::size_t>(model_.config.n_mels);
        frames -= part;
    }
    vocoder.finish(run, state.data(), scratch.data(), pcm);
}

void CpuOffline::voice(const Exec& run, const float* mel, std::size_t frames, float* g) const {
    const std::vector<float> values = model_.voice_encoder.encode(run, mel, frames);
    std::copy(values.begin(), values.end(), g);
}

template <class Clip, class Body>
void CpuOffline::for_clips(std::span<const Clip> clips, const Body& body) const {
    if (clips.size() == 1) return body(exec(), clips.front());
    std::vector<std::exception_ptr> failures(clips.size());
    const int count = static_cast<int>(clips.size());
    exec().split(count, count, [&](int, int begin, int end) noexcept {
        for (std::size_t i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
            try {
                body(exec().alone(), clips[i]);
            } catch (...) {
                failures[i] = std::current_exception();
            }
        }
    });
    for (const std::exception_ptr& failure : failures) {
        if (failure) std::rethrow_exception(failure);
    }
}

void CpuOffline::encode_clips(std::span<const ClipToEncode> clips) const {
    for_clips(clips, [&](const Exec& run, const ClipToEncode& clip) {
        const std::size_t frames = mel_frames(clip.samples);
        if (frames == 0) return;
        std::vector<float> rows(frames * static_cast<std::size_t>(model_.config.n_mels));
        mel(run, clip.pcm, clip.samples, rows.data());
        encode_mel(run, rows.data(), frames, {{.tokens = clip.tokens}});
        if (clip.voice != nullptr) voice(run, rows.data(), frames, clip.voice);
    });
}

void CpuOffline::decode_clips(std::span<const ClipToDecode> clips, const VocoderOptions& options) const {
    vocoder().resolve(options);
    for_clips(clips, [&](const Exec& run, const ClipToDecode& clip) {
        if (clip.count == 0) return;
        const std::size_t frames = clip.count * static_cast<std::size_t>(model_.config.frames_per_token());
        std::vector<float> rows(frames * static_cast<std::size_t>(model_.config.n_mels));
        decode_tokens(run, clip.tokens, clip.count, clip.voice, rows.data());
        vocode(run, rows.data(), frames, options, clip.pcm);
    });
}

}  // namespace

std::unique_ptr<Offline> make_cpu_offline(const Model& model, int threads) {
    return std::make_unique<CpuOffline>(model, threads);
}

}  // namespace secousti::core
