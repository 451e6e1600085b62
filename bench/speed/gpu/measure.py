"""Timing of single steps, for both engines alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds of each step."""

    seconds: list[float]

    def milliseconds(self, percentile: float) -> float:
        return float(np.percentile(self.seconds, percentile)) * 1e3


def measure(step: Callable[[], object], steps: int, warm_up: int) -> Timing:
    """Times `step`, which waits for its own result, `steps` times after `warm_up` untimed ones."""
    for _ in range(warm_up):
        step()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return Timing(seconds)
