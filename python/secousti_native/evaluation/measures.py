"""Figures that need numpy alone: spectral distances, token statistics, delay between two signals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from secousti_native._arrays import Floats

_WINDOW_SECONDS, _HOP_SECONDS = 0.032, 0.008
#: Bins this far below the reference's strongest one count as equally silent.
DYNAMIC_RANGE_DB = 80.0


def power_spectra(signal: Floats, sample_rate: int) -> npt.NDArray[np.float64]:
    """Power [frames, bins] of 32 ms Hann windows every 8 ms; a signal shorter than one window is padded with zeros."""
    size, hop = round(_WINDOW_SECONDS * sample_rate), round(_HOP_SECONDS * sample_rate)
    padded = np.pad(np.asarray(signal, np.float64), (0, max(0, size - len(signal))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    spectra = np.fft.rfft(frames * np.hanning(size + 1)[:-1])
    return np.asarray(spectra.real**2 + spectra.imag**2)


def log_spectral_distance(reference: Floats, degraded: Floats, sample_rate: int) -> float:
    """Mean over frames of the root mean square over bins of 10 lg(P / P'), in dB (Gray, Markel 1976).

    P and P' are the power spectra of [samples]; both are limited from below, 80 dB under the strongest bin of the
    reference, so that the depth of silence does not count. ``ValueError`` for a silent reference.
    """
    count = min(len(reference), len(degraded))
    p, q = (power_spectra(signal[:count], sample_rate) for signal in (reference, degraded))
    floor = p.max() * 10 ** (-DYNAMIC_RANGE_DB / 10)
    if not floor > 0:
        raise ValueError("log-spectral distance: the reference is silent")
    difference = 10 * np.log10(np.maximum(p, floor) / np.maximum(q, floor))
    return float(np.sqrt((difference**2).mean(1)).mean())


def mel_l1(reference: Floats, degraded: Floats) -> float:
    """Mean absolute difference of two natural-log mels [frames, bands]; the longer one is cut."""
    count = min(len(reference), len(degraded))
    return float(np.abs(reference[:count].astype(np.float64) - degraded[:count]).mean())


def entropy(counts: npt.ArrayLike) -> float:
    """Bits per symbol of the empirical distribution with these counts (Shannon 1948). 0 for no symbols.

    Biased low by about (different symbols - 1) / (2 ln 2 · symbols) bits (Miller 1955).
    """
    n = np.asarray(counts, np.float64)
    p = n[n > 0] / max(n.sum(), 1.0)
    return float(-(p * np.log2(p)).sum()) + 0.0


def token_statistics(streams: Iterable[npt.NDArray[Any]], cardinality: int) -> dict[str, float]:
    """Of all tokens: how many, the share of the codebook in use, entropy in bits, and that of a uniform choice."""
    counts = np.zeros(cardinality, np.int64)
    for tokens in streams:
        counts += np.bincount(tokens, minlength=cardinality)
    return {
        "tokens": int(counts.sum()),
        "codebook_use": float((counts > 0).mean()),
        "token_entropy": entropy(counts),
        "uniform_entropy": float(np.log2(cardinality)),
    }


def delay(reference: Floats, degraded: Floats, sample_rate: int, longest: float = 0.1) -> int:
    """Samples by which ``degraded`` lags, at most ``longest`` seconds either way.

    Where the envelopes (squares smoothed over 5 ms, then the square root) correlate best: parametric codecs keep no
    waveform that could be compared.
    """
    count = min(len(reference), len(degraded))
    window = np.hanning(round(0.005 * sample_rate) + 2)
    size = 2 ** int(np.ceil(np.log2(count + len(window) + longest * sample_rate)))
    spectra = []
    for signal in (reference, degraded):
        smooth = np.convolve(np.asarray(signal[:count], np.float64) ** 2, window, mode="same")
        envelope = np.sqrt(np.maximum(smooth, 0.0))
        spectra.append(np.fft.rfft(envelope - envelope.mean(), 2 * size))
    correlation = np.fft.irfft(spectra[1] * spectra[0].conj())
    reach = int(longest * sample_rate)
    lags = np.arange(-reach, reach + 1)
    return int(lags[np.argmax(correlation[lags])])


def shifted(signal: Floats, lag: int, length: int) -> Floats:
    """``signal`` moved ``lag`` samples earlier, cut or padded with zeros to ``length``."""
    moved = signal[lag:] if lag >= 0 else np.pad(signal, (-lag, 0))
    return np.pad(moved[:length], (0, max(0, length - len(moved))))
