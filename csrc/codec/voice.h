// The voice vector of a live call: G of the speech heard so far, better the longer it listens.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/arena.h"
#include "codec/stream.h"
#include "models/mel.h"

namespace secousti::core {

/// Cuts what it hears, without pauses, into prompts of prompt_frames mel frames and averages their G, beside a stored
/// one that counts for some seconds of speech. The first prompt is used before it is full.
class VoiceEstimator {
  public:
    /// `stored` is empty or [dimension]; `stored_seconds` >= 0 is what it weighs.
    VoiceEstimator(ModelPtr model, std::span<const float> stored, double stored_seconds);

    /// Feeds finite PCM; true if the estimate was renewed.
    bool push(const float* pcm, std::size_t samples) noexcept;
    /// G [dimension].
    std::span<const float> voice() const noexcept { return voice_; }
    /// Of speech, pauses left out.
    double seconds() const noexcept;

  private:
    bool is_speech(const float* mel) noexcept;
    bool add_frame(const float* mel) noexcept;
    void renew() noexcept;

    ModelPtr model_;
    ArenaLayout state_layout_, scratch_layout_;
    MelFrontEnd front_end_;
    Slice<float> mel_;
    Slice<std::byte> renewal_;  ///< scratch of the paralinguistic encoder
    Arena state_, scratch_;
    std::vector<float> prompt_;  ///< [prompt_frames, n_mels], of which frames_ are filled
    std::size_t frames_ = 0;
    std::vector<double> sum_;  ///< of the G of whole prompts and of the stored one, by weight
    double weight_ = 0.0;      ///< frames
    std::vector<float> estimate_, voice_;
    double heard_ = 0.0;  ///< frames of speech
    float peak_;          ///< of the level, decaying
    int hang_over_ = 0;
};

}  // namespace secousti::core
