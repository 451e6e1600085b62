"""How far apart two log-mels sound: the perceptual model of PESQ, differentiable and in units of its score.

After ITU-T P.862 and P.862.2 (wideband), whose tables of Bark bands these are. From log-mels instead of waveforms: the
mel powers are spread over the bins of a 512-point FFT and summed into 49 Bark bands. Of PESQ it keeps level alignment,
loudness (Zwicker), masking by centre clipping and the symmetric and asymmetric disturbances of frames. It leaves out
time alignment, equalisation, gain by frame and the power means over time, so that every frame counts alike.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from secousti_native.reference.config import CodecConfig
from secousti_native.reference.mel import hz_to_mel, mel_to_hz

# P.862.2, wideband tables: bins of 31.25 Hz in each band, a factor for its power, its threshold of hearing.
_BINS = (
    *(1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2),
    *(3, 3, 3, 3, 4, 3, 4, 5, 4, 5, 6, 6, 7, 8, 9, 9, 12, 12, 15, 16, 18, 21, 25, 20),
)
_CORRECTION = (
    *(100, 100, 100, 100, 100, 100, 100, 100, 50, 100, 100, 100, 100, 100, 53.047077, 110.000046, 117.991989, 65),
    *(68.760147, 69.999931, 71.428818, 75.000038, 76.843384, 80.968781, 88.646126, 63.864388, 68.15535, 72.547775),
    *(75.584831, 58.379192, 80.950836, 64.135651, 54.384785, 73.821884, 64.437073, 59.176456, 65.521278, 61.399822),
    *(58.144047, 57.004543, 64.126297, 54.311001, 61.114979, 55.077751, 56.849335, 55.628868, 53.137054, 54.985844),
    79.546974,
)
_THRESHOLD = (
    *(51286152, 2454709.5, 70794.5938, 4897.78857, 1174.89771, 389.045166, 104.71286, 45.70882, 17.782795, 9.772372),
    *(4.897789, 3.090296, 1.905461, 1.258925, 0.977237, 0.724436, 0.562341, 0.457088, 0.389045, 0.331131, 0.295121),
    *(0.269153, 0.25704, 0.251189, 0.251189, 0.251189, 0.251189, 0.263027, 0.288403, 0.30903, 0.338844, 0.371535),
    *(0.398107, 0.436516, 0.467735, 0.489779, 0.501187, 0.501187, 0.512861, 0.524807, 0.524807, 0.524807, 0.512861),
    *(0.47863, 0.42658, 0.371535, 0.363078, 0.416869, 0.537032),
)
_BIN_HZ = 31.25
_SPEECH_HZ = (350.0, 3250.0)  # the bands whose mean power sets the level
_LEVEL = 3.4e6  # that mean, in the units of the thresholds, before the correction of bands
_LOUDNESS_SCALE, _ZWICKER_POWER = 0.1866055, 0.23
_HIGH_PASS_HZ = 100.0  # of P.862.2's input filter
_CLIP = 0.25  # share of the weaker loudness below which a difference is masked
_FRAME_LIMIT = 45.0
SYMMETRIC, ASYMMETRIC = 0.1, 0.0309  # P.862's: how much score a unit of each takes
_SILENCE = 1e-5  # the least mean power that sets a level


def bark(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(6 * np.arcsinh(hertz / 600))


def bark_matrix(config: CodecConfig) -> npt.NDArray[np.float64]:
    """Non-negative weights ``[49, n_mels]`` from mel powers to band powers.

    The power at a bin of the FFT is interpolated linearly between the centres of the mel bands beside it.
    """
    low, high = hz_to_mel(config.mel_fmin), hz_to_mel(config.mel_fmax)
    centres = np.array([mel_to_hz(m) for m in np.linspace(low, high, config.n_mels + 2)[1:-1]])
    bins = np.arange(sum(_BINS)) * _BIN_HZ
    spread = np.stack([np.interp(bins, centres, row) for row in np.eye(config.n_mels)], axis=1)
    edges = np.cumsum((0, *_BINS))
    return np.stack([spread[a:b].sum(0) for a, b in itertools.pairwise(edges)])


class Disturbance(nn.Module):
    """``(decoded, original, valid)`` to the valid frames' mean disturbance, about 4.5 minus the raw PESQ score."""

    matrix: Tensor
    width: Tensor
    correction: Tensor
    threshold: Tensor
    exponent: Tensor
    speech: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        ends = np.cumsum(_BINS)
        starts = ends - _BINS
        low = bark(np.maximum((starts - 0.5) * _BIN_HZ, 0.0))
        high = bark((ends - 0.5) * _BIN_HZ)
        middle = (starts + ends - 1) / 2 * _BIN_HZ
        high_pass = (middle / _HIGH_PASS_HZ) ** 4
        steepness = np.minimum(np.where((low + high) / 2 < 4, 6 / ((low + high) / 2 + 2), 1.0), 2.0) ** 0.15
        constants = {
            "matrix": bark_matrix(config) * (high_pass / (1 + high_pass))[:, None],
            "width": high - low,
            "correction": np.array(_CORRECTION),
            "threshold": np.array(_THRESHOLD),
            "exponent": _ZWICKER_POWER * steepness,
            "speech": (middle > _SPEECH_HZ[0]) & (middle < _SPEECH_HZ[1]),
        }
        for name, value in constants.items():
            self.register_buffer(name, torch.tensor(np.asarray(value, np.float32)), persistent=False)

    def forward(self, decoded: Tensor, original: Tensor, valid: Tensor) -> Tensor:
        """Log-mels ``[B, T, n_mels]``, bool ``[B, T]`` to a scalar, in float32; utterances count by their frames."""
        with torch.autocast(decoded.device.type, enabled=False):
            frames = self.frames(decoded.float(), original.float(), valid)
            return (frames * valid).sum() / valid.sum().clamp_min(1)

    def frames(self, decoded: Tensor, original: Tensor, valid: Tensor) -> Tensor:
        """The disturbance of each frame, ``[B, T]``."""
        power, reference = self._power(decoded, valid), self._power(original, valid)
        loud, wanted = self._loudness(power), self._loudness(reference)
        difference = loud - wanted
        clipped = difference.sign() * (difference.abs() - _CLIP * torch.minimum(loud, wanted)).clamp_min(0)
        weighted = clipped * self.width
        total = self.width.sum()
        symmetric = (weighted.square().sum(-1) / total + 1e-9).sqrt() * total
        ratio = ((power + 50) / (reference + 50)) ** 1.2  # what was added disturbs more than what was left out
        ratio = torch.where(ratio < 3, torch.zeros_like(ratio), ratio.clamp_max(12))
        asymmetric = (weighted.abs() * ratio).sum(-1)
        audible = (reference * (reference > self.threshold)).sum(-1)
        weight = ((audible + 1e5) / 1e7) ** -0.04  # loud frames hide a little more
        symmetric, asymmetric = ((x * weight).clamp_max(_FRAME_LIMIT) for x in (symmetric, asymmetric))
        return SYMMETRIC * symmetric + ASYMMETRIC * asymmetric

    def _power(self, mel: Tensor, valid: Tensor) -> Tensor:
        """Bark powers ``[B, T, 49]``, each utterance brought to the same level of speech."""
        power = (2 * mel).exp() @ self.matrix.T
        frames = valid.unsqueeze(-1).to(power.dtype)
        mean = (power * self.speech * frames).sum((1, 2), keepdim=True) / frames.sum((1, 2), keepdim=True).clamp_min(1)
        return power * (_LEVEL / mean.clamp_min(_SILENCE)) * self.correction

    def _loudness(self, power: Tensor) -> Tensor:
        audible = torch.maximum(power, self.threshold)  # below the threshold: exactly 0, and no gradient
        scale = _LOUDNESS_SCALE * (self.threshold / 0.5) ** self.exponent
        return scale * ((0.5 + 0.5 * audible / self.threshold) ** self.exponent - 1)
