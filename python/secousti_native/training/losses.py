"""The losses of the three stages (arXiv 2508.02849, section 3, and `docs/guide/training.md`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Loudness grows about as intensity ** 0.23 (Zwicker), so as the magnitude to twice that power.
LOUDNESS_EXPONENT = 0.46


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms of a stage's loss; a weight of 0 leaves a term out.

    ``mel_l1``, ``mel_mse`` and ``mel_slope`` are on the log-mel in units of each band's deviation, ``acoustic`` is
    MSE(A^, A). ``loudness`` in 0 to 1 moves weight from quiet to loud bins, ``low_bands`` is the weight of the bands
    below 1 kHz relative to the others. ``disturbance`` weighs what PESQ hears (`disturbance.Disturbance`).
    The KL terms are max(0, KL - margin), their weights ramped linearly from 0 between ``kl_start`` and ``kl_end``
    (steps). ``fsq`` weighs `fsq_regularisation`, ``entropy`` `code_redundancy`, ``prompt_mean`` a linear prediction of
    the prompt's mean mel from G.
    """

    mel_l1: float = 1.0
    mel_mse: float = 0.5
    mel_slope: float = 0.0
    loudness: float = 0.0
    low_bands: float = 1.0
    disturbance: float = 0.0
    acoustic: float = 0.0
    contrastive: float = 0.0
    contrastive_frames: int = 0
    contrastive_mask_same: bool = True
    kl_semantic: float = 0.0
    kl_paralinguistic: float = 0.0
    kl_margin: float = 0.0
    kl_start: int = 20_000
    kl_end: int = 30_000
    fsq: float = 0.1
    entropy: float = 0.0
    prompt_mean: float = 0.0


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``values [B, T, C]`` over the frames where ``mask [B, T]`` is true."""
    weight = mask.unsqueeze(-1).to(values.dtype)
    return (values * weight).sum() / (weight.sum() * values.shape[-1]).clamp_min(1.0)


def loudness_weight(target: Tensor, mask: Tensor, strength: float) -> Tensor:
    """Weight ``[B, T, n_mels]`` of each bin of a log-mel, mean 1 over an utterance; 1 everywhere for ``strength`` 0."""
    if strength == 0:
        return torch.ones_like(target)
    weight = (LOUDNESS_EXPONENT * (target - target.amax((1, 2), keepdim=True))).exp()
    frames = mask.unsqueeze(-1).to(target.dtype)
    bins = (frames.sum((1, 2), keepdim=True) * target.shape[-1]).clamp_min(1)
    mean = (weight * frames).sum((1, 2), keepdim=True) / bins
    return 1 - strength + strength * weight / mean


def band_weight(bands: int, low: int, factor: float) -> Tensor:
    """Weight ``[bands]`` that is ``factor`` times as large on the first ``low`` bands as on the others, of mean 1."""
    weight = torch.ones(bands)
    weight[:low] = factor
    return weight / weight.mean()


def mel_losses(
    predicted: Tensor,
    target: Tensor,
    mask: Tensor,
    deviation: Tensor,
    config: LossConfig,
    bands: Tensor | None = None,
) -> dict[str, Tensor]:
    """L1, squared and slope differences of log-mels ``[B, T, n_mels]``, in units of ``deviation [n_mels]``.

    ``bands [n_mels]`` weighs the bands (`band_weight`; without: all alike).
    """
    weight = loudness_weight(target, mask, config.loudness)
    if bands is not None:
        weight = weight * bands
    difference = (predicted.float() - target) / deviation
    losses = {
        "mel_l1": masked_mean(weight * difference.abs(), mask),
        "mel_mse": masked_mean(weight * difference.square(), mask),
    }
    if config.mel_slope:
        both = mask[:, 1:] & mask[:, :-1]
        over_time = masked_mean(weight[:, 1:] * difference.diff(dim=1).abs(), both)
        losses["mel_slope"] = over_time + masked_mean(weight[..., 1:] * difference.diff(dim=2).abs(), mask)
    return losses


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, e^log_variance) || N(0, 1)) ``[...]``, summed over the last axis."""
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)


