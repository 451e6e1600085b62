"""Batches of crops from a prepared corpus. A batch is a function of (seed, step, rank): resuming needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass, fields

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

    def to(self, device: torch.device) -> Batch:
        return Batch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


class Sampler:
    """Draws batches from the training split of a cache.

    A source is drawn by ``source_weights`` times its frames (weight 1 if not named), then an utterance by its frames.
    Crops shorter than ``crop`` are padded with silence; short prompts are repeated.
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
    ) -> None:
        self.cache, self.batch, self.crop, self.prompt_frames = cache, batch, crop, prompt_frames
        self.seed, self.rank = seed, rank
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
        prompts = np.stack([self._prompt(u, length, rng) for u in utterances])
        return make_batch(self.cache, utterances, starts, self.crop, prompts)

    def _prompt(self, utterance: CachedUtterance, length: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        begin = int(rng.integers(0, max(utterance.frames - length, 0) + 1))
        frames = self.cache.mel[utterance.first + begin : utterance.first + min(begin + length, utterance.frames)]
        return np.resize(frames, (length, frames.shape[1])).astype(np.float32)


def make_batch(
    cache: Cache,
    utterances: list[CachedUtterance],
    starts: list[int],
    crop: int,
    prompts: npt.NDArray[np.float32],
) -> Batch:
    """The frames ``start`` to ``start + crop`` of each utterance, padded, with their phones."""
    count = len(utterances)
    mel = np.full((count, crop, cache.mel.shape[1]), SILENCE_LEVEL, np.float32)
    valid = np.zeros((count, crop), bool)
    segment = np.full((count, crop), NO_PHONE, np.int64)
    phones: list[npt.NDArray[np.int64]] = []
    for row, (utterance, start) in enumerate(zip(utterances, starts, strict=True)):
        length = min(crop, utterance.frames - start)
        frames = slice(utterance.first + start, utterance.first + start + length)
        mel[row, :length] = cache.mel[frames]
        valid[row, :length] = True
        index = cache.segment[frames].astype(np.int64)
        known = index != NO_PHONE
        if not known.any():
            phones.append(np.zeros(0, np.int64))
            continue
        low, high = int(index[known].min()), int(index[known].max())
        segment[row, :length] = np.where(known, index - low, NO_PHONE)
        phones.append(cache.phone[low : high + 1].astype(np.int64))
    padded = np.full((count, max([1, *map(len, phones)])), -1, np.int64)
    for row, ids in enumerate(phones):
        padded[row, : len(ids)] = ids
    arrays = (mel, valid, prompts, padded, segment)
    return Batch(*(torch.from_numpy(a) for a in arrays))
