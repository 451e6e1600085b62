"""Means over clips with bootstrap confidence intervals (Efron 1979)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Score:
    """One figure of one clip.

    Where it is a ratio, ``weight`` is its denominator: words for a word error rate, seconds for a bit rate. The mean
    over clips is then the ratio of the sums. ``ValueError`` for a value that is not finite or a negative weight.
    """

    value: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and 0 <= self.weight < math.inf):
            raise ValueError(f"a score of {self.value} with weight {self.weight} means nothing")


@dataclass(frozen=True)
class Estimate:
    """Weighted mean over ``clips`` clips; its interval is None where one clip, or the figure's nature, gives none."""

    mean: float
    low: float | None = None
    high: float | None = None
    clips: int = 0


def bootstrap(scores: Sequence[Score], resamples: int = 2000, seed: int = 0, confidence: float = 0.95) -> Estimate:
    """Mean and percentile interval: clips are drawn with replacement, ``resamples`` times.

    ``ValueError`` without scores, or if all weights are zero.
    """
    values = np.array([score.value for score in scores], np.float64)
    weights = np.array([score.weight for score in scores], np.float64)
    if not weights.sum() > 0:
        raise ValueError("bootstrap: needs a score of some weight")
    sums = values * weights
    mean = float(sums.sum() / weights.sum())
    if len(values) < 2 or resamples < 1:
        return Estimate(mean, clips=len(values))
    drawn = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    totals = weights[drawn].sum(1)
    means = sums[drawn].sum(1)[totals > 0] / totals[totals > 0]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(mean, float(low), float(high), len(values))
