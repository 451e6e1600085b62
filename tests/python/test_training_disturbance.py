"""The disturbance of PESQ against the same sums written as loops, and what it must and must not hear."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from secousti_native.reference.config import CodecConfig
from secousti_native.training import disturbance as module
from secousti_native.training.disturbance import Disturbance, bark_matrix

CONFIG = CodecConfig()


@pytest.fixture
def mels(random_seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Something like speech, loud and quiet, and a worse copy."""
    generator = torch.Generator().manual_seed(random_seed)
    frames = torch.randn(3, 40, 80, generator=generator)
    slope = torch.linspace(0, -4, 80)
    original = frames + slope + 2 * torch.randn(3, 40, 1, generator=generator)
    return original + 0.6 * torch.randn(original.shape, generator=generator), original


@pytest.fixture
def random_seed() -> Iterator[int]:
    seed = int(np.random.default_rng().integers(2**31))
    print(f"seed {seed}")
    yield seed


def naive(decoded: np.ndarray, original: np.ndarray, valid: np.ndarray) -> float:
    """Of one utterance ``[T, 80]``: P.862's sums over bands and frames, one by one."""
    bins = module._BINS
    edges = np.concatenate([[0], np.cumsum(bins)])
    mel_centres = []
    for m in range(80):
        at = 3 * 5 + 27 * math.log(8) / math.log(6.4)  # 8 kHz on Slaney's scale
        at *= (m + 1) / 81
        mel_centres.append(at * 200 / 3 if at < 15 else 1000 * 6.4 ** ((at - 15) / 27))

    def bark(hertz: float) -> float:
        return 6 * math.asinh(max(hertz, 0.0) / 600)

    def bands(mel: np.ndarray) -> list[list[float]]:
        powers = []
        for frame in mel:
            row = []
            for b in range(49):
                middle = (edges[b] + edges[b + 1] - 1) / 2 * 31.25
                total = sum(np.interp(k * 31.25, mel_centres, np.exp(2 * frame)) for k in range(edges[b], edges[b + 1]))
                row.append(total * (middle / 100) ** 4 / (1 + (middle / 100) ** 4))
            powers.append(row)
        speech = [b for b in range(49) if 350 < (edges[b] + edges[b + 1] - 1) / 2 * 31.25 < 3250]
        count = int(valid.sum())
        level = sum(row[b] for row, v in zip(powers, valid, strict=True) if v for b in speech) / count
        return [[p * 3.4e6 / level * module._CORRECTION[b] for b, p in enumerate(row)] for row in powers]

    def loudness(power: float, b: int) -> float:
        threshold = module._THRESHOLD[b]
        centre = (bark((edges[b] - 0.5) * 31.25) + bark((edges[b + 1] - 0.5) * 31.25)) / 2
        exponent = 0.23 * (min(6 / (centre + 2), 2) ** 0.15 if centre < 4 else 1)
        if power < threshold:
            return 0.0
        return 0.1866055 * float((threshold / 0.5) ** exponent * ((0.5 + 0.5 * power / threshold) ** exponent - 1))

    width = [bark((edges[b + 1] - 0.5) * 31.25) - bark((edges[b] - 0.5) * 31.25) for b in range(49)]
    frames = []
    for mine, wanted, v in zip(bands(decoded), bands(original), valid, strict=True):
        if not v:
            continue
        squares = added = audible = 0.0
        for b in range(49):
            one, two = loudness(mine[b], b), loudness(wanted[b], b)
            masked = 0.25 * min(one, two)
            difference = max(abs(one - two) - masked, 0.0)
            squares += (difference * width[b]) ** 2
            factor = ((mine[b] + 50) / (wanted[b] + 50)) ** 1.2
            added += difference * width[b] * (0 if factor < 3 else min(factor, 12))
            audible += wanted[b] if wanted[b] > module._THRESHOLD[b] else 0
        symmetric = math.sqrt(squares / sum(width)) * sum(width)
        weight = ((audible + 1e5) / 1e7) ** 0.04
        frames.append(0.1 * min(symmetric / weight, 45) + 0.0309 * min(added / weight, 45))
    return float(np.mean(frames))


def test_it_is_the_naive_sum(mels: tuple[torch.Tensor, torch.Tensor]) -> None:
    decoded, original = mels
    valid = torch.ones(3, 40, dtype=torch.bool)
    valid[1, 25:] = False
    expected = [naive(d.numpy().astype(float), o.numpy().astype(float), v.numpy()) for d, o, v in zip(*mels, valid)]  # noqa: B905
    means = Disturbance(CONFIG).frames(decoded, original, valid)
    got = [float(m[v].mean()) for m, v in zip(means, valid, strict=True)]
    assert got == pytest.approx(expected, rel=2e-3)
    whole = float(Disturbance(CONFIG)(decoded, original, valid))
    assert whole == pytest.approx(float(np.average(expected, weights=valid.sum(1).numpy())), rel=2e-3)


def test_equal_speech_and_another_level_do_not_disturb(mels: tuple[torch.Tensor, torch.Tensor]) -> None:
    original = mels[1]
    valid = torch.ones(3, 40, dtype=torch.bool)
    loss = Disturbance(CONFIG)
    assert float(loss(original, original, valid)) < 1e-4
    assert float(loss(original - 1.0, original, valid)) < 1e-3  # 9 dB
    silence = torch.full((3, 40, 80), -11.5)
    assert 0 <= float(loss(silence, silence, valid)) < 1e-4


def test_what_is_added_disturbs_more_than_what_is_missing(mels: tuple[torch.Tensor, torch.Tensor]) -> None:
    original = mels[1]
    valid = torch.ones(3, 40, dtype=torch.bool)
    change = torch.zeros(80)
    change[60:70] = 1.5
    loss = Disturbance(CONFIG)
    assert float(loss(original + change, original, valid)) > float(loss(original - change, original, valid)) > 0.01


def test_its_gradient_leads_to_the_original(mels: tuple[torch.Tensor, torch.Tensor]) -> None:
    decoded, original = mels[0].clone().requires_grad_(), mels[1]
    valid = torch.ones(3, 40, dtype=torch.bool)
    valid[2, 30:] = False
    loss = Disturbance(CONFIG)
    optimiser = torch.optim.Adam([decoded], lr=0.02)
    before = float(loss(decoded.detach(), original, valid))
    for _ in range(60):
        optimiser.zero_grad()
        value = loss(decoded, original, valid)
        value.backward()
        assert decoded.grad is not None and bool(decoded.grad.isfinite().all())
        assert not decoded.grad[2, 30:].any()
        optimiser.step()
    assert float(value.detach()) < 0.5 * before


def test_gradients_are_finite_at_extremes() -> None:
    valid = torch.ones(2, 8, dtype=torch.bool)
    original = torch.stack([torch.full((8, 80), -11.5), torch.full((8, 80), 3.0)])
    decoded = original.flip(0).clone().requires_grad_()
    value = Disturbance(CONFIG)(decoded, original, valid)
    value.backward()
    assert bool(value.isfinite()) and decoded.grad is not None and bool(decoded.grad.isfinite().all())


def test_the_bark_matrix_keeps_every_band() -> None:
    matrix = bark_matrix(CONFIG)
    assert matrix.shape == (49, 80) and (matrix >= 0).all()
    assert (matrix.sum(0) > 0).all()  # no mel band is deaf
    assert matrix.sum(1) == pytest.approx(module._BINS)  # interpolation: the weights of a bin add up to one
