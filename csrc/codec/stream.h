// Encoder and decoder streams: a model, one flat state arena, one scratch arena. Steps never throw or allocate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/arena.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "codec/model.h"

namespace secousti::core {

using ModelPtr = std::shared_ptr<const Model>;

/// The parts that both kinds of stream share.
class Stream {
  public:
    std::size_t snapshot_bytes() const noexcept;
    /// Writes snapshot_bytes() bytes.
    void snapshot(std::byte* out) const noexcept;
    /// Goes on where the snapshot was taken. Checks its frame, model and checksum first; throws Error.
    void restore(std::span<const std::byte> snapshot);

    const Model& model() const noexcept { return *model_; }
    int threads() const noexcept { return threads_; }
    /// Bytes that this stream holds: state and scratch.
    std::size_t memory_bytes() const noexcept { return state_.bytes() + scratch_.bytes(); }

  protected:
    enum class Kind : std::uint32_t { encoder = 1, decoder = 2 };

    Stream(Kind kind, ModelPtr model, int threads, const ArenaLayout& state, const ArenaLayout& scratch);
    Stream(const Stream& other);
    Exec exec() noexcept { return {&model_->backend, pool_.get()}; }

    ModelPtr model_;
    Arena state_, scratch_;

  private:
    Kind kind_;
    int threads_ = 1;
    std::unique_ptr<ThreadPool> pool_;
};

class EncoderStream : public Stream {
  public:
    EncoderStream(ModelPtr model, int threads);

    void reset() noexcept { state_.clear(); }
    bool ended() const noexcept { return header().ended != 0; }
    /// Tokens that pushing exactly `samples` more returns.
    std::size_t tokens_after_push(std::size_t samples) const noexcept;
    /// Tokens that pushing `samples` more and then flushing returns in all.
    std::size_t tokens_after_flush(std::size_t samples) const noexcept;
    /// `tokens` has room for tokens_after_push(samples). PCM is finite. Returns the number of tokens.
    std::size_t push(const float* pcm, std::size_t samples, std::int32_t* tokens) noexcept;
    std::size_t flush(std::int32_t* tokens) noexcept;

  private:
    EncoderStreamHeader& header() noexcept { return *model_->encoder_header.in(state_.data()); }
    const EncoderStreamHeader& header() const noexcept { return *model_->encoder_header.in(state_.data()); }
    std::size_t step(const float* pcm, int samples, bool end, std::int32_t* tokens) noexcept;
};

class DecoderStream : public Stream {
  public:
    /// Throws Error(unsupported) when the vocoder cannot do this look-ahead. A model without a vocoder decodes to mel.
    DecoderStream(ModelPtr model, const VocoderOptions& options, std::span<const float> paralinguistic, int threads);

    void reset() noexcept;
    bool ended() const noexcept { return header().ended != 0; }
    /// Whether a push of this kind fits the earlier ones and the model.
    bool accepts(DecoderUse use) const noexcept;
    int latency() const noexcept { return model_->vocoder ? model_->vocoder->latency(header().look_ahead) : 0; }
    std::span<const float> paralinguistic() const noexcept;
    void set_paralinguistic(std::span<const float> values) noexcept;
    /// Most samples that pushing `frames` more of mel (or tokens worth as many), or flushing after them, can return:
    /// all that are still owed.
    std::size_t samples_owed(std::size_t frames) const noexcept;

    /// `pcm` has room for samples_owed(count * frames_per_token); tokens are in range,
    /// or null: `count` lost ones. Returns the number of samples.
    std::size_t push(const std::int32_t* tokens, std::size_t count, float* pcm) noexcept;
    /// Writes count * frames_per_token rows of mel; tokens as in push.
    void push_to_mel(const std::int32_t* tokens, std::size_t count, float* mel) noexcept;
    /// `pcm` has room for samples_owed(frames).
    std::size_t push_from_mel(const float* mel, std::size_t frames, float* pcm) noexcept;
    std::size_t flush(float* pcm) noexcept;

  private:
    DecoderStreamHeader& header() noexcept { return *model_->decoder_header.in(state_.data()); }
    const DecoderStreamHeader& header() const noexcept { return *model_->decoder_header.in(state_.data()); }
    void start(const VocoderOptions& options) noexcept;
    /// A step: count <= decoder.max_tokens().
    void decode(const std::int32_t* tokens, int count, float* mel) noexcept;
    int vocode(const float* mel, int frames, float* pcm) noexcept;
};

}  // namespace secousti::core
