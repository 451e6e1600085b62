// Single streams on the device: groups of one slot, fed whole tokens.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "codec/progress.h"
#include "codec/stream.h"
#include "cuda/decoder_group.h"
#include "cuda/encoder_group.h"
#include "cuda/engine.h"
#include "models/limits.h"

namespace secousti::core::cuda {

namespace {

/// Tokens that a call takes at once at most; a live stream gives one or two.
constexpr int kSteps = 8;

GroupOptions one_slot(const Config& config) {
    return {
        .capacity = 1, .device = "cuda", .max_steps = std::clamp(kMaxFrames / config.frames_per_token(), 1, kSteps)};
}

class DeviceEncoderStream final : public EncoderStream {
  public:
    DeviceEncoderStream(ModelPtr model, const DeviceModel& device)
        : EncoderStream(std::move(model)),
          device_(device),
          group_(model_, device, one_slot(model_->config)),
          frame_size_(static_cast<std::uint64_t>(model_->config.frame_size())),
          phase_(static_cast<std::uint64_t>(model_->encoder_latency()) % frame_size_) {
        waiting_.reserve(frame_size_);
    }
    DeviceEncoderStream(ModelPtr model, const DeviceModel& device, std::span<const std::byte> snapshot)
        : DeviceEncoderStream(std::move(model), device) {
        group_.restore(0, snapshot);
        fed_ = group_.samples(0);
    }

    std::size_t memory_bytes() const noexcept override { return group_.memory_bytes(); }
    void reset() override {
        group_.reset(nullptr);
        fed_ = 0;
        waiting_.clear();
    }
    bool ended() const noexcept override { return group_.ended(0); }
    void snapshot(std::byte* out) override {
        feed_waiting();
        group_.snapshot(0, out);
    }
    std::unique_ptr<EncoderStream> clone() override {
        std::vector<std::byte> bytes(snapshot_bytes());
        snapshot(bytes.data());
        return std::make_unique<DeviceEncoderStream>(model_, device_, bytes);
    }

    std::size_t tokens_after_push(std::size_t samples) const noexcept override {
        return static_cast<std::size_t>(ready(pushed() + samples, false) - ready(pushed(), false));
    }
    std::size_t tokens_after_flush(std::size_t samples) const noexcept override {
        if (ended()) return 0;
        return static_cast<std::size_t>(ready(pushed() + samples, true) - ready(pushed(), false));
    }
    std::size_t push(const float* pcm, std::size_t samples, std::int32_t* tokens) override {
        std::size_t written = 0;
        const std::size_t most = static_cast<std::size_t>(group_.max_steps() * model_->config.frame_size());
        while (samples > 0) {
            if (waiting_.empty() && until_token() == frame_size_ && samples >= most) {
                written += feed_many(pcm, tokens + written);
                pcm += most;
                samples -= most;
                continue;
            }
            // To the sample that brings the next token: a step of the group that is one graph, and no step in vain.
            const std::size_t missing = until_token() - waiting_.size(), part = std::min(samples, missing);
            waiting_.insert(waiting_.end(), pcm, pcm + part);
            pcm += part;
            samples -= part;
            if (part == missing) written += feed_waiting(tokens + written);
        }
        return written;
    }
    std::size_t flush(std::int32_t* tokens) override {
        feed_waiting();
        return group_.flush(0, tokens);
    }

  private:
    std::uint64_t pushed() const noexcept { return fed_ + waiting_.size(); }
    std::uint64_t ready(std::uint64_t samples, bool end) const noexcept {
        return tokens_ready(model_->config, samples, end);
    }
    /// Samples from those fed to the next number of samples at which a token may come.
    std::size_t until_token() const noexcept {
        return static_cast<std::size_t>(frame_size_ - (fed_ + frame_size_ - phase_) % frame_size_);
    }
    /// Gives the group what waits; at most one token comes of it. Tokens that cannot come need no place.
    std::size_t feed_waiting(std::int32_t* tokens = nullptr) {
        if (waiting_.empty()) return 0;
        std::int32_t token = kNoToken;
        group_.feed(waiting_.data(), static_cast<int>(waiting_.size()), nullptr, &token);
        fed_ += waiting_.size();
        waiting_.clear();
        if (token == kNoToken) return 0;
        *tokens = token;
        return 1;
    }

    /// The same of as many whole tokens as a call takes.
    std::size_t feed_many(const float* pcm, std::int32_t* tokens) {
        std::int32_t out[kSteps];
        group_.steps(pcm, nullptr, group_.max_steps(), out);
        fed_ += static_cast<std::uint64_t>(group_.max_steps()) * frame_size_;
        return static_cast<std::size_t>(
            std::copy_if(out, out + group_.max_steps(), tokens, [](std::int32_t token) { return token != kNoToken; }) -
            tokens);
    }

