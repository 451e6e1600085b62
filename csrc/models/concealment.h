// Concealment of lost tokens: what the decoder is fed and how its mel fades while nothing arrives.
//
// Causal and in place. The code of the last token that arrived is kept and shrunk towards zero as its correlation with
// the codes to come decays: the best linear prediction of a first-order autoregressive process (Box, Jenkins 1970). So
// the transformers go on in time and the first token after the loss meets them in step. A loss that lasts is faded from
// the predicted mel to the noise floor that was heard between words. docs/measured/packet_loss.md has the measurements.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/arena.h"
#include "models/config.h"

namespace secousti::core {

class Concealment {
  public:
    /// Correlation of codes t seconds apart: kCorrelation * exp(-t / kMemory), fitted to tokens of speech.
    static constexpr float kCorrelation = 0.9F;
    static constexpr float kMemory = 0.06F;
    /// The predicted mel is played for kHold seconds, then fades to the noise floor over kFade, linearly in decibels.
    static constexpr float kHold = 0.25F;
    static constexpr float kFade = 0.5F;

    /// What a stream remembers of its tokens.
    struct Memory {
        std::int32_t heard;     ///< 1 once a token has arrived
        std::int32_t last;      ///< the newest one
        std::uint32_t missing;  ///< mel frames lost since
    };
    /// How far the noise floor moves within a mel frame towards what is heard: down fast, into every gap, up slowly.
    struct Rates {
        float down, up;
    };

    Concealment() = default;
    Concealment(const Config& config, ArenaLayout& state);

    /// Takes note of tokens [count], count >= 1, and of the mel [count * frames_per_token, n_mels] made of them.
    void received(std::byte* state, const std::int32_t* tokens, int count, const float* mel) const noexcept;

    /// What the code of the last token is worth `ahead` (0, 1, ...) tokens from now, in [0, 1]; 0 before the first.
    float weight(const std::byte* state, int ahead) const noexcept;
    /// The last token that arrived; 0 before the first.
    std::int32_t last_token(const std::byte* state) const noexcept { return memory_.in(state)->last; }
    /// Fades the predicted mel [count * frames_per_token, n_mels] of lost tokens and moves time on.
    void lost(std::byte* state, int count, float* mel) const noexcept;

    /// Where the state is.
    const Slice<Memory>& memory() const noexcept { return memory_; }
    const Slice<float>& floor() const noexcept { return floor_; }
    float frame_seconds() const noexcept { return frame_seconds_; }
    static Rates rates(float frame_seconds) noexcept;

  private:
    float seconds(std::int64_t frames) const noexcept { return static_cast<float>(frames) * frame_seconds_; }

    int frames_per_token_ = 0, n_mels_ = 0;
    float frame_seconds_ = 0.0F;
    Slice<Memory> memory_;
    Slice<float> floor_;  ///< [n_mels]: log-mel of the noise between words, above that of silence
};

}  // namespace secousti::core
