// Groups: many independent streams that step together, so that one pass over the weights serves them all.
//
// A group has `capacity` slots; each is one stream with its own position, age and voice, and works as the single stream
// does (codec/stream.h): the same state, the same snapshots, on the CPU the same bits. A step feeds every active slot
// one token's worth, and a call may make several steps at once; slots join, leave and start again between any two
// steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/tokens.h"
#include "codec/stream.h"

namespace secousti::core {

inline constexpr int kMaxGroupCapacity = 4096;

struct GroupOptions {
    int capacity = 1;         ///< slots, 1..kMaxGroupCapacity
    int threads = 1;          ///< that work on a step, the caller's included
    int spins = -1;           ///< how often an idle worker polls before it sleeps; -1: the pool's default
    std::string device = {};  ///< "cpu", or where the model was opened for; empty: the latter
    int max_steps = 1;        ///< that one call takes at once; a token's worth of mel times this is kMaxFrames at most
};

/// What both kinds have. Slots are 0..capacity-1 and arguments valid: the C interface checks. Only a device other than
/// the CPU may throw (Error) from a call that is not noexcept and says nothing of errors.
class Group {
  public:
    virtual ~Group() = default;
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

    const Model& model() const noexcept { return *model_; }
    int capacity() const noexcept { return capacity_; }
    int max_steps() const noexcept { return max_steps_; }

    /// Bytes that the group holds beside the weights: slots and scratch, on the host and the device.
    virtual std::size_t memory_bytes() const noexcept = 0;
    /// The slots whose mask [capacity] is not 0 (null: all) start anew, as reset does for the single stream.
    virtual void reset(const std::uint8_t* mask) = 0;
    /// Whether the slot was flushed: then it may not be active until reset.
    virtual bool ended(int slot) const noexcept = 0;

    /// One slot as the snapshot of a single stream, which either can restore.
    std::size_t snapshot_bytes() const noexcept { return core::snapshot_bytes(*model_, kind_); }
    virtual void snapshot(int slot, std::byte* out) const = 0;
    /// Throws Error as read_snapshot does; the slot is then as before.
    virtual void restore(int slot, std::span<const std::byte> snapshot) = 0;

  protected:
    Group(StreamKind kind, ModelPtr model, const GroupOptions& options)
        : model_(std::move(model)), capacity_(options.capacity), max_steps_(options.max_steps), kind_(kind) {}

    const ModelPtr model_;
    const int capacity_, max_steps_;

  private:
    const StreamKind kind_;
};

class EncoderGroup : public Group {
  public:
    /// Makes `count` (1..max_steps) steps, each of which feeds one token's worth of audio to the slots that `active`
    /// [capacity] names (null: all). `pcm` is [capacity, count*frame_size]; rows of other slots are not read. Writes
    /// tokens [capacity, count]: kNoToken for a slot that is not active or has none yet. The first tokens come late by
    /// the front end's window; after that each step gives one.
    virtual void steps(const float* pcm, const std::uint8_t* active, int count, std::int32_t* tokens) = 0;
    void step(const float* pcm, const std::uint8_t* active, std::int32_t* tokens) { steps(pcm, active, 1, tokens); }
    /// The same with arrays in device memory, in the order of the caller's stream (a cudaStream_t); does not wait.
    /// `active` is host memory. Throws Error(unsupported) on the CPU.
    virtual void steps_on_device(void* stream, const float* pcm, const std::uint8_t* active, int count,
                                 std::int32_t* tokens);
    /// Most tokens that flushing the slot returns; 0 once it has ended.
    virtual std::size_t tokens_after_flush(int slot) const noexcept = 0;
    /// Ends one slot's stream: writes its remaining tokens, returns how many.
    virtual std::size_t flush(int slot, std::int32_t* tokens) = 0;

  protected:
    EncoderGroup(ModelPtr model, const GroupOptions& options) : Group(StreamKind::encoder, std::move(model), options) {}
};

class DecoderGroup : public Group {
  public:
    /// Begins a new stream in the slot, with options and voice of its own (empty: zeros). Throws Error(unsupported) for
    /// a look-ahead that the vocoder (or the device, for one slot alone) cannot do; the slot is then as before.
    virtual void start(int slot, const VocoderOptions& options, std::span<const float> voice) = 0;
    /// G [dimension] from the next token on.
    virtual void set_voice(int slot, std::span<const float> values) = 0;
    virtual void get_voice(int slot, float* values) const = 0;

    /// What the slot has been used for since it started; a step of the other kind does not fit.
    virtual DecoderUse use(int slot) const noexcept = 0;
    /// Makes `count` (1..max_steps) steps with one token each for each slot, tokens [capacity, count]: kLostToken is
    /// concealed, as by DecoderStream; kNoToken is a slot that is not active, in all of its steps then. `pcm`
    /// [capacity, count*frame_size]: the first samples[i] of row i are written, samples [capacity] says how many. The
    /// model has a vocoder.
    virtual void steps(const std::int32_t* tokens, int count, float* pcm, std::int32_t* samples) = 0;
    void step(const std::int32_t* tokens, float* pcm, std::int32_t* samples) { steps(tokens, 1, pcm, samples); }
    /// The same to log-mel [capacity, count*frames_per_token, n_mels], at once; rows of slots that are not active stay.
    virtual void steps_to_mel(const std::int32_t* tokens, int count, float* mel) = 0;
    void step_to_mel(const std::int32_t* tokens, float* mel) { steps_to_mel(tokens, 1, mel); }
    /// The vocoder alone, for the slots that `active` [capacity] names (null: all): mel [capacity, frames, n_mels],
    /// frames 1..max_steps*frames_per_token, to samples as from `steps`, pcm [capacity, frames*hop_length].
    virtual void step_from_mel(const float* mel, const std::uint8_t* active, int frames, float* pcm,
                               std::int32_t* samples) = 0;
    /// The same three with arrays in device memory, as EncoderGroup::steps_on_device. `active` [capacity] (null: all)
    /// is host memory; tokens of active slots are in range or kLostToken. `samples` may be null.
    virtual void steps_on_device(void* stream, const std::int32_t* tokens, const std::uint8_t* active, int count,
                                 float* pcm, std::int32_t* samples);
    virtual void steps_to_mel_on_device(void* stream, const std::int32_t* tokens, const std::uint8_t* active, int count,
                                        float* mel);
    virtual void step_from_mel_on_device(void* stream, const float* mel, const std::uint8_t* active, int frames,
                                         float* pcm, std::int32_t* samples);
    /// Samples that flushing the slot returns at most; 0 once it has ended.
    virtual std::size_t samples_owed(int slot) const noexcept = 0;
    virtual std::size_t flush(int slot, float* pcm) = 0;

  protected:
    DecoderGroup(ModelPtr model, const GroupOptions& options) : Group(StreamKind::decoder, std::move(model), options) {}
};

/// Throw Error: invalid_argument for options out of range, unsupported for a device that this build or machine lacks,
/// out_of_memory; std::bad_alloc.
std::unique_ptr<EncoderGroup> make_encoder_group(ModelPtr model, const GroupOptions& options);
/// Every slot starts with these vocoder options and this voice (empty: zeros); also unsupported for a look-ahead that
/// the vocoder cannot do.
std::unique_ptr<DecoderGroup> make_decoder_group(ModelPtr model, const GroupOptions& options,
                                                 const VocoderOptions& vocoder, std::span<const float> voice);

}  // namespace secousti::core
