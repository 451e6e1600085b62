#include "codec/stream.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "codec/progress.h"
#include "io/crc32.h"
#include "models/limits.h"

namespace secousti::core {

namespace {

constexpr std::uint32_t kSnapshotMagic = 0x53534353;  // "SCSS"
constexpr std::uint32_t kSnapshotVersion = 4;

/// In front of the state arena's bytes. Native byte order: a snapshot is for the machine type that took it. The
/// checksum is against damage, not against forgery: state is trusted.
struct SnapshotHeader {
    std::uint32_t magic;
    std::uint32_t version;
    std::uint32_t kind;
    std::uint32_t checksum;     ///< CRC of the state
    std::uint64_t fingerprint;  ///< of the model
    std::uint64_t state_bytes;
};

}  // namespace

Stream::Stream(Kind kind, ModelPtr model, const ArenaLayout& state, std::shared_ptr<Workspace> workspace)
    : model_(std::move(model)), state_(state.bytes()), workspace_(std::move(workspace)), kind_(kind) {}

Stream::Stream(const Stream& other)
    : model_(other.model_),
      state_(other.state_),
      workspace_(std::make_shared<Workspace>(other.scratch_bytes(), other.exec().threads())),
      kind_(other.kind_) {}

std::size_t Stream::snapshot_bytes() const noexcept { return sizeof(SnapshotHeader) + state_.bytes(); }

void Stream::snapshot(std::byte* out) const noexcept {
    const SnapshotHeader header{kSnapshotMagic,
                                kSnapshotVersion,
                                static_cast<std::uint32_t>(kind_),
                                crc32c({state_.data(), state_.bytes()}),
                                model_->fingerprint,
                                state_.bytes()};
    std::memcpy(out, &header, sizeof header);
    std::memcpy(out + sizeof header, state_.data(), state_.bytes());
}

void Stream::restore(std::span<const std::byte> snapshot) {
    SnapshotHeader header{};
    if (snapshot.size() < sizeof header) {
        throw Error(Status::invalid_file,
                    "snapshot: " + std::to_string(snapshot.size()) + " bytes are too few for one");
    }
    std::memcpy(&header, snapshot.data(), sizeof header);
    const std::span<const std::byte> state = snapshot.subspan(sizeof header);
    if (header.magic != kSnapshotMagic) throw Error(Status::invalid_file, "snapshot: these bytes are not one");
    if (header.version != kSnapshotVersion) {
        throw Error(Status::incompatible, "snapshot: version " + std::to_string(header.version) +
                                              ", this build reads " + std::to_string(kSnapshotVersion));
    }
    if (header.kind != static_cast<std::uint32_t>(kind_)) {
        throw Error(Status::incompatible, kind_ == Kind::encoder ? "snapshot: taken from a decoder, not an encoder"
                                                                 : "snapshot: taken from an encoder, not a decoder");
    }
    if (header.fingerprint != model_->fingerprint || header.state_bytes != state_.bytes()) {
        throw Error(Status::incompatible, "snapshot: taken with another model or precision");
    }
    if (state.size() != state_.bytes()) {
        throw Error(Status::invalid_file, "snapshot: has " + std::to_string(state.size()) +
                                              " bytes of state, expected " + std::to_string(state_.bytes()));
    }
    if (crc32c(state) != header.checksum) throw Error(Status::invalid_file, "snapshot: damaged (checksum differs)");
    std::memcpy(state_.data(), state.data(), state.size());
}

EncoderStream::EncoderStream(ModelPtr model, int threads)
    : EncoderStream(model, std::make_shared<Workspace>(model->encoder_scratch.bytes(), threads)) {}

EncoderStream::EncoderStream(ModelPtr model, std::shared_ptr<Workspace> workspace)
    : Stream(Kind::encoder, model, model->encoder_state, std::move(workspace)) {}

std::size_t EncoderStream::tokens_after_push(std::size_t samples) const noexcept {
    return static_cast<std::size_t>(tokens_ready(model_->config, header().samples + samples, false) - header().tokens);
}

std::size_t EncoderStream::tokens_after_flush(std::size_t samples) const noexcept {
    if (ended()) return 0;
    return static_cast<std::size_t>(tokens_ready(model_->config, header().samples + samples, true) - header().tokens);
}

std::size_t EncoderStream::step(const float* pcm, int samples, bool end, std::int32_t* tokens) noexcept {
    float* mel = model_->encoder_mel.in(scratch());
    const Exec run = exec();
    const int frames = model_->mel.push(run, state(), scratch(), pcm, samples, end, mel);
    const std::size_t written = frames > 0 || end ? static_cast<std::size_t>(model_->encoder.push(
                                                        run, state(), scratch(), mel, frames, end, {.tokens = tokens}))
                                                  : 0;
    count(static_cast<std::size_t>(samples), written);
    return written;
}

void EncoderStream::count(std::size_t samples, std::size_t tokens) noexcept {
    header().samples += samples;
    header().tokens += tokens;
}

std::size_t EncoderStream::push(const float* pcm, std::size_t samples, std::int32_t* tokens) noexcept {
    std::size_t written = 0;
    while (samples > 0) {
        const std::size_t part = std::min(samples, static_cast<std::size_t>(model_->mel.max_samples()));
        written += step(pcm, static_cast<int>(part), false, tokens + written);
        pcm += part;
        samples -= part;
    }
    return written;
}

std::size_t EncoderStream::flush(std::int32_t* tokens) noexcept {
    const std::size_t written = step(nullptr, 0, true, tokens);
    header().ended = 1;
    return written;
}

DecoderStream::DecoderStream(ModelPtr model, const VocoderOptions& options, std::span<const float> voice, int threads)
    : DecoderStream(model, options, voice, std::make_shared<Workspace>(model->decoder_scratch.bytes(), threads)) {}

DecoderStream::DecoderStream(ModelPtr model, const VocoderOptions& options, std::span<const float> voice,
                             std::shared_ptr<Workspace> workspace)
    : Stream(Kind::decoder, model, model->decoder_state, std::move(workspace)) {
    if (!voice.empty()) set_voice(voice);
    start(model_->vocoder ? model_->vocoder->resolve(options) : options);
}

void DecoderStream::start(const VocoderOptions& options) noexcept {
    header() = {0, 0, options.seed, options.look_ahead, options.noise ? 1 : 0, 0, DecoderUse::undecided};
    if (model_->vocoder) model_->vocoder->start(model_->vocoder_state.in(state_.data()), options);
}

void DecoderStream::reset() noexcept {
    const DecoderStreamHeader old = header();
    // Everything but G, which is one slice of the arena.
    const std::span<const std::byte> kept = std::as_bytes(voice());
    const std::size_t begin = model_->decoder_voice.offset, end = begin + kept.size();
    std::memset(state_.data(), 0, begin);
    std::memset(state_.data() + end, 0, state_.bytes() - end);
    start({old.look_ahead, old.noise != 0, old.seed});
}

void DecoderStream::restart(const VocoderOptions& options, std::span<const float> voice) {
    const VocoderOptions resolved = model_->vocoder ? model_->vocoder->resolve(options) : options;
    state_.clear();
    if (!voice.empty()) set_voice(voice);
    start(resolved);
}

bool DecoderStream::accepts(DecoderUse use) const noexcept {
    return header().use == DecoderUse::undecided || header().use == use;
}

std::span<const float> DecoderStream::voice() const noexcept {
    return {model_->decoder_voice.in(state_.data()), model_->decoder_voice.count};
}

void DecoderStream::set_voice(std::span<const float> values) noexcept {
    std::copy(values.begin(), values.end(), model_->decoder_voice.in(state_.data()));
}

std::size_t DecoderStream::samples_owed(std::size_t frames) const noexcept {
    if (ended() || !model_->vocoder) return 0;
    const std::uint64_t hop = static_cast<std::uint64_t>(model_->config.hop_length);
    return static_cast<std::size_t>((header().frames + frames) * hop - header().samples);
}

int DecoderStream::vocode(const Exec& run, std::byte* vocoder_scratch, const float* mel, int frames,
                          float* pcm) noexcept {
    const int samples =
        model_->vocoder->push(run, model_->vocoder_state.in(state()), vocoder_scratch, mel, frames, pcm);
    header().frames += static_cast<std::uint64_t>(frames);
    header().samples += static_cast<std::uint64_t>(samples);
    return samples;
}

void DecoderStream::decode(const std::int32_t* tokens, int count, float* mel) noexcept {
    const Decoder& decoder = model_->decoder;
    if (tokens != nullptr) {
        decoder.push_tokens(exec(), state_.data(), scratch(), tokens, count, voice().data(), mel);
    } else {
        decoder.push_lost(exec(), state_.data(), scratch(), count, voice().data(), mel);
    }
}

std::size_t DecoderStream::push(const std::int32_t* tokens, std::size_t count, float* pcm) noexcept {
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

void DecoderStream::push_to_mel(const std::int32_t* tokens, std::size_t count, float* mel) noexcept {
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

std::size_t DecoderStream::push_from_mel(const float* mel, std::size_t frames, float* pcm) noexcept {
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

std::size_t DecoderStream::flush(float* pcm) noexcept {
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
