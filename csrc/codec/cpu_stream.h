// Streams on the CPU: a model, one flat state arena, one scratch arena. Steps never throw or allocate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "base/arena.h"
#include "base/thread_pool.h"
#include "codec/stream.h"

namespace secousti::core {

/// What a stream works with beside its state. The streams of a group, which take turns, share one.
struct Workspace {
    Workspace(std::size_t scratch_bytes, int threads, int spins = ThreadPool::kDefaultSpins)
        : scratch(scratch_bytes), pool(threads > 1 ? std::make_unique<ThreadPool>(threads, spins) : nullptr) {}

    Arena scratch;
    std::unique_ptr<ThreadPool> pool;
};

/// The parts of both kinds. Interface is EncoderStream or DecoderStream.
template <class Interface>
class CpuStream : public Interface {
  public:
    std::size_t memory_bytes() const noexcept override { return state_bytes() + scratch_bytes(); }
    void snapshot(std::byte* out) noexcept override { save(out); }
    void save(std::byte* out) const noexcept { write_snapshot(this->model(), Interface::kKind, state_.data(), out); }
    /// Goes on where the snapshot was taken; throws as read_snapshot, and is then as before.
    void restore(std::span<const std::byte> snapshot) {
        read_snapshot(this->model(), Interface::kKind, snapshot, state_.data());
    }

    /// Bytes that this stream holds: its state, and the workspace that it may share.
    std::size_t state_bytes() const noexcept { return state_.bytes(); }
    std::size_t scratch_bytes() const noexcept { return workspace_->scratch.bytes(); }
    /// For those who step many streams at once.
    std::byte* state() noexcept { return state_.data(); }

  protected:
    CpuStream(ModelPtr model, std::shared_ptr<Workspace> workspace)
        : Interface(std::move(model)),
          state_(state_layout(this->model(), Interface::kKind).bytes()),
          workspace_(std::move(workspace)) {}
    /// The copy has a workspace of its own.
    CpuStream(const CpuStream& other)
        : Interface(other),
          state_(other.state_),
          workspace_(std::make_shared<Workspace>(other.scratch_bytes(), other.exec().threads())) {}
    CpuStream(CpuStream&&) noexcept = default;
    ~CpuStream() override = default;
    Exec exec() const noexcept { return {&this->model().backend, workspace_->pool.get()}; }
    std::byte* scratch() const noexcept { return workspace_->scratch.data(); }

    Arena state_;

  private:
    std::shared_ptr<Workspace> workspace_;
};

class CpuEncoderStream final : public CpuStream<EncoderStream> {
  public:
    CpuEncoderStream(ModelPtr model, int threads);
    /// `workspace` has model->encoder_scratch.bytes().
    CpuEncoderStream(ModelPtr model, std::shared_ptr<Workspace> workspace);

    void reset() noexcept override { state_.clear(); }
    bool ended() const noexcept override { return header().ended != 0; }
    std::unique_ptr<EncoderStream> clone() override;
    std::size_t tokens_after_push(std::size_t samples) const noexcept override;
    std::size_t tokens_after_flush(std::size_t samples) const noexcept override;
    std::size_t push(const float* pcm, std::size_t samples, std::int32_t* tokens) noexcept override;
    std::size_t flush(std::int32_t* tokens) noexcept override;
    /// Counts a step that a group has made on this state.
    void count(std::size_t samples, std::size_t tokens) noexcept;

  private:
    EncoderStreamHeader& header() noexcept { return *model_->encoder_header.in(state_.data()); }
    const EncoderStreamHeader& header() const noexcept { return *model_->encoder_header.in(state_.data()); }
    std::size_t step(const float* pcm, int samples, bool end, std::int32_t* tokens) noexcept;
};

class CpuDecoderStream final : public CpuStream<DecoderStream> {
  public:
    /// Throws Error(unsupported) when the vocoder cannot do this look-ahead. A model without a vocoder decodes to mel.
    CpuDecoderStream(ModelPtr model, const VocoderOptions& options, std::span<const float> voice, int threads);
    /// `workspace` has model->decoder_scratch.bytes().
    CpuDecoderStream(ModelPtr model, const VocoderOptions& options, std::span<const float> voice,
                     std::shared_ptr<Workspace> workspace);

    void reset() noexcept override;
    bool ended() const noexcept override { return header().ended != 0; }
    std::unique_ptr<DecoderStream> clone() override;
    DecoderUse use() const noexcept override { return header().use; }
    int latency() const noexcept override {
        return model_->vocoder ? model_->vocoder->latency(header().look_ahead) : 0;
    }
    void get_voice(float* values) const noexcept override;
    void set_voice(std::span<const float> values) noexcept override;
    std::size_t samples_owed(std::size_t frames) const noexcept override;
    std::size_t push(const std::int32_t* tokens, std::size_t count, float* pcm) noexcept override;
    void push_to_mel(const std::int32_t* tokens, std::size_t count, float* mel) noexcept override;
    std::size_t push_from_mel(const float* mel, std::size_t frames, float* pcm) noexcept override;
    std::size_t flush(float* pcm) noexcept override;

    /// As a new stream with these options and this voice (empty: zeros). Throws as the constructor does, before it
    /// changes anything.
    void restart(const VocoderOptions& options, std::span<const float> voice);
    /// Counts a step that a group has made on this state.
    void commit(DecoderUse use) noexcept { header().use = use; }
    /// The vocoder's part of a push, with scratch memory for the vocoder.
    int vocode(const Exec& run, std::byte* vocoder_scratch, const float* mel, int frames, float* pcm) noexcept;

  private:
    DecoderStreamHeader& header() noexcept { return *model_->decoder_header.in(state_.data()); }
    const DecoderStreamHeader& header() const noexcept { return *model_->decoder_header.in(state_.data()); }
    std::span<const float> voice() const noexcept {
        return {model_->decoder_voice.in(state_.data()), model_->decoder_voice.count};
    }
    void start(const VocoderOptions& options) noexcept;
    /// A step: count <= decoder.max_tokens().
    void decode(const std::int32_t* tokens, int count, float* mel) noexcept;
    int vocode(const float* mel, int frames, float* pcm) noexcept {
        return vocode(exec(), model_->vocoder_scratch.in(scratch()), mel, frames, pcm);
    }
};

}  // namespace secousti::core