    const DeviceModel& device_;
    DeviceEncoderGroup group_;
    const std::uint64_t frame_size_, phase_;  ///< tokens come when the samples fed are phase_ modulo frame_size_
    std::uint64_t fed_ = 0;
    std::vector<float> waiting_;  ///< pushed, not yet fed: less than brings a token
};

class DeviceDecoderStream final : public DecoderStream {
  public:
    DeviceDecoderStream(ModelPtr model, const DeviceModel& device, const VocoderOptions& options,
                        std::span<const float> voice)
        : DecoderStream(std::move(model)),
          device_(device),
          look_ahead_(model_->vocoder ? model_->vocoder->resolve(options).look_ahead : 0),
          group_(model_, device, one_slot(model_->config), options, voice) {}

    std::size_t memory_bytes() const noexcept override { return group_.memory_bytes(); }
    void reset() override { group_.reset(nullptr); }
    bool ended() const noexcept override { return group_.ended(0); }
    void snapshot(std::byte* out) override { group_.snapshot(0, out); }
    void restore_state(const std::byte* arena) { group_.restore_state(0, arena); }
    std::unique_ptr<DecoderStream> clone() override {
        std::vector<std::byte> bytes(snapshot_bytes());
        snapshot(bytes.data());
        return restore_device_decoder(model_, device_, bytes);
    }

    DecoderUse use() const noexcept override { return group_.use(0); }
    int latency() const noexcept override { return model_->vocoder ? model_->vocoder->latency(look_ahead_) : 0; }
    void get_voice(float* values) const override { group_.get_voice(0, values); }
    void set_voice(std::span<const float> values) override { group_.set_voice(0, values); }
    std::size_t samples_owed(std::size_t frames) const noexcept override {
        if (ended() || !model_->vocoder) return 0;
        return group_.samples_owed(0) + frames * static_cast<std::size_t>(model_->config.hop_length);
    }
    std::size_t push(const std::int32_t* tokens, std::size_t count, float* pcm) override {
        std::size_t written = 0;
        for_parts(tokens, count, [&](const std::int32_t* part, int steps) {
            std::int32_t samples = 0;
            group_.steps(part, steps, pcm + written, &samples);
            written += static_cast<std::size_t>(samples);
        });
        return written;
    }
    void push_to_mel(const std::int32_t* tokens, std::size_t count, float* mel) override {
        for_parts(tokens, count, [&](const std::int32_t* part, int steps) {
            group_.steps_to_mel(part, steps, mel);
            mel += area(steps * model_->config.frames_per_token(), model_->config.n_mels);
        });
    }
    std::size_t push_from_mel(const float* mel, std::size_t frames, float* pcm) override {
        const std::size_t most = area(group_.max_steps(), model_->config.frames_per_token());
        std::size_t written = 0;
        while (frames > 0) {
            const int part = static_cast<int>(std::min(frames, most));
            std::int32_t samples = 0;
            group_.step_from_mel(mel, nullptr, part, pcm + written, &samples);
            written += static_cast<std::size_t>(samples);
            mel += area(part, model_->config.n_mels);
            frames -= static_cast<std::size_t>(part);
        }
        return written;
    }
    std::size_t flush(float* pcm) override { return group_.flush(0, pcm); }

  private:
    /// Calls step(tokens, count) for parts of the most that a call takes and then for single ones, which have graphs.
    template <class Step>
    void for_parts(const std::int32_t* tokens, std::size_t count, const Step& step) const {
        const std::vector<std::int32_t> lost(tokens == nullptr ? kSteps : 0, kLostToken);
        const std::size_t most = static_cast<std::size_t>(group_.max_steps());
        while (count > 0) {
            const std::size_t part = count >= most ? most : 1;
            step(tokens == nullptr ? lost.data() : tokens, static_cast<int>(part));
            if (tokens != nullptr) tokens += part;
            count -= part;
        }
    }

    const DeviceModel& device_;
    const int look_ahead_;
    DeviceDecoderGroup group_;
};

}  // namespace

std::unique_ptr<EncoderStream> make_device_encoder(ModelPtr model, const DeviceModel& device) {
    return std::make_unique<DeviceEncoderStream>(std::move(model), device);
}

std::unique_ptr<EncoderStream> restore_device_encoder(ModelPtr model, const DeviceModel& device,
                                                      std::span<const std::byte> snapshot) {
    return std::make_unique<DeviceEncoderStream>(std::move(model), device, snapshot);
}

std::unique_ptr<DecoderStream> make_device_decoder(ModelPtr model, const DeviceModel& device,
                                                   const VocoderOptions& options, std::span<const float> voice) {
    return std::make_unique<DeviceDecoderStream>(std::move(model), device, options, voice);
}

std::unique_ptr<DecoderStream> restore_device_decoder(ModelPtr model, const DeviceModel& device,
                                                      std::span<const std::byte> snapshot) {
    Arena state(model->decoder_state.bytes());
    read_snapshot(*model, StreamKind::decoder, snapshot, state.data());
    // The group has to be made for the look-ahead of the snapshot.
    const DecoderStreamHeader& from = *model->decoder_header.in(state.data());
    auto decoder = std::make_unique<DeviceDecoderStream>(std::move(model), device,
                                                         VocoderOptions{from.look_ahead, from.noise != 0, from.seed},
                                                         std::span<const float>());
    decoder->restore_state(state.data());
    return decoder;
}

}  // namespace secousti::core::cuda
