// Whole inputs through the same streaming machines, fed everything at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "codec/model.h"

namespace secousti::core {

/// Outputs of encode_mel, [N, …]; null members are not wanted.
struct EncodeOutputs {
    EncodedRows rows;
    float* acoustic_embed = nullptr;
};

/// All functions allocate their working memory and throw Error or std::bad_alloc.
class Offline {
  public:
    Offline(const Model& model, int threads);

    /// Frames of `samples` of PCM: floor(samples / hop).
    std::size_t mel_frames(std::size_t samples) const noexcept;
    std::size_t tokens_of(std::size_t frames) const noexcept;

    void mel(const float* pcm, std::size_t samples, float* out) const;
    /// Throws Error(unsupported) when the acoustic embedding is wanted from a model without an acoustic branch.
    void encode_mel(const float* mel, std::size_t frames, const EncodeOutputs& out) const;
    void decode_tokens(const std::int32_t* tokens, std::size_t count, const float* paralinguistic, float* mel) const;
    void decode_acoustic(const float* acoustic, std::size_t count, float* mel) const;
    /// Throws Error(unsupported) without a vocoder. Writes frames * hop_length samples.
    void vocode(const float* mel, std::size_t frames, const VocoderOptions& options, float* pcm) const;

  private:
    Exec exec() const noexcept { return {&model_.backend, pool_.get()}; }

    const Model& model_;
    std::unique_ptr<ThreadPool> pool_;
};

}  // namespace secousti::core
