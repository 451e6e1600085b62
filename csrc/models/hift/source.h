// The harmonic source of HiFT: sines at the multiples of f0, with noise, mixed to one excitation signal.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace secousti::core::hift {

inline constexpr int kMaxHarmonics = 64;

/// Phases are 64-bit fractions of a turn that wrap in integer arithmetic, and noise is a function of (seed, sample,
/// harmonic): both are as exact in the thousandth hour as in the first second.
class HarmonicSource {
  public:
    struct Noise {
        bool enabled = false;
        std::uint64_t seed = 0;
    };

    HarmonicSource() = default;
    /// `mix` has one weight per harmonic, at most kMaxHarmonics; `samples` are those of a frame.
    HarmonicSource(int sample_rate, int samples, std::span<const float> mix, float bias);

    /// Fills `frames` frames of the excitation from `f0` [frames] in Hz (negative values count as positive, NaN and
    /// infinity as 0). `turns` is the phase of the first harmonic before the frame `first`, updated.
    void fill(const float* f0, std::int64_t first, int frames, const Noise& noise, std::uint64_t& turns,
              float* out) const noexcept;
    /// What `fill` adds to `turns` for each sample.
    std::uint64_t increment(float f0) const noexcept;

  private:
    double sample_rate_ = 1.0;
    int samples_ = 0;
    std::vector<float> mix_;
    float bias_ = 0.0F;
};

}  // namespace secousti::core::hift
