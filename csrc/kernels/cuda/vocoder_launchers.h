// Launchers of the kernels around the codec: the log-mel front end, the spectral vocoder and HiFT. The rules are those
// of launchers.h. The stages in csrc/codec/cuda_{mel,spectral,hift}.h fill these arguments in and own the memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

namespace secousti::core::cuda {

// ---- Spectra -------------------------------------------------------------------------------------------------------

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
    bool end = false;      ///< reflects the end: S samples give floor(S/hop) frames in all
    int multiple = 1;      ///< before the end, frames come in whole multiples of this many
    float* mel = nullptr;  ///< [slots, max_frames, bands]
    int max_frames = 0;
    std::int32_t* frames = nullptr;  ///< [slots]: written; 0 for slots that are not active
};
void mel_step(const Stream& stream, const MelArgs& args);

inline constexpr int kMaxOpenFrames = 4;

/// Of a stream.
struct SpectralProgress {
    std::int64_t frames;      ///< pushed since the start
    std::int64_t look_ahead;  ///< mel frames
};

/// The spectral vocoder (docs/spectral.md) of many streams, one block each: the whole of a frame's iterations in one
/// launch. Offsets count floats of a slot's state, which
/// is laid out as in models/spectral.h.
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
void spectral_step(const Stream& stream, const SpectralArgs& args);
/// Writes the last look_ahead hops of the active slots, as they stand.
void spectral_finish(const Stream& stream, const SpectralArgs& args);

}  // namespace secousti::core::cuda
