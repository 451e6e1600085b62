// The short-time transforms of HiFT as convolutions: both centred, periodic Hann window.
#pragma once

#include <vector>

#include "layers/conv.h"

namespace secousti::core::hift {

/// Both transforms as convolutions between rows of `hop` samples and spectra of real, then imaginary parts.
ConvSpec analysis_spec(int n_fft, int hop) noexcept;
ConvSpec synthesis_spec(int n_fft, int hop) noexcept;
/// What sample i of a frame contributes to part k (of n_fft + 2) of its spectrum, the window included.
float analysis_weight(int n_fft, int k, int i) noexcept;
/// What part k of a spectrum contributes to sample i of its frame: windowed, over the overlap of squared windows.
float synthesis_weight(int n_fft, int hop, int i, int k) noexcept;

/// Rows of `hop` samples, padded with n_fft/2 samples on both sides -> spectra of n_fft/2 + 1 real, then imaginary
/// parts.
WindowConv analysis(const Backend& backend, int n_fft, int hop);

/// Spectra -> samples, overlapped and normalised. As the window is 0 at its first sample, row r gives the samples
/// hop*(r - 1) + 1 … hop*r: the latest that spectra up to r + n_fft/hop/2 - 1 determine.
WindowConv synthesis(const Backend& backend, int n_fft, int hop);

/// Factors for the first n_fft/2 samples and, counted backwards from the end, the last: there the overlap lacks frames.
struct EdgeGains {
    EdgeGains(int n_fft, int hop);

    std::vector<float> start, end;
};

}  // namespace secousti::core::hift
