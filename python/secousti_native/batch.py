"""Batches in the shapes of Mimi: audio [B, 1, T] and tokens [B, K = 1, N]."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from secousti_native._arrays import Array, Floats, Tokens, as_audio, as_floats, as_tokens, like
from secousti_native.encoded import Encoded

if TYPE_CHECKING:
    from secousti_native.codec import Codec


@dataclass(frozen=True)
class EncodedBatch:
    """Clips of equal length: item ``i`` is the `Encoded` of clip ``i``."""

    tokens: Array
    """int64 [B, 1, N]"""
    voice: Array
    """float32 [B, dimension]"""
    items: tuple[Encoded, ...]

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


@dataclass(frozen=True)
class ToDecode:
    """A clip's checked tokens and voice, how many samples are wanted (None: all) and the kind of the result."""

    tokens: Tokens
    voice: Floats
    num_samples: int | None
    kind: object

    def fit(self, pcm: Floats) -> Floats:
        if self.num_samples is None:
            return pcm
        pcm = pcm[: self.num_samples]
        missing = self.num_samples - len(pcm)
        return np.pad(pcm, (0, missing)) if missing else pcm


@contextmanager
def of_clip(number: int) -> Iterator[None]:
    """Says in an error which clip of a list it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"clip {number}: {error}") from error


def encode_batch(codec: Codec, audio: Array, sample_rate: int | None) -> EncodedBatch:
    """See `Codec.encode_batch`."""
    clips = as_audio(audio, ndim=3)
    _check_batch("audio", clips.shape)
    encoded = codec.encode_many(list(clips[:, 0]), sample_rate)
    tokens = np.stack([e.tokens for e in encoded])[:, None]
    voices = np.stack([e.voice for e in encoded])
    return EncodedBatch(like(tokens, audio), like(voices, audio), tuple(encoded))


def decode_batch(codec: Codec, batch: EncodedBatch | Array, voice: Array | None, seed: int | None) -> Array:
    """See `Codec.decode_batch`."""
    if isinstance(batch, EncodedBatch):
        kind = batch.tokens
        voices = None if voice is None else list(_voices(codec, voice, len(batch)))
        clips = codec.decode_many(batch.items, voices, seed=seed)
    else:
        if voice is None:
            raise TypeError("decode_batch: bare tokens need voices: decode_batch(tokens, voice)")
        kind, tokens = batch, as_tokens(batch, codec.cardinality, ndim=3)
        _check_batch("tokens", tokens.shape)
        given = _voices(codec, voice, len(tokens))
        clips = codec.decode_many(list(tokens[:, 0]), list(given), seed=seed)
    return like(np.stack(clips)[:, None], kind)


def _voices(codec: Codec, voice: Array, count: int) -> Array:
    return as_floats(voice, "voice", (count, codec.dimension))


def _check_batch(name: str, shape: tuple[int, ...]) -> None:
    if shape[0] == 0 or shape[1] != 1:
        raise ValueError(f"{name}: expected shape [batch, 1, *] with at least one item, got {list(shape)}")