def kl_with_margin(mean: Tensor, log_variance: Tensor, margin: float, mask: Tensor | None = None) -> Tensor:
    """max(0, KL - margin) of the mean KL over all vectors (those where ``mask`` is true)."""
    kl = kl_divergence(mean, log_variance)
    average = kl.mean() if mask is None else (kl * mask).sum() / mask.sum().clamp_min(1)
    return (average - margin).clamp_min(0.0)


def ramp(step: int, start: int, end: int) -> float:
    """0 up to step ``start``, 1 from ``end``, linear between."""
    return float(step >= start) if end <= start else min(max((step - start) / (end - start), 0.0), 1.0)


def contrastive_loss(
    semantic: Tensor, phonetic: Tensor, scale: Tensor, labels: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Symmetric cross-entropy of C = scale * S P^T ``[M, M]`` to its diagonal, and the share of rows that find it.

    ``semantic`` and ``phonetic`` ``[M, D]`` are scaled to unit length first. With ``labels [M]``, pairs of different
    frames with the same label (the same phone) are no negatives.
    """
    s, p = F.normalize(semantic.float(), dim=-1), F.normalize(phonetic.float(), dim=-1)
    logits = scale * (s @ p.T)
    if labels is not None:
        same = labels[:, None] == labels[None, :]
        same.fill_diagonal_(False)
        logits = logits.masked_fill(same, -math.inf)
    target = torch.arange(len(s), device=s.device)
    loss = 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
    return loss, (logits.detach().argmax(1) == target).float().mean()


def fsq_regularisation(y: Tensor, deviation: float = 0.9) -> Tensor:
    """Pulls the FSQ inputs ``[M, digits]`` toward zero mean, ``deviation`` and no correlation.

    Without it the inputs grow until tanh saturates, and the codebook collapses. A normal of deviation 0.9 puts 46 %
    into the middle one of three levels: 97 % of the entropy of a uniform code.
    """
    y = y.float()
    mean = y.mean(0)
    centred = y - mean
    covariance = centred.T @ centred / max(1, len(y) - 1)
    variance = covariance.diagonal()
    correlation = covariance / (variance[:, None] * variance + 1e-4).sqrt()
    cross = correlation - torch.diag_embed(correlation.diagonal())
    return mean.square().mean() + ((variance + 1e-6).sqrt() - deviation).square().mean() + cross.square().mean()


def code_redundancy(bounded: Tensor, levels: Sequence[int], sharpness: float = 10.0) -> Tensor:
    """1 - H / H_max of the joint distribution of codes in a batch, from bounded digits ``[M, digits]`` before rounding.

    Uncorrelated digits are not enough: what kind of sound a frame is decides all of them together, and a third of the
    rate is lost. Each digit belongs to its levels softly, softmax(-sharpness (digit - level)^2), so that there is a
    gradient; H_max = log(min(M, number of codes)), since a batch cannot show more.
    """
    halves = []
    middle = len(levels) // 2
    for part in (range(middle), range(middle, len(levels))):
        joint = bounded.new_ones(len(bounded), 1, dtype=torch.float32)
        for digit in part:
            radius = (levels[digit] - 1) // 2
            places = torch.arange(-radius, radius + 1, device=bounded.device)
            share = (-sharpness * (bounded[:, digit, None].float() - places).square()).softmax(-1)
            joint = (joint.unsqueeze(-1) * share.unsqueeze(1)).flatten(1)
        halves.append(joint)
    histogram = halves[0].T @ halves[1] / max(1, len(bounded))
    entropy = -(histogram * (histogram + 1e-12).log()).sum()
    return 1 - entropy / math.log(max(2, min(len(bounded), math.prod(levels))))
