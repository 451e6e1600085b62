"""Augmentation of log-mel batches. Speed and pitch are varied by resampling, once, in `prepare`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from secousti_native.training.batches import SILENCE_LEVEL, Batch

NEPER_PER_DECIBEL = math.log(10.0) / 20.0  # log-mels are natural logarithms of magnitudes
_EQUALISER_TERMS = 4


@dataclass(frozen=True)
class AugmentConfig:
    """Chances are per utterance.

    ``gain`` is the half range of level changes in dB; a share ``quiet_chance`` of the utterances is lowered by up to
    ``quiet`` dB more, as a far or badly set microphone does it. ``equaliser`` is the deviation in dB of each of the
    smooth terms of a random frequency response, ``warp`` the half range of the stretch of the mel axis (vocal tract
    length), ``noise_snr`` the range of the noise's distance in dB from the utterance's loudest band.
    ``mismatch`` is the chance that encoder and decoder side hear *different* gain and equaliser: the tokens then cannot
    carry the channel, and G, which comes from the decoder's side, must.
    """

    chance: float = 0.7
    gain: float = 10.0
    quiet_chance: float = 0.0
    quiet: float = 35.0
    equaliser: float = 2.5
    warp: float = 0.06
    noise_chance: float = 0.1
    noise_snr: tuple[float, float] = (25.0, 60.0)
    band_limit_chance: float = 0.1
    mismatch: float = 0.0


@dataclass
class Views:
    """What the encoder hears, what the decoder must say, what G is computed from: log-mel ``[B, ., n_mels]``."""

    encoder: Tensor
    target: Tensor
    prompt: Tensor


class Augmentation:
    """A random but reproducible change of a batch; ``generator``, of the batch's device, supplies every draw."""

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config

    def __call__(self, batch: Batch, generator: torch.Generator) -> Views:
        config, (count, _, bands) = self.config, batch.mel.shape
        device = generator.device

        def uniform(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=generator, device=device)

        def chance(share: float) -> Tensor:
            return (uniform(1, 1) < share).float()

        active = chance(config.chance)
        stretch = 1 + config.warp * (2 * uniform(1) - 1) * active[:, 0]
        mel, prompt = warp_bands(batch.mel, stretch), warp_bands(batch.prompt, stretch)
        limit = torch.where(chance(config.band_limit_chance) > 0, 0.5 + 0.5 * uniform(1, 1), torch.ones_like(active))
        cut = torch.arange(bands, device=device) >= limit * bands
        peak = mel.amax((1, 2), keepdim=True)
        low, high = config.noise_snr
        level = peak - NEPER_PER_DECIBEL * (low + (high - low) * uniform(1, 1))
        colour = level + self._response(count, bands, generator)
        noisy = chance(config.noise_chance) > 0
        response = self._channel(count, bands, generator) * active
        other = self._channel(count, bands, generator) * active
        other = torch.where(chance(config.mismatch) > 0, other, response)
        if config.quiet_chance:
            lowered = NEPER_PER_DECIBEL * config.quiet * uniform(1, 1) * chance(config.quiet_chance)
            response, other = response - lowered, other - lowered

        def apply(x: Tensor, channel: Tensor) -> Tensor:
            fluctuation = 0.4 * torch.randn(x.shape, generator=generator, device=device)
            with_noise = 0.5 * torch.logaddexp(2 * x, 2 * (colour + fluctuation))
            x = torch.where(noisy, with_noise, x) + channel
            return torch.where(cut, SILENCE_LEVEL, x).clamp_min(SILENCE_LEVEL)

        target = apply(mel, response)
        encoder = (target + (other - response)).clamp_min(SILENCE_LEVEL)
        return Views(torch.where(cut, SILENCE_LEVEL, encoder), target, apply(prompt, response))

    def _response(self, count: int, bands: int, generator: torch.Generator) -> Tensor:
        """A smooth random frequency response in nepers, ``[count, 1, bands]``: a few cosines over the mel axis."""
        device = generator.device
        place = (torch.arange(bands, device=device) + 0.5) / bands
        terms = torch.cos(math.pi * torch.arange(1, _EQUALISER_TERMS + 1, device=device)[:, None] * place)
        weights = torch.randn(count, 1, _EQUALISER_TERMS, generator=generator, device=device)
        return NEPER_PER_DECIBEL * self.config.equaliser * (weights @ terms)

    def _channel(self, count: int, bands: int, generator: torch.Generator) -> Tensor:
        gain = self.config.gain * (2 * torch.rand(count, 1, 1, generator=generator, device=generator.device) - 1)
        return NEPER_PER_DECIBEL * gain + self._response(count, bands, generator)


def warp_bands(mel: Tensor, stretch: Tensor) -> Tensor:
    """Stretches the band axis of ``mel [B, T, n_mels]`` by ``stretch [B, 1]``: linear interpolation, edges repeated."""
    bands = mel.shape[-1]
    at = (torch.arange(bands, device=mel.device) / stretch).clamp(0, bands - 1)
    low = at.floor().long().clamp(max=bands - 2)
    weight = (at - low).unsqueeze(1)
    shape = mel.shape
    below = mel.gather(-1, low.unsqueeze(1).expand(shape))
    above = mel.gather(-1, (low + 1).unsqueeze(1).expand(shape))
    return below + weight * (above - below)
