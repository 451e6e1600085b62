// What every implementation of the spectral vocoder shares: its constants, its tables and the layout of its state.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_vector.h"
#include "base/arena.h"
#include "models/config.h"
#include "models/mel.h"

namespace secousti::core::spectral {

inline constexpr int kMaxLookAhead = 3;
inline constexpr int kDefaultLookAhead = 1;
inline constexpr int kMaxOpen = kMaxLookAhead + 1;
/// Iterations a frame, by look-ahead: about one percent of a core. Chosen from docs/measured/spectral.md.
inline constexpr std::array<int, kMaxLookAhead + 1> kIterations = {16, 16, 12, 12};
inline constexpr float kMomentum = 0.9F;
/// An impulse mid-window, far below hearing: gives a phase to bins where there is no signal yet.
inline constexpr float kImpulse = 1e-6F;
/// Range of ln mel: from the floor of the front end to well above a full-scale sine (about 2.5).
extern const float kLogLow;
inline constexpr float kLogHigh = 6.0F;
inline constexpr float kTiny = 1e-9F;  ///< of a mel band: keeps quotients finite

/// Iterations a frame that a configuration asks for.
inline int iterations(const SpectralConfig& config, int look_ahead) noexcept {
    return config.iterations > 0 ? config.iterations : kIterations[static_cast<std::size_t>(look_ahead)];
}
/// Frames revised when a new one comes. Without look-ahead one frame whose samples are out, too.
inline int slots(int look_ahead) noexcept { return std::max(2, look_ahead + 1); }

/// Samples from the start of the oldest frame that may be open to the end of the newest.
inline int span(const Config& config) noexcept { return config.n_fft + kMaxLookAhead * config.hop_length; }

struct Tables {
    explicit Tables(const Config& config);

    AlignedVector<float> window;  ///< [n_fft]
    MelBands filters;
    AlignedVector<float> inverse_weight;  ///< [span]: of the sum of squared windows over a sample
    std::vector<std::int32_t> band;       ///< [bins]: the lower of the two bands that a bin belongs to; n_mels: none
    AlignedVector<float> fraction;        ///< [bins]: the upper band's share
};

struct Progress {
    std::uint64_t frames;  ///< pushed since the start
    std::int32_t look_ahead;
};

/// Where a stream keeps what lasts from frame to frame.
struct State {
    explicit State(const Config& config);

    /// One open frame: a slot that frames take in turn.
    struct Frame {
        Slice<float> target;                    ///< mel bands, linear
        Slice<float> segment;                   ///< its samples, windowed twice, to be overlap-added
        Slice<float> previous_re, previous_im;  ///< spectrum of the last iteration, for the momentum
    };
    Slice<Progress> progress;
    Slice<float> signal;  ///< [span]: what is out, then the estimate
    Slice<float> closed;  ///< [span]: sum of the segments of closed frames
    std::array<Frame, kMaxOpen> frames;
    std::size_t bytes = 0;
};

}  // namespace secousti::core::spectral
