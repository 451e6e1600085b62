"""Objective speech quality: PESQ (ITU-T P.862.2, wide band) and STOI (Taal et al. 2011), where installed."""

from __future__ import annotations

import contextlib

from secousti_native._arrays import Floats
from secousti_native._optional import require
from secousti_native.audio import resample
from secousti_native.errors import MissingDependencyError

NAMES = ("PESQ-WB", "STOI")

# PESQ's cost grows faster than the duration; longer audio is judged by its first minute.
_PESQ_SECONDS = 60


def pesq_wb(reference: Floats, degraded: Floats, sample_rate: int) -> float | None:
    """PESQ-WB (about 1.0 to 4.6) of [samples] against a reference of the same length; None if it finds no speech."""
    pesq = require("pesq", "PESQ")
    count = min(len(reference), len(degraded), _PESQ_SECONDS * sample_rate)
    both = [resample(x[:count], sample_rate, 16000) for x in (reference, degraded)]
    with contextlib.suppress(pesq.PesqError):
        return float(pesq.pesq(16000, *both, "wb"))
    return None


def stoi(reference: Floats, degraded: Floats, sample_rate: int) -> float:
    """STOI (0 to 1) of [samples] against a reference of the same length."""
    count = min(len(reference), len(degraded))
    return float(require("pystoi", "STOI").stoi(reference[:count], degraded[:count], sample_rate))


def scores(reference: Floats, degraded: Floats, sample_rate: int) -> dict[str, float | None]:
    """Both figures, rounded; None for one whose package is missing or that cannot judge the audio."""
    result: dict[str, float | None] = {}
    for name, measure in zip(NAMES, (pesq_wb, stoi), strict=True):
        result[name] = None
        with contextlib.suppress(MissingDependencyError):
            value = measure(reference, degraded, sample_rate)
            result[name] = None if value is None else round(value, 3)
    return result
