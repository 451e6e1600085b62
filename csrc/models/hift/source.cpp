#include "models/hift/source.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "base/philox.h"
#include "kernels/harmonics.h"

namespace secousti::core::hift {

namespace {

using harmonics::kGroup;

PhiloxBlock draw(std::uint64_t seed, std::uint64_t sample, std::size_t harmonic, std::uint32_t what) noexcept {
    return philox(seed, {static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(sample >> 32),
                         static_cast<std::uint32_t>(harmonic / kGroup), what});
}

float sine(std::uint64_t turns) noexcept {
    // As a signed fraction in [-1/2, 1/2) turns, so that small angles keep their precision.
    constexpr float kScale = 0x1p-63F * std::numbers::pi_v<float>;
    return std::sin(static_cast<float>(static_cast<std::int64_t>(turns)) * kScale);
}

}  // namespace

HarmonicSource::HarmonicSource(int sample_rate, int samples, std::span<const float> mix, float bias)
    : sample_rate_(sample_rate), samples_(samples), mix_(mix.begin(), mix.end()), bias_(bias) {}

std::uint64_t HarmonicSource::increment(float f0) const noexcept {
    if (!std::isfinite(f0)) return 0;
    const double turns = std::fmod(std::abs(static_cast<double>(f0)) / sample_rate_, 1.0);
    return static_cast<std::uint64_t>(std::ldexp(turns, 64));
}

void HarmonicSource::fill(const float* f0, std::int64_t first, int frames, const Noise& noise, std::uint64_t& turns,
                          float* out) const noexcept {
    const std::size_t harmonics = mix_.size();
    std::array<std::uint64_t, kMaxHarmonics> start{};  // random but for the first harmonic
    for (std::size_t h = 1; noise.enabled && h < harmonics; ++h) {
        start[h] = static_cast<std::uint64_t>(draw(noise.seed, 0, h, harmonics::kPhase)[h % kGroup]) << 32;
    }
    std::uint64_t sample = static_cast<std::uint64_t>(first) * static_cast<std::uint64_t>(samples_);
    for (int frame = 0; frame < frames; ++frame) {
        const std::uint64_t step = increment(f0[frame]);
        const bool voiced = std::isfinite(f0[frame]) && std::abs(f0[frame]) > harmonics::kVoicedHz;
        const float amplitude = voiced ? harmonics::kSineAmplitude : 0.0F;
        const float sigma = !noise.enabled ? 0.0F : voiced ? harmonics::kVoicedNoise : harmonics::kUnvoicedNoise;
        for (int i = 0; i < samples_; ++i, ++sample, ++out) {
            turns += step;
            float mixed = bias_;
            for (std::size_t begin = 0; begin < harmonics; begin += kGroup) {
                std::array<float, kGroup> normal{};
                if (noise.enabled) normal = normals(draw(noise.seed, sample, begin, harmonics::kNoise));
                for (std::size_t h = begin; h < harmonics && h < begin + kGroup; ++h) {
                    // The h-th multiple of the phase modulo one turn, exactly.
                    const float wave = voiced ? amplitude * sine((h + 1) * turns + start[h]) : 0.0F;
                    mixed += mix_[h] * (wave + sigma * normal[h - begin]);
                }
            }
            *out = std::tanh(mixed);
        }
    }
}

}  // namespace secousti::core::hift
