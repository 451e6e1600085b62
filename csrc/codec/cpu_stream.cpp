#include "codec/cpu_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "codec/progress.h"
#include "models/limits.h"

namespace secousti::core {

CpuEncoderStream::CpuEncoderStream(ModelPtr model, int threads)
    : CpuEncoderStream(model, std::make_shared<Workspace>(model->encoder_scratch.bytes(), threads)) {}

CpuEncoderStream::CpuEncoderStream(ModelPtr model, std::shared_ptr<Workspace> workspace)
    : CpuStream(std::move(model), std::move(workspace)) {}

std::unique_ptr<EncoderStream> CpuEncoderStream::clone() { return std::make_unique<CpuEncoderStream>(*this); }

std::size_t CpuEncoderStream::tokens_after_push(std::size_t samples) const noexcept {
    return static_cast<std::size_t>(tokens_ready(model_->config, header().samples + samples, false) - header().tokens);
}

std::size_t CpuEncoderStream::tokens_after_flush(std::size_t samples) const noexcept {
    if (ended()) return 0;
    return static_cast<std::size_t>(tokens_ready(model_->config, header().samples + samples, true) - header().tokens);
}

std::size_t CpuEncoderStream::step(const float* pcm, int samples, bool end, std::int32_t* tokens) noexcept {
    float* mel = model_->encoder_mel.in(scratch());
    const Exec run = exec();
    const int frames = model_->mel.push(run, state(), scratch(), pcm, samples, end, mel);
    const std::size_t written = frames > 0 || end ? static_cast<std::size_t>(model_->encoder.push(
                                                        run, state(), scratch(), mel, frames, end, {.tokens = tokens}))
                                                  : 0;
    count(static_cast<std::size_t>(samples), written);
    return written;
}

void CpuEncoderStream::count(std::size_t samples, std::size_t tokens) noexcept {
    header().samples += samples;
    header().tokens += tokens;
}

std::size_t CpuEncoderStream::push(const float* pcm, std::size_t samples, std::int32_t* tokens) noexcept {
    std::size_t written = 0;
    while (samples > 0) {
        const std::size_t part = std::min(samples, static_cast<std::size_t>(model_->mel.max_samples()));
        written += step(pcm, static_cast<int>(part), false, tokens + written);
        pcm += part;
        samples -= part;
    }
    return written;
}

std::size_t CpuEncoderStream::flush(std::int32_t* tokens) noexcept {
    const std::size_t written = step(nullptr, 0, true, tokens);
    header().ended = 1;
    return written;
}

CpuDecoderStream::CpuDecoderStream(ModelPtr model, const VocoderOptions& options, std::span<const float> voice,
                                   int threads)
    : CpuDecoderStream(model, options, voice, std::make_shared<Workspace>(model->decoder_scratch.bytes(), threads)) {}

CpuDecoderStream::CpuDecoderStream(ModelPtr model, const VocoderOptions& options, std::span<const float> voice,
                                   std::shared_ptr<Workspace> workspace)
    : CpuStream(std::move(model), std::move(workspace)) {
    if (!voice.empty()) set_voice(voice);
    start(model_->vocoder ? model_->vocoder->resolve(options) : options);
}

void CpuDecoderStream::start(const VocoderOptions& options) noexcept {
    header() = {0, 0, options.seed, options.look_ahead, options.noise ? 1 : 0, 0, DecoderUse::undecided};
    if (model_->vocoder) model_->vocoder->start(model_->vocoder_state.in(state_.data()), options);
}

void CpuDecoderStream::reset() noexcept {
    const DecoderStreamHeader old = header();
    // Everything but G, which is one slice of the arena.
    const std::span<const std::byte> kept = std::as_bytes(voice());
    const std::size_t begin = model_->decoder_voice.offset, end = begin + kept.size();
    std::memset(state_.data(), 0, begin);
    std::memset(state_.data() + end, 0, state_.bytes() - end);
    start({old.look_ahead, old.noise != 0, old.seed});
}

void CpuDecoderStream::restart(const VocoderOptions& options, std::span<const float> voice) {
    const VocoderOptions resolved = model_->vocoder ? model_->vocoder->resolve(options) : options;
    state_.clear();
    if (!voice.empty()) set_voice(voice);
    start(resolved);
}

std::unique_ptr<DecoderStream> CpuDecoderStream::clone() { return std::make_unique<CpuDecoderStream>(*this); }

void CpuDecoderStream::get_voice(float* values) const noexcept {
    const std::span<const float> current = voice();
    std::copy(current.begin(), current.end(), values);
}

void CpuDecoderStream::set_voice(std::span<const float> values) noexcept {
    std::copy(values.begin(), values.end(), model_->decoder_voice.in(state_.data()));
}

std::size_t CpuDecoderStream::samples_owed(std::size_t frames) const noexcept {
    if (ended() || !model_->vocoder) return 0;
    const std::uint64_t hop = static_cast<std::uint64_t>(model_->config.hop_length);
    return static_cast<std::size_t>((header().frames + frames) * hop - header().samples);
}

int CpuDecoderStream::vocode(const Exec& run, std::byte* vocoder_scratch, const float* mel, int frames,
                             float* pcm) noexcept {
    const int samples =
        model_->vocoder->push(run, model_->vocoder_state.in(state()), vocoder_scratch, mel, frames, pcm);
    header().frames += static_cast<std::uint64_t>(frames);
    header().samples += static_cast<std::uint64_t>(samples);
    return samples;
}

void CpuDecoderStream::decode(const std::int32_t* tokens, int count, float* mel) noexcept {
    const Decoder& decoder = model_->decoder;
    if (tokens != nullptr) {
        decoder.push_tokens(exec(), state_.data(), scratch(), tokens, count, voice().data(), mel);
    } else {
        decoder.push_lost(exec(), state_.data(), scratch(), count, voice().data(), mel);
    }
}

std::size_t CpuDecoderStream::push(const std::int32_t* tokens, std::size_t count, float* pcm) noexcept {
    commit(DecoderUse::tokens_to_pcm);
    float* mel = model_->decoder_mel.in(scratch());
    std::size_t written = 0;
    while (count > 0) {
        const int part = static_cast<int>(std::min(count, static_cast<std::size_t>(model_->decoder.max_tokens())));
        decode(tokens, part, mel);
        written += static_cast<std::size_t>(vocode(mel, part * model_->config.frames_per_token(), pcm + written));
        if (tokens != nullptr) tokens += part;
        count -= static_cast<std::size_t>(part);
    }
    return written;
}

void CpuDecoderStream::push_to_mel(const std::int32_t* tokens, std::size_t count, float* mel) noexcept {
    commit(DecoderUse::tokens_to_mel);
    const std::size_t width = static_cast<std::size_t>(model_->config.frames_per_token() * model_->config.n_mels);
    while (count > 0) {
        const int part = static_cast<int>(std::min(count, static_cast<std::size_t>(model_->decoder.max_tokens())));
        decode(tokens, part, mel);
        if (tokens != nullptr) tokens += part;
        mel += static_cast<std::size_t>(part) * width;
        count -= static_cast<std::size_t>(part);
    }
}

std::size_t CpuDecoderStream::push_from_mel(const float* mel, std::size_t frames, float* pcm) noexcept {
    commit(DecoderUse::mel_to_pcm);
    std::size_t written = 0;
    while (frames > 0) {
        const std::size_t part = std::min(frames, static_cast<std::size_t>(kMaxFrames));
        written += static_cast<std::size_t>(vocode(mel, static_cast<int>(part), pcm + written));
        mel += part * static_cast<std::size_t>(model_->config.n_mels);
        frames -= part;
    }
    return written;
}

std::size_t CpuDecoderStream::flush(float* pcm) noexcept {
    int written = 0;
    if (model_->vocoder && header().frames != 0) {
        written = model_->vocoder->finish(exec(), model_->vocoder_state.in(state_.data()),
                                          model_->vocoder_scratch.in(scratch()), pcm);
    }
    header().samples += static_cast<std::uint64_t>(written);
    header().ended = 1;
    return static_cast<std::size_t>(written);
}

}  // namespace secousti::core
