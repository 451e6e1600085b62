// Streaming log-mel front end (spec section 1): frame t reads samples [hop*t - pad, hop*t - pad + n_fft), reflected at
// the true ends of the signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_vector.h"
#include "base/arena.h"
#include "kernels/exec.h"
#include "layers/fft.h"
#include "models/config.h"

namespace secousti::core {

inline constexpr float kMagnitudeEpsilon = 1e-9F;  ///< under the root of the magnitude
inline constexpr float kMelFloor = 1e-5F;          ///< of a mel band before the logarithm

/// Periodic Hann window of `length` samples.
AlignedVector<float> hann_window(int length);

/// Triangular mel filters on the Slaney scale with Slaney area normalisation, each kept as its nonzero stretch of bins
/// (empty where a filter is narrower than a bin).
struct MelBands {
    explicit MelBands(const Config& config);

    /// mel [n_mels] = filters * magnitude [n_fft/2 + 1].
    void sum(const Exec& exec, const float* magnitude, float* mel) const noexcept {
        exec->band_sum(magnitude, start.data(), length.data(), offset.data(), weights.data(),
                       static_cast<int>(start.size()), mel);
    }

    std::vector<std::int32_t> start, length, offset;
    AlignedVector<float> weights;
};

class MelFrontEnd {
  public:
    struct Progress {
        std::uint64_t samples;  ///< pushed since the start
        std::uint64_t frames;   ///< emitted since the start
        std::int64_t appended;  ///< samples in the buffer beyond the left padding
    };

    MelFrontEnd(const Config& config, ArenaLayout& state, ArenaLayout& scratch);

    /// Frames come in whole multiples of this many before the end: those of a token, so that between two pushes a
    /// stream is always between two tokens, wherever it runs. (1 where a token has more frames than `kMaxFrames / 4`.)
    int multiple() const noexcept { return multiple_; }
    /// Samples that a step takes at most; frames that it returns at most (with `end`, too) fit kMaxFrames.
    int max_samples() const noexcept { return max_samples_; }
    /// Samples after a frame's first hop sample until the frame can be emitted.
    int latency() const noexcept { return n_fft_ - pad_; }

    /// Feeds `samples` <= max_samples() of PCM; writes the frames that are ready, [frames, n_mels], and returns how
    /// many. With `end`, reflects the end: S samples give floor(S / hop) frames in all.
    int push(const Exec& exec, std::byte* state, std::byte* scratch, const float* pcm, int samples, bool end,
             float* mel) const noexcept;

    /// Where the state of a stream lies: a device takes it from there and back. The buffer starts at sample
    /// hop*frames - (n_fft - hop)/2 and holds (n_fft - hop)/2 + appended samples.
    const Slice<float>& buffer() const noexcept { return buffer_; }
    const Slice<Progress>& progress() const noexcept { return progress_; }

  private:
    void compute_frame(const Exec& exec, std::byte* scratch, const float* samples, float* mel) const noexcept;

    int n_fft_ = 0, hop_ = 0, pad_ = 0, bands_ = 0, multiple_ = 1, max_samples_ = 0;
    Fft fft_;
    AlignedVector<float> window_;
    MelBands filters_;
    Slice<float> buffer_;
    Slice<Progress> progress_;
    Slice<float> windowed_, work_, real_, imaginary_, magnitude_;
};

}  // namespace secousti::core
