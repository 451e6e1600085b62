// Launchers of the kernels around the codec: the log-mel front end, the spectral vocoder and HiFT. The rules are those
// of launchers.h. The stages in csrc/codec/cuda_{mel,spectral,hift}.h fill these arguments in and own the memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/device.h"

namespace secousti::core::cuda {

// ---- Spectra

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
void mel_step(const Stream& stream, const MelArgs& args);

inline constexpr int kMaxOpenFrames = 4;

/// Of a stream.
struct SpectralProgress {
    std::int64_t frames;      ///< pushed since the start
    std::int64_t look_ahead;  ///< mel frames
};

/// The spectral vocoder (docs/design/spectral.md) of many streams, one block each: all iterations of a frame in one
/// launch. Offsets count floats of a slot's state, which is
/// laid out as in models/spectral.h.
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

// ---- HiFT

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

/// Where a stream of HiFT is. All zero but for `length` is one that starts.
struct HiftClock {
    std::int64_t frames;       ///< mel frames before this step
    std::int64_t length;       ///< mel frames of the utterance once it has ended, else -1
    std::uint64_t turns;       ///< phase of the first harmonic, in units of 2^-64 turns
    std::uint64_t next_turns;  ///< after this step
    std::uint64_t seed;
    std::int64_t noise;  ///< 0: none
};

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
void hift_feed(const Stream& stream, const HiftFeedArgs& args);

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
void hift_conv(const Stream& stream, const HiftConvArgs& args);

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
void hift_source(const Stream& stream, const HiftSourceArgs& args);
inline constexpr int kHiftMaxFrames = 64;  ///< of a step

/// Spectra of the excitation, reflected at its ends.
struct HiftAnalysisArgs {
    HiftStep step;
    Precision precision = Precision::fp32;  ///< of `spectra`
    HiftSignal excitation, spectra;
    const float* basis = nullptr;  ///< [n_fft + 2, n_fft]
    int n_fft = 0, hop = 0;
};
void hift_analysis(const Stream& stream, const HiftAnalysisArgs& args);

/// sum = trunk + source; next[b] = snake_b(sum).
struct HiftSumArgs {
    HiftStep step;
    Precision precision = Precision::fp32;  ///< of `next`
    HiftSignal signals[3 + kHiftJobs];      ///< trunk, source, sum, next
    const float* alpha[kHiftJobs] = {};
    const float* inverse_alpha[kHiftJobs] = {};
    int width = 0;
};
void hift_sum(const Stream& stream, const HiftSumArgs& args);

/// mean = leaky_relu of the mean of three signals.
struct HiftMeanArgs {
    HiftStep step;
    Precision precision = Precision::fp32;  ///< of `mean`
    HiftSignal signals[kHiftJobs + 1];      ///< the three, mean
    float slope = 0.0F;
    int width = 0;
};
void hift_mean(const Stream& stream, const HiftMeanArgs& args);

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
void hift_emit(const Stream& stream, const HiftEmitArgs& args);
/// Time goes on by the step's frames.
void hift_advance(const Stream& stream, const HiftStep& step);
/// The utterances of the active slots end here.
void hift_end(const Stream& stream, const HiftStep& step);

// ---- Voice

/// x *= 1 + logistic(gate), of each channel.
struct ExciteArgs {
    float* x = nullptr;           ///< [rows, channels]
    const float* gate = nullptr;  ///< [channels]
    int rows = 0, channels = 0;
};
void excite(const Stream& stream, const ExciteArgs& args);

inline constexpr int kGruHidden = 64;
/// A gated recurrent unit in torch's order r, z, n, from zeros on.
struct GruArgs {
    const float* input = nullptr;  ///< [rows, 3*hidden]: what the inputs add to the gates, bias included
    int rows = 0;
    const float* hidden_weights = nullptr;  ///< [hidden, 3*hidden]: torch's weight_hh, transposed
    const float* hidden_bias = nullptr;     ///< [3*hidden]
    float* last = nullptr;                  ///< [hidden]: the last state
};
void gru(const Stream& stream, const GruArgs& args);

}  // namespace secousti::core::cuda
