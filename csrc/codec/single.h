// Single streams wherever they work: what a handle of the C interface holds. On the CPU a stream is codec/stream.h's;
// on a device it is a group of one slot. Arguments are valid: the C interface checks. Calls that are not noexcept may
// throw Error on a device; on the CPU steps never throw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "codec/stream.h"

namespace secousti::core {

/// What both kinds have.
class Single {
  public:
    virtual ~Single() = default;
    Single(const Single&) = delete;
    Single& operator=(const Single&) = delete;

    const Model& model() const noexcept { return *model_; }
    /// Bytes that the stream holds beside the weights, on the host and the device.
    virtual std::size_t memory_bytes() const noexcept = 0;
    virtual void reset() = 0;
    virtual bool ended() const noexcept = 0;
    virtual std::size_t snapshot_bytes() const noexcept = 0;
    /// As Stream's. On a device Error(unsupported) for what cannot be moved.
    virtual void snapshot(std::byte* out) = 0;

  protected:
    explicit Single(ModelPtr model) : model_(std::move(model)) {}

    const ModelPtr model_;
};

/// PCM to tokens; see EncoderStream.
class SingleEncoder : public Single {
  public:
    virtual std::unique_ptr<SingleEncoder> clone() = 0;
    virtual std::size_t tokens_after_push(std::size_t samples) const noexcept = 0;
    virtual std::size_t tokens_after_flush(std::size_t samples) const noexcept = 0;
    virtual std::size_t push(const float* pcm, std::size_t samples, std::int32_t* tokens) = 0;
    virtual std::size_t flush(std::int32_t* tokens) = 0;

  protected:
    using Single::Single;
};

/// Tokens to PCM or mel, or mel to PCM; see DecoderStream.
class SingleDecoder : public Single {
  public:
    virtual std::unique_ptr<SingleDecoder> clone() = 0;
    virtual DecoderUse use() const noexcept = 0;
    virtual int latency() const noexcept = 0;
    virtual void get_voice(float* values) const = 0;
    virtual void set_voice(std::span<const float> values) = 0;
    virtual std::size_t samples_owed(std::size_t frames) const noexcept = 0;
    virtual std::size_t push(const std::int32_t* tokens, std::size_t count, float* pcm) = 0;
    virtual void push_to_mel(const std::int32_t* tokens, std::size_t count, float* mel) = 0;
    virtual std::size_t push_from_mel(const float* mel, std::size_t frames, float* pcm) = 0;
    virtual std::size_t flush(float* pcm) = 0;

  protected:
    using Single::Single;
};

/// Work where the model was opened for. Throw as the constructors of streams and Stream::restore do; `threads` count on
std::unique_ptr<SingleEncoder> make_encoder(ModelPtr model, int threads);
std::unique_ptr<SingleEncoder> restore_encoder(ModelPtr model, std::span<const std::byte> snapshot, int threads);
std::unique_ptr<SingleDecoder> make_decoder(ModelPtr model, const VocoderOptions& options, std::span<const float> voice,
                                            int threads);
std::unique_ptr<SingleDecoder> restore_decoder(ModelPtr model, std::span<const std::byte> snapshot, int threads);

}  // namespace secousti::core
