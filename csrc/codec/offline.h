// Whole inputs through the same streaming machines, fed everything at once, where the model was opened for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "codec/model.h"

namespace secousti::core {

/// Outputs of encode_mel, [N, …]; null members are not wanted.
struct EncodeOutputs {
    EncodedRows rows;
    float* acoustic_embed = nullptr;
};

/// Clips that are worked on side by side.
struct ClipToEncode {
    const float* pcm;
    std::size_t samples;
    std::int32_t* tokens;  ///< [tokens_of(mel_frames(samples))]
    float* voice;          ///< G [dimension]; null: not wanted, and for clips without a mel frame
};
struct ClipToDecode {
    const std::int32_t* tokens;
    std::size_t count;
    const float* voice;  ///< [dimension]
    float* pcm;          ///< [count * frame_size]
};

/// All functions allocate their working memory and throw Error or std::bad_alloc. Arguments are valid, and no input but
/// a list of clips is empty.
class Offline {
  public:
    virtual ~Offline() = default;
    Offline(const Offline&) = delete;
    Offline& operator=(const Offline&) = delete;

    /// Frames of `samples` of PCM: floor(samples / hop).
    std::size_t mel_frames(std::size_t samples) const noexcept;
    std::size_t tokens_of(std::size_t frames) const noexcept;

    virtual void mel(const float* pcm, std::size_t samples, float* out) const = 0;
    /// Throws Error(unsupported) when the acoustic embedding is wanted from a model without an acoustic branch.
    virtual void encode_mel(const float* mel, std::size_t frames, const EncodeOutputs& out) const = 0;
    /// G [dimension] of the middle of the mel.
    virtual void voice(const float* mel, std::size_t frames, float* g) const = 0;
    virtual void decode_tokens(const std::int32_t* tokens, std::size_t count, const float* voice, float* mel) const = 0;
    virtual void decode_acoustic(const float* acoustic, std::size_t count, float* mel) const = 0;
    /// Throws Error(unsupported) without a vocoder. Writes frames * hop_length samples.
    virtual void vocode(const float* mel, std::size_t frames, const VocoderOptions& options, float* pcm) const = 0;

    /// Many clips of any lengths: what each alone gives.
    virtual void encode_clips(std::span<const ClipToEncode> clips) const = 0;
    /// Throws Error(unsupported) as vocode does.
    virtual void decode_clips(std::span<const ClipToDecode> clips, const VocoderOptions& options) const = 0;

  protected:
    explicit Offline(const Model& model) : model_(model) {}
    /// Throws Error(unsupported) when the model has none.
    const Vocoder& vocoder() const;

    const Model& model_;
};

/// The model outlives it. `threads` count on the CPU only.
std::unique_ptr<Offline> make_offline(const Model& model, int threads);

}  // namespace secousti::core
