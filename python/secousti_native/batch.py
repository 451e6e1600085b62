"""Batches in the shapes of Mimi: audio [B, 1, T] and tokens [B, K = 1, N]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from secousti_native._arrays import Array, Floats, as_audio, as_floats, as_tokens, like
from secousti_native.encoded import Encoded
from secousti_native.model import Model


@dataclass(frozen=True)
class EncodedBatch:
    """Clips of equal length: item ``i`` is the `Encoded` of clip ``i``."""

    tokens: Array
    """int64 [B, 1, N]"""
    voice: Array
    """float32 [B, dimension]"""
    items: tuple[Encoded, ...]

    @classmethod
    def of(cls, items: Sequence[Encoded], kind: object) -> EncodedBatch:
        """Clips of equal length, with arrays of the kind of ``kind``."""
        tokens = np.stack([item.tokens for item in items])[:, None]
        voices = np.stack([item.voice for item in items])
        return cls(like(tokens, kind), like(voices, kind), tuple(items))

    @property
    def num_samples(self) -> int:
        """Of each clip, at the codec's rate."""
        return self.items[0].num_samples

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Encoded:
        return self.items[index]

    def __iter__(self) -> Iterator[Encoded]:
        return iter(self.items)


def clips_of(audio: Array) -> list[Floats]:
    """Audio [B, 1, T] as clips. TypeError or ValueError for anything else."""
    clips = as_audio(audio, ndim=3)
    _check_shape("audio", clips.shape)
    return list(clips[:, 0])


def to_decode(
    model: Model, batch: EncodedBatch | Array, voices: Array | None
) -> tuple[Sequence[Encoded | Array], list[Floats] | None, object]:
    """Clips, voices and the kind of the result: what `Codec.decode_batch` was given. TypeError or ValueError."""
    given = None if voices is None else list(as_floats(voices, "voice", (len(batch), model.dimension)))
    if isinstance(batch, EncodedBatch):
        return batch.items, given, batch.tokens
    if given is None:
        raise TypeError("decode_batch: bare tokens need voices: decode_batch(tokens, voice)")
    tokens = as_tokens(batch, model.cardinality, ndim=3)
    _check_shape("tokens", tokens.shape)
    return list(tokens[:, 0]), given, batch


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    if shape[0] == 0 or shape[1] != 1:
        raise ValueError(f"{name}: expected shape [batch, 1, *] with at least one item, got {list(shape)}")
