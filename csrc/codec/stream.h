// Single streams: PCM to tokens, and tokens to PCM. On the CPU they are codec/cpu_stream.h's; on a device groups of one
// slot. Arguments are valid: the C interface checks. Steps on the CPU never throw or allocate; on a device they may
// throw Error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "codec/model.h"
#include "codec/snapshot.h"

namespace secousti::core {

/// Most threads that a stream, a group or an offline call may ask for.
inline constexpr int kMaxThreads = 256;

/// What both kinds have.
class Stream {
  public:
    virtual ~Stream() = default;
    Stream& operator=(const Stream&) = delete;

    const Model& model() const noexcept { return *model_; }
    /// Bytes that the stream holds beside the weights, on the host and the device.
    virtual std::size_t memory_bytes() const noexcept = 0;
    virtual void reset() = 0;
    /// Whether it was flushed: then it takes nothing until it is reset.
    virtual bool ended() const noexcept = 0;
    std::size_t snapshot_bytes() const noexcept { return core::snapshot_bytes(*model_, kind_); }
    /// Writes snapshot_bytes() bytes. Error(unsupported) for what a device cannot move.
    virtual void snapshot(std::byte* out) = 0;

  protected:
    Stream(StreamKind kind, ModelPtr model) : model_(std::move(model)), kind_(kind) {}
    Stream(const Stream&) = default;

    const ModelPtr model_;

  private:
    StreamKind kind_;
};

/// PCM to tokens.
class EncoderStream : public Stream {
  public:
    static constexpr StreamKind kKind = StreamKind::encoder;

    /// An independent stream in the same state.
    virtual std::unique_ptr<EncoderStream> clone() = 0;
    /// Tokens that pushing exactly `samples` more returns.
    virtual std::size_t tokens_after_push(std::size_t samples) const noexcept = 0;
    /// Tokens that pushing `samples` more and then flushing returns in all.
    virtual std::size_t tokens_after_flush(std::size_t samples) const noexcept = 0;
    /// `tokens` has room for tokens_after_push(samples). PCM is finite. Returns the number of tokens.
    virtual std::size_t push(const float* pcm, std::size_t samples, std::int32_t* tokens) = 0;
    /// Ends the stream: writes its last tokens, returns how many.
    virtual std::size_t flush(std::int32_t* tokens) = 0;

  protected:
    explicit EncoderStream(ModelPtr model) : Stream(kKind, std::move(model)) {}
};

/// Tokens to PCM or mel, or mel to PCM.
class DecoderStream : public Stream {
  public:
    static constexpr StreamKind kKind = StreamKind::decoder;

    /// An independent stream in the same state.
    virtual std::unique_ptr<DecoderStream> clone() = 0;
    /// What it has been used for since it started; a push of another kind does not fit.
    virtual DecoderUse use() const noexcept = 0;
    /// Samples by which PCM lags behind tokens.
    virtual int latency() const noexcept = 0;
    /// G [dimension].
    virtual void get_voice(float* values) const = 0;
    /// From the next token on.
    virtual void set_voice(std::span<const float> values) = 0;
    /// Most samples that pushing `frames` more of mel (or tokens worth as many), or flushing after them, can return:
    /// all that are still owed.
    virtual std::size_t samples_owed(std::size_t frames) const noexcept = 0;
    /// `pcm` has room for samples_owed(count * frames_per_token); tokens are in range, or null: `count` lost ones.
    /// Returns the number of samples.
    virtual std::size_t push(const std::int32_t* tokens, std::size_t count, float* pcm) = 0;
    /// Writes count * frames_per_token rows of mel; tokens as in push.
    virtual void push_to_mel(const std::int32_t* tokens, std::size_t count, float* mel) = 0;
    /// `pcm` has room for samples_owed(frames).
    virtual std::size_t push_from_mel(const float* mel, std::size_t frames, float* pcm) = 0;
    /// Ends the stream: writes its last samples, returns how many.
    virtual std::size_t flush(float* pcm) = 0;

  protected:
    explicit DecoderStream(ModelPtr model) : Stream(kKind, std::move(model)) {}
};

}  // namespace secousti::core
