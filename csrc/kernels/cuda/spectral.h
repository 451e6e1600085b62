// The spectral vocoder, which cuda/spectral.h fills these arguments in for. The rules are those of launchers.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/mel.h"

namespace secousti::core::cuda {

inline constexpr int kMaxOpenFrames = 4;

/// How far a stream is.
struct SpectralProgress {
    std::int64_t frames;      ///< pushed since the start
    std::int64_t look_ahead;  ///< mel frames
};

/// The spectral vocoder (docs/design/spectral.md) of many streams, one block each: all iterations of a frame in one
/// launch. Offsets count floats of a slot's state, which is laid out as in models/spectral.h.
struct SpectralArgs {
    Spectrum spectrum;
    int hop = 0;
    int span = 0;                                         ///< samples of the signal that is kept
    const float* inverse_weight = nullptr;                ///< [span]
    const std::int32_t* band = nullptr;                   ///< [length/2 + 1]
    const float* fraction = nullptr;                      ///< [length/2 + 1]
    float log_low = 0.0F, log_high = 0.0F, floor = 0.0F;  ///< of a log-mel; of a band
    float tiny = 0.0F, epsilon = 0.0F, impulse = 0.0F, momentum = 0.0F;
    int iterations[kMaxOpenFrames] = {};  ///< by look-ahead
    int slots = 0;
    int max_look_ahead = 0;                ///< of any slot: sizes shared memory
    const std::uint8_t* active = nullptr;  ///< [slots] or null (all)
    SpectralProgress* progress = nullptr;  ///< [slots]: a stream without frames has no other state
    float* state = nullptr;                ///< [slots, state_floats]
    std::size_t state_floats = 0;
    int signal = 0, closed = 0;  ///< offsets
    struct Frame {
        int target, segment, previous_re, previous_im;
    } frame[kMaxOpenFrames] = {};
    const float* mel = nullptr;  ///< [slots, frames, bands]
    int frames = 0;
    float* pcm = nullptr;  ///< [slots, pcm_stride]
    std::ptrdiff_t pcm_stride = 0;
    std::int32_t* samples = nullptr;  ///< [slots]: written; 0 for slots that are not active
};
void spectral_step(const CudaQueue& queue, const SpectralArgs& args);
/// Writes the last look_ahead hops of the active slots, as they stand.
void spectral_finish(const CudaQueue& queue, const SpectralArgs& args);

}  // namespace secousti::core::cuda
