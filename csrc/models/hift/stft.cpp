#include "models/hift/stft.h"

#include <cmath>
#include <cstddef>
#include <numbers>

namespace secousti::core::hift {

namespace {

double hann(int i, int n) {
    const double s = std::sin(std::numbers::pi * i / n);
    return s * s;
}

double angle(int bin, int i, int n) { return 2.0 * std::numbers::pi * ((bin * i) % n) / n; }

/// Sum of the squared windows over a sample at position i of a hop.
double overlap(int i, int n_fft, int hop) {
    double sum = 0.0;
    for (; i < n_fft; i += hop) sum += hann(i, n_fft) * hann(i, n_fft);
    return sum;
}

/// Index into convolution weights [outputs, inputs, taps].
std::size_t at(int output, int input, int tap, int inputs, int taps) {
    return static_cast<std::size_t>((output * inputs + input) * taps + tap);
}

}  // namespace

ConvSpec analysis_spec(int n_fft, int hop) noexcept {
    const int taps = n_fft / hop;
    return {hop, n_fft + 2, taps, 1, 1, taps / 2, taps / 2};
}

ConvSpec synthesis_spec(int n_fft, int hop) noexcept {
    const int taps = n_fft / hop;
    return {n_fft + 2, hop, taps, 1, 1, taps / 2, taps / 2 - 1};
}

float analysis_weight(int n_fft, int k, int i) noexcept {
    const int bins = n_fft / 2 + 1;
    return static_cast<float>(k < bins ? hann(i, n_fft) * std::cos(angle(k, i, n_fft))
                                       : -hann(i, n_fft) * std::sin(angle(k - bins, i, n_fft)));
}

float synthesis_weight(int n_fft, int hop, int i, int k) noexcept {
    const int bins = n_fft / 2 + 1, bin = k % bins;
    const bool mirrored = bin != 0 && 2 * bin != n_fft;
    const double gain = (mirrored ? 2.0 : 1.0) * hann(i, n_fft) / (n_fft * overlap(i % hop, n_fft, hop));
    if (k < bins) return static_cast<float>(gain * std::cos(angle(bin, i, n_fft)));
    return mirrored ? static_cast<float>(-gain * std::sin(angle(bin, i, n_fft))) : 0.0F;  // else no imaginary part
}

WindowConv analysis(const Backend& backend, int n_fft, int hop) {
    const ConvSpec spec = analysis_spec(n_fft, hop);
    std::vector<float> weight(static_cast<std::size_t>(spec.outputs * n_fft));
    for (int k = 0; k < spec.outputs; ++k) {
        for (int i = 0; i < n_fft; ++i)
            weight[at(k, i % hop, i / hop, hop, spec.kernel)] = analysis_weight(n_fft, k, i);
    }
    return {backend, spec, weight, {}};
}

WindowConv synthesis(const Backend& backend, int n_fft, int hop) {
    const ConvSpec spec = synthesis_spec(n_fft, hop);
    std::vector<float> weight(static_cast<std::size_t>(hop * spec.inputs * spec.kernel));
    for (int tap = 0; tap < spec.kernel; ++tap) {
        for (int s = 0; s < hop; ++s) {
            const int i = n_fft - hop * (tap + 1) + s + 1;  // which sample of the frame at this tap
            if (i == n_fft) continue;
            for (int k = 0; k < spec.inputs; ++k) {
                weight[at(s, k, tap, spec.inputs, spec.kernel)] = synthesis_weight(n_fft, hop, i, k);
            }
        }
    }
    return {backend, spec, weight, {}};
}

EdgeGains::EdgeGains(int n_fft, int hop) {
    // Sums over the frames that exist: at sample s from the start and, by symmetry of the window, at the sample that
    // has s samples after it.
    const auto existing = [&](int s) {
        double sum = 0.0;
        for (int i = s + n_fft / 2; i >= 0; i -= hop) sum += i < n_fft ? hann(i, n_fft) * hann(i, n_fft) : 0.0;
        return sum;
    };
    for (int s = 0; s < n_fft / 2; ++s) {
        start.push_back(static_cast<float>(overlap(s % hop, n_fft, hop) / existing(s)));
        end.push_back(static_cast<float>(overlap((s + 1) % hop, n_fft, hop) / existing(s + 1)));
    }
}

}  // namespace secousti::core::hift
