"""Times of single steps, and of the machine that they are taken on."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from secousti_native import __version__, _kernels
from secousti_native._arrays import Floats
from secousti_native.codec import Codec

Row: TypeAlias = dict[str, Any]

#: Seconds of steps between two looks at what the core does. A look takes a millisecond; more of them would change the
#: p99 of short steps.
_PROBE_EVERY = 0.25


@dataclass(frozen=True)
class Timing:
    """Times of the steps of one stage."""

    seconds: list[float]
    """Of each step."""
    audio_seconds: float
    """That a step stands for."""
    core_gops: list[float]
    """What the core did in between: 1e9 float32 operations in registers a second."""

    def row(self, model: str, stage: str, engine: str = "native") -> Row:
        """A row of the report."""
        milliseconds = np.asarray(self.seconds) * 1e3
        return {
            "model": model,
            "stage": stage,
            "engine": engine,
            "audio_ms": round(self.audio_seconds * 1e3, 2),
            "p50_ms": round(float(np.percentile(milliseconds, 50)), 3),
            "p99_ms": round(float(np.percentile(milliseconds, 99)), 3),
            "real_time_factor": round(float(np.median(self.seconds)) / self.audio_seconds, 4),
            "core_gops": round(float(np.median(self.core_gops)), 1),
        }


def measure(
    step: Callable[[int], object], steps: int, warm_up: int, audio_seconds: float, at_most: float = math.inf
) -> Timing:
    """Times ``step(i)`` for each of ``steps`` steps, after ``warm_up`` untimed ones.

    Once there are eight it stops when they have taken ``at_most`` seconds. Between steps it measures now and then how
    many operations the core does in registers: fewer when something else runs on the core's other hardware thread.
    """
    for i in range(warm_up):
        step(i)
    seconds: list[float] = []
    probes = [core_gops()]
    due = _PROBE_EVERY
    for i in range(warm_up, warm_up + steps):
        start = time.perf_counter()
        step(i)
        seconds.append(time.perf_counter() - start)
        due -= seconds[-1]
        if due < 0:
            probes.append(core_gops())
            due = _PROBE_EVERY
        if len(seconds) >= 8 and sum(seconds) > at_most:
            break
    return Timing(seconds, audio_seconds, probes)


def core_gops() -> float:
    """What the core does now: 1e9 float32 operations in registers a second, a millisecond long."""
    return _kernels.peak(_kernels.isas()[0], "fp32", repeats=1)


def voiced_signal(samples: int, sample_rate: int, seed: int = 0) -> Floats:
    """A voiced-like signal (harmonics of a gliding pitch, with noise): times do not depend on the content."""
    t = np.arange(samples) / sample_rate
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / sample_rate
    voice = sum(np.sin(k * pitch) / k for k in range(1, 12))
    noise = np.random.default_rng(seed).normal(size=samples)
    return (0.1 * voice + 0.01 * noise).astype(np.float32)


def machine(threads: int, precisions: Sequence[str] = ("fp32",), device: str = "cpu") -> dict[str, Any]:
    """Where and when something was measured: what a figure needs beside it."""
    codec = Codec.from_pretrained("default-21")
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": device,
        "isa": codec.info["isa"],
        "peak_gops": {name: round(_kernels.peak(codec.info["isa"], name)) for name in precisions},
        "read_gb_s": round(_kernels.read_bandwidth(), 1),
        "system": f"{platform.system()} {platform.machine()}",
        "version": __version__,
        "date": date.today().isoformat(),
    }


def processor_name() -> str:
    """Name, family and model: hypervisors give processors of very different speed the same name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "model name" not in fields:
        return platform.processor() or platform.machine()
    kind = [f"{key} {fields[name]}" for key, name in (("family", "cpu family"), ("model", "model")) if name in fields]
    return f"{fields['model name']} ({', '.join(kind)})" if kind else fields["model name"]
