// The voice vector of a live call: G of the speech heard so far, better the longer it listens.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "codec/model.h"

namespace secousti::core {

/// What an estimate is made of, computed where the model works: log-mel of what is heard, and G of prompts.
class VoiceFeatures {
  public:
    VoiceFeatures() = default;
    virtual ~VoiceFeatures() = default;
    VoiceFeatures(const VoiceFeatures&) = delete;
    VoiceFeatures& operator=(const VoiceFeatures&) = delete;

    /// Most samples that one call of `mel` takes.
    virtual int max_samples() const noexcept = 0;
    /// Feeds a stream of samples; writes the log-mel frames that are ready, kMaxFrames at most, and returns how many.
    virtual int mel(const float* pcm, int samples, float* rows) = 0;
    /// G [dimension] of a prompt.
    virtual void encode(const float* rows, std::size_t frames, float* g) = 0;
};

/// Cuts what it hears, without pauses, into prompts of prompt_frames mel frames and averages their G, beside a stored
/// one that counts for some seconds of speech. The first prompt is used before it is full.
class VoiceEstimator {
  public:
    /// `stored` is empty or [dimension]; `stored_seconds` >= 0 is what it weighs.
    VoiceEstimator(ModelPtr model, std::span<const float> stored, double stored_seconds);

    /// Feeds finite PCM; true if the estimate was renewed.
    bool push(const float* pcm, std::size_t samples);
    /// G [dimension].
    std::span<const float> voice() const noexcept { return voice_; }
    /// Of speech, pauses left out.
    double seconds() const noexcept;

  private:
    bool is_speech(const float* mel) noexcept;
    bool add_frame(const float* mel);
    void renew();

    ModelPtr model_;
    std::unique_ptr<VoiceFeatures> features_;
    std::vector<float> mel_;     ///< [kMaxFrames, n_mels]
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
