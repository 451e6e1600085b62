// The log-mel front end, which cuda/mel.h fills these arguments in for. The rules are those of launchers.h.
#pragma once

#include <cstdint>

#include "kernels/cuda/device.h"

namespace secousti::core::cuda {

/// A windowed real FFT and the mel bands of its magnitudes.
struct Spectrum {
    int length = 0;                 ///< real samples: a power of two >= 16
    const float* roots = nullptr;   ///< [length, 2]: cos and sin of 2 pi k/length
    const float* window = nullptr;  ///< [length]
    int bands = 0;
    const std::int32_t* start = nullptr;   ///< [bands]: first bin
    const std::int32_t* count = nullptr;   ///< [bands]: bins
    const std::int32_t* offset = nullptr;  ///< [bands]: into weights
    const float* weights = nullptr;
};
inline constexpr int kMaxFftLength = 4096;

/// What a front end keeps beside its samples, as on the CPU.
struct MelProgress {
    std::uint64_t samples;  ///< pushed since the start
    std::uint64_t frames;   ///< emitted since the start
    std::int64_t appended;  ///< samples in the buffer beyond the left padding
};

/// Log-mel front end (spec section 1) of many streams; the buffer of a slot starts at sample hop*frames - pad.
struct MelArgs {
    Spectrum spectrum;
    int hop = 0;
    int pad = 0;           ///< reflected at either end of the signal
    float epsilon = 0.0F;  ///< under the root of the magnitude
    float floor = 0.0F;    ///< of a band before the logarithm
    int slots = 0;
    const std::uint8_t* active = nullptr;  ///< [slots] or null (all)
    float* buffer = nullptr;               ///< [slots, capacity]
    int capacity = 0;                      ///< >= length + (multiple - 1)*hop
    MelProgress* progress = nullptr;       ///< [slots]
    const float* pcm = nullptr;            ///< [slots, samples]
    int samples = 0;
    const std::int32_t* counts = nullptr;  ///< [slots] or null (all): how many of `samples` are a slot's
    bool end = false;                      ///< reflects the end: S samples give floor(S/hop) frames in all
    int multiple = 1;                      ///< before the end, frames come in whole multiples of this many
    float* mel = nullptr;  ///< [slots, max_frames, bands]; with blocks [blocks, slots, max_frames, bands]
    int max_frames = 0;
    /// 0: a step's frames begin at row 0. Else frame f of a stream is row f % max_frames in block f / max_frames,
    /// modulo `blocks`: consumers that take max_frames at a time need not know in which step a frame came.
    int blocks = 0;
    std::int32_t* frames = nullptr;  ///< [slots]: written; 0 for slots that are not active
};
void mel_step(const CudaQueue& queue, const MelArgs& args);

}  // namespace secousti::core::cuda
