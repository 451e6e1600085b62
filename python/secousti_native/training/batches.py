"""Batches of crops from a prepared corpus. A batch is a function of (seed, step, rank): resuming needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from secousti_native.reference.mel import LOG_FLOOR
from secousti_native.training.corpus import CorpusError
from secousti_native.training.prepare import NO_PHONE, Cache, CachedUtterance

SILENCE_LEVEL = float(np.log(LOG_FLOOR))
MIN_PROMPT = 0.5  # shortest prompt of training, as a share of the longest


@dataclass
class Batch:
    """B crops of T mel frames, with prompts of P frames and up to Q phones.

    ``mel`` float32 ``[B, T, n_mels]``; ``valid`` bool ``[B, T]``, false on padding; ``prompt`` float32
    ``[B, P, n_mels]`` from anywhere in the same utterance; ``phones`` int64 ``[B, Q]``, the phones that the crop
    touches, -1 on padding;
    ``segment`` int64 ``[B, T]`` the index into ``phones`` of each frame, -1 where no phone is known.
    """

    mel: Tensor
    valid: Tensor
    prompt: Tensor
    phones: Tensor
    segment: Tensor


class Sampler:
    """Draws batches from the training split of a cache.

    A source is drawn by ``source_weights`` times its frames (weight 1 if not named), then an utterance by its frames.
    Crops shorter than ``crop`` are padded with silence; short prompts are repeated. On a GPU the frames of the whole
    cache are kept in its memory, so that a batch costs the CPU nothing but its indices.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        batch: int,
        crop: int,
        prompt_frames: int,
        seed: int,
        rank: int = 0,
        source_weights: dict[str, float] | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.cache, self.batch, self.crop, self.prompt_frames = cache, batch, crop, prompt_frames
        self.seed, self.rank = seed, rank
        self.mel = cache.frames(device or torch.device("cpu"))
        self.utterances = cache.split("train")
        weights = source_weights or {}
        unknown = sorted(set(weights) - {u.source for u in self.utterances})
        if unknown:
            raise CorpusError(f"source_weights: no source named {', '.join(unknown)} in {cache.folder}")
        mass = np.array([u.frames * weights.get(u.source, 1.0) for u in self.utterances])
        if not mass.sum() > 0:
            raise CorpusError(f"{cache.folder}: no training utterance has a positive weight")
        self.share = np.cumsum(mass) / mass.sum()

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.seed, step, self.rank))
        chosen = np.searchsorted(self.share, rng.random(self.batch), side="right").clip(max=len(self.utterances) - 1)
        length = int(rng.integers(max(1, int(self.prompt_frames * MIN_PROMPT)), self.prompt_frames + 1))
        utterances = [self.utterances[i] for i in chosen]
        starts = [int(rng.integers(0, max(u.frames - self.crop, 0) + 1)) for u in utterances]
        prompts = np.stack([_prompt_rows(u, length, rng) for u in utterances])
        return make_batch(self.cache, self.mel, utterances, starts, self.crop, prompts)


def _prompt_rows(utterance: CachedUtterance, length: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    begin = int(rng.integers(0, max(utterance.frames - length, 0) + 1))
    rows = utterance.first + np.arange(begin, min(begin + length, utterance.frames))
    return np.resize(rows, length)


def make_batch(
    cache: Cache,
    mel: Tensor,
    utterances: list[CachedUtterance],
    starts: list[int],
    crop: int,
    prompts: npt.NDArray[np.int64],
) -> Batch:
    """The frames ``start`` to ``start + crop`` of each utterance, padded, with their phones.

    ``mel [frames, n_mels]`` holds the cache's frames on the batch's device; ``prompts [B, P]`` are indices into it.
    """
    count = len(utterances)
    lengths = np.array([min(crop, u.frames - start) for u, start in zip(utterances, starts, strict=True)])
    firsts = np.array([u.first + start for u, start in zip(utterances, starts, strict=True)])
    places = np.arange(crop)
    inside = places < lengths[:, None]
    rows = np.where(inside, firsts[:, None] + places, firsts[:, None])
    segment = np.where(inside, cache.segment[rows], NO_PHONE).astype(np.int64)
    phones: list[npt.NDArray[np.int64]] = []
    for row in segment:
        known = row[row != NO_PHONE]
        low = int(known.min()) if len(known) else 0
        phones.append(cache.phone[low : int(known.max()) + 1 if len(known) else 0].astype(np.int64))
        row[row != NO_PHONE] -= low
    padded = np.full((count, max([1, *map(len, phones)])), -1, np.int64)
    for row, ids in zip(padded, phones, strict=True):
        row[: len(ids)] = ids

    def on_device(values: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(mel.device, non_blocking=True)

    valid = on_device(inside)
    frames = mel[on_device(rows)].float().masked_fill(~valid.unsqueeze(-1), SILENCE_LEVEL)
    return Batch(frames, valid, mel[on_device(prompts)].float(), on_device(padded), on_device(segment))
