"""Checks of arguments that several calls take. All raise TypeError or ValueError that names the argument."""

from __future__ import annotations

import os

import numpy as np

from secousti_native._arrays import Array, Floats, as_floats

#: Largest magnitude of a sample to be resampled. The engine takes a million; resampling can raise peaks a few times.
MAX_SAMPLE = 1e5
#: What the engine takes.
CORE_MAX_SAMPLE = 1e6


def check_integer(value: object, name: str, least: int, most: int) -> int:
    """An integer of Python or numpy, no bool, in ``least..most``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{name}: {value} is not in {least}..{most}")
    return int(value)


#: That the engine works with on one call.
_MOST_THREADS = 256


def check_threads(threads: int) -> int:
    """A number of threads that is asked for, and no more than there are processors: others would only be in the way."""
    return min(check_integer(threads, "threads", 1, 1024), _processors(), _MOST_THREADS)


def _processors() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_count(count: int) -> int:
    """A number of tokens."""
    return check_integer(count, "count", 0, 2**31 - 1)


def check_seed(seed: int | None) -> int | None:
    """A 64-bit seed; None: no noise."""
    return None if seed is None else check_integer(seed, "seed", 0, 2**64 - 1)


def seed_and_noise(seed: int | None) -> tuple[int, bool]:
    """What streams and groups of the core take for a seed."""
    checked = check_seed(seed)
    return (0, False) if checked is None else (checked, True)


def check_look_ahead(look_ahead: int | None) -> int:
    """What the core takes: -1 for None, the model's default. It knows how far the vocoder can look."""
    return -1 if look_ahead is None else check_integer(look_ahead, "look_ahead", 0, 2**31 - 1)


def check_voice(voice: Array, dimension: int) -> Floats:
    """A voice, float32 [dimension]."""
    return as_floats(voice, "voice", (dimension,))


def check_optional_voice(voice: Array | None, dimension: int) -> Floats | None:
    """A voice, or None for zeros, the mean of its prior."""
    return None if voice is None else check_voice(voice, dimension)


def check_samples(pcm: Floats, most: float = MAX_SAMPLE) -> None:
    """ValueError that names the first sample that is not finite, or far too large: noise, or integers as floats."""
    fits = np.abs(pcm) <= most  # false for NaN
    if not fits.all():
        position = int(np.argmin(fits))
        raise ValueError(
            f"pcm[{position}] is {pcm[position]}, expected a sample of nominally -1 to 1 (at most {most:g})"
        )
