"""Log-mel front end: differentiable, exact to the published one (specification section 1)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import CodecConfig

MAGNITUDE_FLOOR = 1e-9  # added to the power, so that the square root has a gradient everywhere
LOG_FLOOR = 1e-5

# Slaney's scale (Auditory Toolbox, 1998): linear up to 1 kHz (15 mels), then logarithmic, 27 steps per factor of 6.4.
_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def hz_to_mel(hz: float) -> float:
    """Frequency in Hz to Slaney mels."""
    return hz / _HZ_PER_MEL if hz < _BREAK_HZ else _BREAK_MEL + math.log(hz / _BREAK_HZ) / _LOG_STEP


def mel_to_hz(mel: float) -> float:
    """Slaney mels to frequency in Hz."""
    return mel * _HZ_PER_MEL if mel < _BREAK_MEL else _BREAK_HZ * math.exp((mel - _BREAK_MEL) * _LOG_STEP)


def mel_filters(config: CodecConfig) -> npt.NDArray[np.float64]:
    """Triangular filters of unit area (per Hz), float64 ``[n_mels, n_fft / 2 + 1]``."""
    low, high = hz_to_mel(config.mel_fmin), hz_to_mel(config.mel_fmax)
    corners = np.array([mel_to_hz(m) for m in np.linspace(low, high, config.n_mels + 2)])
    bins = np.arange(config.n_fft // 2 + 1) * (config.sample_rate / config.n_fft)
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    triangles = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    return np.asarray(np.maximum(triangles, 0.0) * (2.0 / (right - left)), dtype=np.float64)


def reflect_pad(signal: Tensor, pad: int) -> Tensor:
    """Mirrors ``[..., n]`` at both ends without repeating the edge; signals shorter than ``pad`` are mirrored again."""
    length = signal.shape[-1]
    if length > pad:
        return F.pad(signal.reshape(-1, length), (pad, pad), mode="reflect").reshape(*signal.shape[:-1], -1)
    period = max(2 * (length - 1), 1)
    index = torch.arange(-pad, length + pad, device=signal.device) % period
    return signal[..., torch.minimum(index, period - index).clamp_(0, length - 1)]


class LogMel(nn.Module):
    """``[..., samples]`` in [-1, 1] at ``config.sample_rate`` to log-mel ``[..., samples // hop_length, n_mels]``.

    Computes in the dtype of its input, float32 or float64, also under autocast.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.n_fft, dtype=torch.float64), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters(config)), persistent=False)

    def forward(self, pcm: Tensor) -> Tensor:
        with torch.autocast(pcm.device.type, enabled=False):
            n_fft, hop = self.config.n_fft, self.config.hop_length
            if pcm.shape[-1] < hop:
                return pcm.new_zeros(*pcm.shape[:-1], 0, self.config.n_mels)
            frames = reflect_pad(pcm, (n_fft - hop) // 2).unfold(-1, n_fft, hop)
            spectrum = torch.view_as_real(torch.fft.rfft(frames * self.window.to(pcm.dtype)))
            magnitude = (spectrum.square().sum(-1) + MAGNITUDE_FLOOR).sqrt()
            return (magnitude @ self.filters.to(pcm.dtype).T).clamp_min(LOG_FLOOR).log()
