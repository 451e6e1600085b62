"""Validation as in inference: real tokens, G from the middle of the utterance, causal, whole utterances."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from secousti_native.training.prepare import Cache
from secousti_native.training.system import TrainingSystem


@dataclass(frozen=True)
class Example:
    """One validated utterance: its source and log-mels ``[T, n_mels]`` before and after."""

    source: str
    original: Tensor
    restored: Tensor


@torch.no_grad()
def validate(system: TrainingSystem, cache: Cache, device: torch.device) -> tuple[dict[str, float], list[Example]]:
    """Metrics by source (``mel_l1/<source>``, in nepers) and over all, and the first example of each source.

    ``mel_l1`` is the mean of the sources; ``normalised_l1`` is in units of band deviations; ``codes`` counts distinct
    tokens, ``entropy`` is in bits.
    """
    data = system.config.data
    taken: dict[str, int] = {}
    sums: dict[str, list[float]] = {}
    tokens: list[Tensor] = []
    normalised = loud = frames = 0.0
    examples: list[Example] = []
    was_training = system.training
    system.eval()
    for utterance in sorted(cache.split("valid"), key=lambda u: hashlib.sha256(u.id.encode()).digest()):
        if taken.get(utterance.source, 0) >= data.valid_utterances:
            continue
        taken[utterance.source] = taken.get(utterance.source, 0) + 1
        stop = utterance.first + min(utterance.frames, data.valid_frames)
        mel = torch.from_numpy(cache.mel[utterance.first : stop].astype(np.float32)).to(device).unsqueeze(0)
        restored, indices = system.reconstruct(mel)
        difference = (restored.float() - mel).abs()
        sums.setdefault(utterance.source, []).append(float(difference.mean()))
        normalised += float((difference / system.codec.normalisation.deviation).mean()) * mel.shape[1]
        weight = (mel - mel.max()).mul(0.5).exp()
        loud += float((difference * weight).sum() / weight.sum()) * mel.shape[1]
        frames += mel.shape[1]
        if indices is not None:
            tokens.append(indices.flatten().cpu())
        if taken[utterance.source] == 1:
            examples.append(Example(utterance.source, mel[0].cpu(), restored[0].float().cpu()))
    system.train(was_training)
    if not frames:
        return {}, []
    metrics = {f"mel_l1/{source}": float(np.mean(values)) for source, values in sums.items()}
    metrics["mel_l1"] = float(np.mean(list(metrics.values())))
    metrics["normalised_l1"], metrics["loud_l1"] = normalised / frames, loud / frames
    if tokens:
        counts = torch.bincount(torch.cat(tokens)).double()
        share = counts[counts > 0] / counts.sum()
        metrics["codes"], metrics["entropy"] = float(len(share)), float(-(share * share.log()).sum() / math.log(2))
    return metrics, examples
