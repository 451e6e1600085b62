#include "models/concealment.h"

#include <algorithm>
#include <cmath>

#include "models/mel.h"

namespace secousti::core {

namespace {

/// Time constants of the noise floor: down fast, into every gap, up slowly, past syllables.
constexpr float kDown = 0.03F;
constexpr float kUp = 2.5F;

}  // namespace

Concealment::Concealment(const Config& config, ArenaLayout& state)
    : frames_per_token_(config.frames_per_token()),
      n_mels_(config.n_mels),
      frame_seconds_(static_cast<float>(config.hop_length) / static_cast<float>(config.sample_rate)),
      memory_(state.reserve<Memory>(1)),
      floor_(state.reserve<float>(static_cast<std::size_t>(config.n_mels))) {}

void Concealment::received(std::byte* state, const std::int32_t* tokens, int count, const float* mel) const noexcept {
    *memory_.in(state) = {1, tokens[count - 1], 0};
    const auto [down, up] = rates(frame_seconds_);
    const float silence = std::log(kMelFloor);
    float* floor = floor_.in(state);
    for (int t = 0; t < count * frames_per_token_; ++t, mel += n_mels_) {
        for (int m = 0; m < n_mels_; ++m) {
            const float distance = mel[m] - silence - floor[m];
            floor[m] = std::max(0.0F, floor[m] + (distance < 0.0F ? down : up) * distance);
        }
    }
}

Concealment::Rates Concealment::rates(float frame_seconds) noexcept {
    return {1.0F - std::exp(-frame_seconds / kDown), 1.0F - std::exp(-frame_seconds / kUp)};
}

float Concealment::weight(const std::byte* state, int ahead) const noexcept {
    const Memory& memory = *memory_.in(state);
    if (memory.heard == 0) return 0.0F;
    const std::int64_t age = std::int64_t{memory.missing} + std::int64_t{ahead + 1} * frames_per_token_;
    return std::min(1.0F, kCorrelation * std::exp(-seconds(age) / kMemory));
}

void Concealment::lost(std::byte* state, int count, float* mel) const noexcept {
    Memory& memory = *memory_.in(state);
    const float silence = std::log(kMelFloor);
    const float* floor = floor_.in(state);
    for (int t = 0; t < count * frames_per_token_; ++t, mel += n_mels_) {
        if (memory.missing != UINT32_MAX) ++memory.missing;
        // Before the first token there is nothing to go on with.
        const float faded =
            memory.heard == 0 ? 1.0F : std::clamp((seconds(memory.missing) - kHold) / kFade, 0.0F, 1.0F);
        for (int m = 0; m < n_mels_; ++m) {
            mel[m] += faded * (std::min(mel[m], silence + floor[m]) - mel[m]);
        }
    }
}

}  // namespace secousti::core
