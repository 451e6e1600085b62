"""Objective speech quality: PESQ (ITU-T P.862.2, wide band) and STOI (Taal et al. 2011), where installed."""

from __future__ import annotations

import contextlib
import warnings

from secousti_native._arrays import Floats
from secousti_native._optional import require
from secousti_native.audio import resample
from secousti_native.errors import MissingDependencyError

NAMES = ("pesq_wb", "stoi")

# PESQ's cost grows faster than the duration; longer audio is judged by its first minute.
_PESQ_SECONDS = 60
# STOI correlates over 30 frames of 25.6 ms that overlap by half.
_STOI_SECONDS = 0.4


def pesq_wb(reference: Floats, degraded: Floats, sample_rate: int) -> float | None:
    """PESQ-WB (about 1.0 to 4.6) of [samples] against a reference; None if that is too short or holds no speech."""
    pesq = require("pesq", "PESQ")
    count = min(len(reference), len(degraded), _PESQ_SECONDS * sample_rate)
    if not reference[:count].any() or not degraded[:count].any():
        return None
    both = [resample(x[:count], sample_rate, 16000) for x in (reference, degraded)]
    with contextlib.suppress(pesq.PesqError):
        return float(pesq.pesq(16000, *both, "wb"))
    return None


def stoi(reference: Floats, degraded: Floats, sample_rate: int) -> float | None:
    """STOI (0 to 1) of [samples] against a reference; None if that is too short or holds no speech."""
    pystoi = require("pystoi", "STOI")
    count = min(len(reference), len(degraded))
    if count < _STOI_SECONDS * sample_rate or not reference[:count].any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with contextlib.suppress(RuntimeWarning):
            return float(pystoi.stoi(reference[:count], degraded[:count], sample_rate))
    return None


def scores(reference: Floats, degraded: Floats, sample_rate: int) -> dict[str, float | None]:
    """Both figures, rounded; None for one whose package is missing or that cannot judge the audio."""
    result: dict[str, float | None] = {}
    for name, measure in zip(NAMES, (pesq_wb, stoi), strict=True):
        result[name] = None
        with contextlib.suppress(MissingDependencyError):
            value = measure(reference, degraded, sample_rate)
            result[name] = None if value is None else round(value, 3)
    return result
