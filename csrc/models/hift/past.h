// What a stream of HiFT was fed last. A convolution sees a finite stretch of its input, so all that a stream keeps,
// however it is laid out, can be computed anew from its last mel frames, its position and its phase: that is how a
// stream moves between the CPU and a device.
#pragma once

#include <cstdint>

#include "base/arena.h"
#include "models/config.h"
#include "models/hift/source.h"

namespace secousti::core::hift {

/// Mel frames before the present that what a stream keeps depends on.
int past_frames(const Config& config);

/// The first part of a stream's state, the same for every layout of the rest.
struct Past {
    struct Clock {
        std::int64_t frames;  ///< mel frames so far
        std::uint64_t turns;  ///< phase of the first harmonic after the frames whose f0 is known
        HarmonicSource::Noise noise;
        std::int64_t needs_rebuild;  ///< not 0: the rest of the state is still to be computed
    };

    Past(const Config& config, ArenaLayout& state);

    float* frame(std::byte* state, std::int64_t index) const noexcept { return mel.in(state) + index % frames * bands; }
    const float* frame(const std::byte* state, std::int64_t index) const noexcept {
        return mel.in(state) + index % frames * bands;
    }
    /// The first frame that there is after `count`.
    std::int64_t first(std::int64_t count) const noexcept { return count > frames ? count - frames : 0; }

    int frames, bands;
    Slice<Clock> clock;
    Slice<float> mel;  ///< [frames, n_mels], frame t at t % frames
};

}  // namespace secousti::core::hift
