"""Batches in the shapes of Mimi: audio [B, 1, T] and tokens [B, K = 1, N]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secousti_native._arrays import Array, Floats, as_audio, as_floats, as_tokens, like, to_numpy
from secousti_native.encoded import Encoded
from secousti_native.model import Model


@dataclass(frozen=True, eq=False)
class EncodedBatch:
    """Item ``i`` is the `Encoded` of clip ``i``. Two are equal if their items are."""

    tokens: Array
    """int64 [B, 1, N]; shorter clips than the longest end in zeros, see ``num_tokens``"""
    voice: Array
    """float32 [B, dimension]"""
    items: tuple[Encoded, ...]

    @classmethod
    def of(cls, items: Sequence[Encoded], kind: object) -> EncodedBatch:
        """With arrays of the kind of ``kind``."""
        tokens = np.zeros((len(items), 1, max(len(item) for item in items)), np.int64)
        for row, item in zip(tokens, items, strict=True):
            row[0, : len(item)] = item.tokens
        voices = np.stack([item.voice for item in items])
        return cls(like(tokens, kind), like(voices, kind), tuple(items))

    @property
    def num_tokens(self) -> tuple[int, ...]:
        """Of each clip."""
        return tuple(len(item) for item in self.items)

    @property
    def num_samples(self) -> int:
        """Of the longest clip, at the codec's rate."""
        return max(item.num_samples for item in self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Encoded:
        return self.items[index]

    def __iter__(self) -> Iterator[Encoded]:
        return iter(self.items)

    def __eq__(self, other: object) -> bool:
        return self.items == other.items if isinstance(other, EncodedBatch) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.items)


def clips_of(audio: Array, padding_mask: Array | None = None) -> list[Floats]:
    """Audio [B, 1, T] as clips, without the padding: where ``padding_mask``, [B, T] or [B, 1, T], is zero.

    TypeError or ValueError for anything else.
    """
    clips = as_audio(audio, ndim=3)
    _check_shape("audio", clips.shape)
    clips = clips[:, 0]
    if padding_mask is None:
        return list(clips)
    mask = to_numpy(padding_mask, "padding_mask")
    if mask.shape not in (clips.shape, (len(clips), 1, clips.shape[1])):
        raise ValueError(
            f"padding_mask: expected shape {list(clips.shape)} or {[len(clips), 1, clips.shape[1]]}, "
            f"got {list(mask.shape)}"
        )
    mask = mask.reshape(clips.shape)
    if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        raise ValueError("padding_mask: expected ones for audio and zeros for padding")
    return [_unpadded(clip, row != 0, i) for i, (clip, row) in enumerate(zip(clips, mask, strict=True))]


def _unpadded(clip: Floats, mask: npt.NDArray[np.bool_], number: int) -> Floats:
    real = np.flatnonzero(mask)
    if len(real) == 0:
        raise ValueError(f"padding_mask[{number}]: all of the clip is padding")
    begin, end = int(real[0]), int(real[-1]) + 1
    if end - begin != len(real):
        raise ValueError(f"padding_mask[{number}]: padding within the clip; it may only come before and after it")
    return clip[begin:end]


def stacked(pcm: Sequence[Floats]) -> Floats:
    """Audio of several lengths as [B, 1, T], with zeros at the end."""
    result = np.zeros((len(pcm), 1, max(len(clip) for clip in pcm)), np.float32)
    for row, clip in zip(result, pcm, strict=True):
        row[0, : len(clip)] = clip
    return result


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
