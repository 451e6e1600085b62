// HiFT, which cuda/hift.h fills these arguments in for. The rules are those of launchers.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

namespace secousti::core::cuda {

/// A signal of HiFT in many streams. After t mel frames its rows [0, rate*t - lag) are known, and an utterance of T
/// frames has rate*T + extra of them (models/hift/stream.h has the reasoning). Row r, counted from the utterance's
/// start, lies at r % rows of the slot's ring: histories need no copies, and rows that do not exist are zeros for every
/// reader.
struct HiftSignal {
    std::byte* data = nullptr;   ///< of slot 0; null: there is none
    std::size_t slot_bytes = 0;  ///< from slot to slot
    int rows = 0;                ///< of the ring
    int stride = 0;              ///< elements from row to row, a multiple of 8; those beyond the width are zeros
    int rate = 1, lag = 0, extra = 0;
};

/// Where a stream of HiFT is; as made here, one that starts, without noise.
struct HiftClock {
    std::int64_t frames = 0;       ///< mel frames before this step
    std::int64_t length = -1;      ///< mel frames of the utterance once it has ended, else -1
    std::uint64_t turns = 0;       ///< phase of the first harmonic, in units of 2^-64 turns
    std::uint64_t next_turns = 0;  ///< after this step
    std::uint64_t seed = 0;
    std::int64_t noise = 0;  ///< 0: none
};
/// Its 64-bit words, which is how kernels reach it.
namespace hift_clock {
inline constexpr int kFrames = 0, kLength = 1, kTurns = 2, kNextTurns = 3, kSeed = 4, kNoise = 5;
static_assert(offsetof(HiftClock, length) == 8 * kLength && offsetof(HiftClock, turns) == 8 * kTurns &&
              offsetof(HiftClock, next_turns) == 8 * kNextTurns && offsetof(HiftClock, seed) == 8 * kSeed &&
              offsetof(HiftClock, noise) == 8 * kNoise);
}  // namespace hift_clock

struct HiftStep {
    HiftClock* clocks = nullptr;           ///< [slots]
    const std::uint8_t* active = nullptr;  ///< [slots] or null (all)
    int slots = 0;
    int frames = 0;  ///< mel frames of this step
};

/// mel [slots, frames, bands] -> signals of float32 and, unless it has no data, bfloat16.
struct HiftFeedArgs {
    HiftStep step;
    const float* mel = nullptr;
    int bands = 0;
    HiftSignal exact, rounded;
};
void hift_feed(const CudaQueue& queue, const HiftFeedArgs& args);

/// bfloat16 or float32 rows, tap by tap, zero-filled to `hift_depth` elements; both on the host. `weights` is
/// [outputs, taps, inputs].
int hift_depth(Precision precision, int taps, int input_stride);
std::size_t hift_packed_bytes(Precision precision, int outputs, int taps, int input_stride);
void hift_pack(Precision precision, const float* weights, int outputs, int taps, int inputs, int input_stride,
               void* packed);

/// v = bias + convolution of `in` + residual; raw = v; next = activation(v).
struct HiftConv {
    HiftSignal in;                  ///< float32 or bfloat16
    const void* weights = nullptr;  ///< by hift_pack
    const float* bias = nullptr;
    int taps = 1, dilation = 1, stride = 1, pad_left = 0;
    int rate = 1, lag = 0, extra = 0;  ///< of the convolution's rows
    int outputs = 0;                   ///< of one of them
    /// A transposed convolution gives `phases` rows of `raw` at once, the first at phases*row + shift.
    int phases = 1, shift = 0;
    bool reflects = false;  ///< row 0 of `raw` repeats row 2
    HiftSignal residual;    ///< float32
    HiftSignal raw;         ///< float32
    HiftSignal next;        ///< as `in`
    Activation activation = Activation::none;
    float slope = 0.0F;
    const float* alpha = nullptr;          ///< [outputs]: snake instead of the activation
    const float* inverse_alpha = nullptr;  ///< [outputs]
};
inline constexpr int kHiftJobs = 3;
/// Outputs that a block makes at once. The result is the same bits.
enum class HiftTiles { fitting, wide, narrow };
/// Up to three convolutions side by side, of the same rate and outputs.
struct HiftConvArgs {
    HiftStep step;
    Precision precision = Precision::fp32;
    HiftTiles tiles = HiftTiles::fitting;
    int jobs = 1;
    HiftConv job[kHiftJobs];
};
void hift_conv(const CudaQueue& queue, const HiftConvArgs& args);

/// f0 = |classifier . features| of each frame; then the harmonic excitation (models/hift/source.h).
struct HiftSourceArgs {
    HiftStep step;
    HiftSignal features;                ///< float32
    const float* classifier = nullptr;  ///< [channels]
    float classifier_bias = 0.0F;
    int channels = 0;
    const float* mix = nullptr;  ///< [harmonics]
    float mix_bias = 0.0F;
    int harmonics = 0;
    double sample_rate = 1.0;
    int samples = 0;        ///< of a frame
    HiftSignal excitation;  ///< float32, one element a row
};
void hift_source(const CudaQueue& queue, const HiftSourceArgs& args);
inline constexpr int kHiftMaxFrames = 64;  ///< of a step

/// Spectra of the excitation, reflected at its ends.
struct HiftAnalysisArgs {
    HiftStep step;
    Precision precision = Precision::fp32;  ///< of `spectra`
    HiftSignal excitation, spectra;
    const float* basis = nullptr;  ///< [n_fft + 2, n_fft]
    int n_fft = 0, hop = 0;
};
void hift_analysis(const CudaQueue& queue, const HiftAnalysisArgs& args);

/// sum = trunk + source; next[b] = snake_b(sum).
struct HiftSumArgs {
    HiftStep step;
    Precision precision = Precision::fp32;  ///< of `next`
    HiftSignal signals[3 + kHiftJobs];      ///< trunk, source, sum, next
    const float* alpha[kHiftJobs] = {};
    const float* inverse_alpha[kHiftJobs] = {};
    int width = 0;
};
void hift_sum(const CudaQueue& queue, const HiftSumArgs& args);

/// mean = leaky_relu of the mean of three signals.
struct HiftMeanArgs {
    HiftStep step;
    Precision precision = Precision::fp32;  ///< of `mean`
    HiftSignal signals[kHiftJobs + 1];      ///< the three, mean
    float slope = 0.0F;
    int width = 0;
};
void hift_mean(const CudaQueue& queue, const HiftMeanArgs& args);

/// The head: spectra from logarithms and phases, their inverse transform, samples.
struct HiftEmitArgs {
    HiftStep step;
    HiftSignal head;                    ///< float32, n_fft + 2 wide
    const float* basis = nullptr;       ///< [n_fft, n_fft + 2]: sample of a frame from its spectrum, normalised
    const float* start_gain = nullptr;  ///< [n_fft/2]: see EdgeGains
    const float* end_gain = nullptr;
    int n_fft = 0, hop = 0;
    int rate = 1, lag = 0;  ///< of rows of `hop` samples
    int hop_length = 0;     ///< samples of a mel frame
    int latency = 0;        ///< samples
    float limit = 0.0F;     ///< of a sample
    bool end = false;       ///< a step of the end: pcm starts at the first sample that was left when it began
    float* pcm = nullptr;   ///< [slots, pcm_stride]
    std::ptrdiff_t pcm_stride = 0;
    std::int32_t* samples = nullptr;  ///< [slots]: written (at the end: in all); 0 for slots that are not active
};
void hift_emit(const CudaQueue& queue, const HiftEmitArgs& args);
/// Time goes on by the step's frames.
void hift_advance(const CudaQueue& queue, const HiftStep& step);
/// The utterances of the active slots end here.
void hift_end(const CudaQueue& queue, const HiftStep& step);

}  // namespace secousti::core::cuda
