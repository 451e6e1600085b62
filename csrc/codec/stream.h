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

/// Most threads that a stream, a group or an offline call may ask for.
inline constexpr int kMaxThreads = 256;

/// What a stream works with beside its state. The streams of a group, which take turns, share one.
struct Workspace {
    Workspace(std::size_t scratch_bytes, int threads, int spins = ThreadPool::kDefaultSpins)
        : scratch(scratch_bytes), pool(threads > 1 ? std::make_unique<ThreadPool>(threads, spins) : nullptr) {}

    Arena scratch;
    std::unique_ptr<ThreadPool> pool;
};

/// The parts that both kinds of stream share.
class Stream {
  public:
    std::size_t snapshot_bytes() const noexcept;
    /// Writes snapshot_bytes() bytes.
    void snapshot(std::byte* out) const noexcept;
    /// Goes on where the snapshot was taken. Checks its frame, model and checksum first; throws Error.
    void restore(std::span<const std::byte> snapshot);

    const Model& model() const noexcept { return *model_; }
    const ModelPtr& shared_model() const noexcept { return model_; }
    /// Bytes that this stream holds: its state, and the workspace that it may share.
    std::size_t state_bytes() const noexcept { return state_.bytes(); }
    std::size_t scratch_bytes() const noexcept { return workspace_->scratch.bytes(); }
    /// For those who step many streams at once.
    std::byte* state() noexcept { return state_.data(); }

  protected:
    enum class Kind : std::uint32_t { encoder = 1, decoder = 2 };

    Stream(Kind kind, ModelPtr model, const ArenaLayout& state, std::shared_ptr<Workspace> workspace);
    /// The copy has a workspace of its own.
    Stream(const Stream& other);
    Stream(Stream&&) noexcept = default;
    Exec exec() const noexcept { return {&model_->backend, workspace_->pool.get()}; }
    std::byte* scratch() const noexcept { return workspace_->scratch.data(); }

    ModelPtr model_;
    Arena state_;

  private:
    std::shared_ptr<Workspace> workspace_;
    Kind kind_;
};

class EncoderStream : public Stream {
  public:
    EncoderStream(ModelPtr model, int threads);
    /// `workspace` has model->encoder_scratch.bytes().
    EncoderStream(ModelPtr model, std::shared_ptr<Workspace> workspace);

    void reset() noexcept { state_.clear(); }
    bool ended() const noexcept { return header().ended != 0; }
    /// Tokens that pushing exactly `samples` more returns.
    std::size_t tokens_after_push(std::size_t samples) const noexcept;
    /// Tokens that pushing `samples` more and then flushing returns in all.
    std::size_t tokens_after_flush(std::size_t samples) const noexcept;
    /// `tokens` has room for tokens_after_push(samples). PCM is finite. Returns the number of tokens.
    std::size_t push(const float* pcm, std::size_t samples, std::int32_t* tokens) noexcept;
    std::size_t flush(std::int32_t* tokens) noexcept;
    /// Counts a step that a group has made on this state.
    void count(std::size_t samples, std::size_t tokens) noexcept;

  private:
    EncoderStreamHeader& header() noexcept { return *model_->encoder_header.in(state_.data()); }
    const EncoderStreamHeader& header() const noexcept { return *model_->encoder_header.in(state_.data()); }
    std::size_t step(const float* pcm, int samples, bool end, std::int32_t* tokens) noexcept;
};

class DecoderStream : public Stream {
  public:
    /// Throws Error(unsupported) when the vocoder cannot do this look-ahead. A model without a vocoder decodes to mel.
    DecoderStream(ModelPtr model, const VocoderOptions& options, std::span<const float> voice, int threads);
    /// `workspace` has model->decoder_scratch.bytes().
    DecoderStream(ModelPtr model, const VocoderOptions& options, std::span<const float> voice,
                  std::shared_ptr<Workspace> workspace);

    void reset() noexcept;
    /// As a new stream with these options and this voice (empty: zeros). Throws as the constructor does, before it
    /// changes anything.
    void restart(const VocoderOptions& options, std::span<const float> voice);
    DecoderUse use() const noexcept { return header().use; }
    bool ended() const noexcept { return header().ended != 0; }
    /// Whether a push of this kind fits the earlier ones and the model.
    bool accepts(DecoderUse use) const noexcept;
    void commit(DecoderUse use) noexcept { header().use = use; }
    int latency() const noexcept { return model_->vocoder ? model_->vocoder->latency(header().look_ahead) : 0; }
    std::span<const float> voice() const noexcept;
    void set_voice(std::span<const float> values) noexcept;
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
    /// The vocoder's part of a push, with scratch memory for the vocoder.
    int vocode(const Exec& run, std::byte* vocoder_scratch, const float* mel, int frames, float* pcm) noexcept;

  private:
    DecoderStreamHeader& header() noexcept { return *model_->decoder_header.in(state_.data()); }
    const DecoderStreamHeader& header() const noexcept { return *model_->decoder_header.in(state_.data()); }
    void start(const VocoderOptions& options) noexcept;
    /// A step: count <= decoder.max_tokens().
    void decode(const std::int32_t* tokens, int count, float* mel) noexcept;
    int vocode(const float* mel, int frames, float* pcm) noexcept {
        return vocode(exec(), model_->vocoder_scratch.in(scratch()), mel, frames, pcm);
    }
};

}  // namespace secousti::core
