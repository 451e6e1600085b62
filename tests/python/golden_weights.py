"""Stand-in weights for the published checkpoints, rebuilt from tensor names and shapes alone.

The outputs in ``tests/data/golden/*.npz`` were computed with exactly these weights: every value below, and the order
of every floating-point operation, is part of the data.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden"


def golden_tensor(name: str, shape: tuple[int, ...], seed: int = 0) -> npt.NDArray[Any]:
    """The tensor ``name``: float32, or int64 zeros for a step counter. Seed 0 is the one of the stored outputs."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    generator = np.random.Generator(np.random.Philox(key=zlib.crc32(name.encode()) + seed))
    uniform = generator.random(shape, dtype=np.float64) * 2.0 - 1.0
    return _scaled(name, shape, uniform).astype(np.float32)


def _scaled(name: str, shape: tuple[int, ...], u: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Gives uniform numbers in [-1, 1) the range that suits the tensor's part."""
    norm_gain = name.endswith(("norm1.weight", "norm2.weight")) or ("batchnorm" in name and name.endswith(".weight"))
    if name == "f0_predictor.classifier.bias":
        return np.full(shape, 120.0)  # Hz, so that frames are voiced
    if name == "f0_predictor.classifier.weight":
        return 60.0 * u * math.sqrt(3.0 / shape[1])
    if name.endswith(("running_var", ".alpha")):
        return 1.0 + 0.5 * u
    if name.endswith("running_mean"):
        return 0.1 * u
    if norm_gain:
        return 1.0 + 0.2 * u
    if name.endswith(".scale"):
        return 0.5 + 0.3 * u
    if name.endswith("original0"):
        return (0.25 if name.startswith("conv_post") else 0.7) * (1.0 + 0.2 * u)
    if name.endswith("bias") or "bias_" in name:
        return 0.05 * u
    inputs = math.prod(shape[1:]) if len(shape) > 1 else shape[0]
    value = u * math.sqrt(3.0 / inputs)
    return value * 0.35 if name == "fsq.project_in.weight" else value


def golden_state(layout: str, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """All tensors of the layout '21_5_hz', '86_hz' or 'hift'."""
    manifest = json.loads((GOLDEN / f"manifest_{layout}.json").read_text())
    return {name: golden_tensor(name, tuple(shape), seed) for name, shape in manifest.items()}


def golden_tensors(layout: str) -> dict[str, Any]:
    """`golden_state` in torch."""
    import torch

    return {name: torch.from_numpy(np.asarray(value)) for name, value in golden_state(layout).items()}


def golden_outputs(layout: str) -> dict[str, npt.NDArray[Any]]:
    """The stored inputs and outputs of 'frontend', '21_5_hz', '86_hz' or 'hift'."""
    with np.load(GOLDEN / f"golden_{layout}.npz", allow_pickle=False) as data:
        return {name: data[name] for name in data.files}
