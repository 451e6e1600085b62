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

WindowConv analysis(const Backend& backend, int n_fft, int hop) {
    const int bins = n_fft / 2 + 1, taps = n_fft / hop;
    std::vector<float> weight(static_cast<std::size_t>(2 * bins * n_fft));
    for (int k = 0; k < bins; ++k) {
        for (int i = 0; i < n_fft; ++i) {
            weight[at(k, i % hop, i / hop, hop, taps)] =
                static_cast<float>(hann(i, n_fft) * std::cos(angle(k, i, n_fft)));
            weight[at(bins + k, i % hop, i / hop, hop, taps)] =
                static_cast<float>(-hann(i, n_fft) * std::sin(angle(k, i, n_fft)));
        }
    }
    return {backend, {hop, 2 * bins, taps, 1, 1, taps / 2, taps / 2}, weight, {}};
}

WindowConv synthesis(const Backend& backend, int n_fft, int hop) {
    const int bins = n_fft / 2 + 1, taps = n_fft / hop;
    std::vector<float> weight(static_cast<std::size_t>(hop * 2 * bins * taps));
    for (int tap = 0; tap < taps; ++tap) {
        for (int s = 0; s < hop; ++s) {
            const int i = n_fft - hop * (tap + 1) + s + 1;  // which sample of the frame at this tap
            if (i == n_fft) continue;
            const double gain = hann(i, n_fft) / (n_fft * overlap(i % hop, n_fft, hop));
            for (int k = 0; k < bins; ++k) {
                const bool mirrored = k != 0 && 2 * k != n_fft;
                const double share = mirrored ? 2.0 * gain : gain;
                weight[at(s, k, tap, 2 * bins, taps)] = static_cast<float>(share * std::cos(angle(k, i, n_fft)));
                if (!mirrored) continue;  // bins that have no imaginary part
                weight[at(s, bins + k, tap, 2 * bins, taps)] =
                    static_cast<float>(-share * std::sin(angle(k, i, n_fft)));
            }
        }
    }
    return {backend, {2 * bins, hop, taps, 1, 1, taps / 2, taps / 2 - 1}, weight, {}};
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
