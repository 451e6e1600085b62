"""Tokens of one clip, its voice, and the ``.sec`` file that holds them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from secousti_native import _core
from secousti_native._arrays import LOST as LOST  # noqa: PLC0414
from secousti_native._arrays import Array, as_floats, as_tokens_or_lost, to_numpy
from secousti_native._files import write_atomically
from secousti_native.errors import ContainerError
from secousti_native.model import Model


@dataclass(frozen=True, eq=False)
class Encoded:
    """What `Codec.encode` makes of audio. Arrays are numpy or torch, of the kind of the audio; files give numpy.

    Two are equal if tokens, voice, length and model are, wherever their arrays are; what was wrong with a file does not
    count. The hash is of length and model alone, since arrays can change.
    """

    tokens: Array
    """int64 [N], each in [0, cardinality); -1 for one that a damaged file has lost."""
    voice: Array
    """G, the voice: float32 [dimension]; empty where a file has none."""
    num_samples: int
    """Of the audio, at ``sample_rate``."""
    model_identity: int
    """`Codec.identity` of the model that made the tokens; 0 if unknown."""
    sample_rate: int
    """Hz, of the model."""
    frame_size: int
    """Samples per token."""
    cardinality: int
    """Number of different tokens."""
    notes: tuple[str, ...] = ()
    """What was wrong with the file it came from, in words; empty for an intact one."""
    lost: tuple[tuple[int, int], ...] = ()
    """Ranges (first, count) of lost tokens."""
    info_lost: bool = False
    """Neither header nor trailer survived: model, rate and voice are unknown."""

    def __post_init__(self) -> None:
        if self.num_samples < 0:
            raise ValueError(f"num_samples: {self.num_samples} is negative")

    @property
    def _fixed(self) -> tuple[int, ...]:
        """What cannot change."""
        return self.num_samples, self.model_identity, self.sample_rate, self.frame_size, self.cardinality

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Encoded):
            return NotImplemented
        return self is other or (
            self._fixed == other._fixed
            and np.array_equal(to_numpy(self.tokens, "tokens"), to_numpy(other.tokens, "tokens"))
            and np.array_equal(to_numpy(self.voice, "voice"), to_numpy(other.voice, "voice"))
        )

    def __hash__(self) -> int:
        return hash(self._fixed)

    @property
    def frame_rate(self) -> float:
        """Tokens per second."""
        return self.sample_rate / self.frame_size

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.num_samples / self.sample_rate

    # ---- bit rates, over the duration ----

    @property
    def bit_rate(self) -> float:
        """Of the packed tokens alone, bit/s."""
        return self._rate("tokens")

    @property
    def bit_rate_with_header(self) -> float:
        """Of the ``.sec`` file without the voice vector, bit/s."""
        return self._rate("tokens", "framing", "header")

    @property
    def bit_rate_with_voice(self) -> float:
        """Of the whole ``.sec`` file, bit/s."""
        return self._rate("tokens", "framing", "header", "voice")

    @cached_property
    def _bytes(self) -> dict[str, int]:
        return _core.read_container(self.to_bytes())["bytes"]

    def _rate(self, *parts: str) -> float:
        return 8.0 * sum(self._bytes[part] for part in parts) / self.duration if self.duration > 0 else 0.0

    # ---- files ----

    def to_bytes(self) -> bytes:
        """The ``.sec`` file. G is stored in eight bits a value. ``ValueError`` for tokens or sizes out of range."""
        return _core.write_container(
            as_tokens_or_lost(self.tokens, self.cardinality),
            as_floats(self.voice, "voice", (None,)),
            identity=self.model_identity,
            sample_rate=self.sample_rate,
            samples_per_token=self.frame_size,
            cardinality=self.cardinality,
            samples=self.num_samples,
        )

    def save(self, path: str | os.PathLike[str]) -> int:
        """Writes a ``.sec`` file, whole or not at all; returns its size in bytes. Raises ``OSError``."""
        data = self.to_bytes()
        write_atomically(path, data)
        return len(data)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, damaged: Literal["error", "keep"] = "error") -> Encoded:
        """Reads a ``.sec`` file.

        A damaged or cut file raises `ContainerError` that says what was lost; with ``damaged="keep"`` it gives every
        intact token in place, -1 for the lost ones, and says the same in ``notes`` and ``lost``. Flipped bits that the
        checksums could repair are no loss. Raises ``OSError`` for files that cannot be read.
        """
        try:
            return cls.from_bytes(Path(path).read_bytes(), damaged=damaged)
        except ContainerError as error:
            raise ContainerError(f"{os.fspath(path)}: {error}") from None

    @classmethod
    def from_bytes(cls, data: bytes, *, damaged: Literal["error", "keep"] = "error") -> Encoded:
        """As `load`, from the bytes of a file."""
        if damaged not in ("error", "keep"):
            raise ValueError(f"damaged: expected 'error' or 'keep', got {damaged!r}")
        read = _core.read_container(data)
        endless = not read["complete"] and read["total_tokens"] < 0  # cut, and nobody knows how much is missing
        if (read["lost"] or read["info_lost"] or read["voice_lost"] or endless) and damaged == "error":
            reasons = "; ".join(read["notes"]) or "incomplete"
            raise ContainerError(f"{reasons} (damaged='keep', on the command line --damaged, gives what is intact)")
        tokens = read["tokens"].astype(np.int64)
        samples = read["samples"]
        return cls(
            tokens=tokens,
            voice=read["voice"],
            num_samples=samples if samples >= 0 else len(tokens) * read["samples_per_token"],
            model_identity=read["identity"],
            sample_rate=read["sample_rate"],
            frame_size=read["samples_per_token"],
            cardinality=read["cardinality"],
            notes=tuple(read["notes"]),
            lost=tuple((first, count) for first, count in read["lost"]),
            info_lost=read["info_lost"],
        )

    def concealed(self, model: Model) -> Encoded:
        """A copy that ``model`` can decode as it is: with a voice, zeros if it was lost.

        Lost tokens stay `LOST`: decoding continues what was before them, fading, as `DecoderStream.conceal` does. Where
        model and length are unknown, they are the model's and that of the tokens. ``ValueError`` if no token is left.
        """
        tokens = to_numpy(self.tokens, "tokens")
        if not np.any(tokens != LOST):
            raise ValueError("no token is intact")
        voice = self.voice if len(self.voice) else np.zeros(model.dimension, np.float32)
        result = replace(self, voice=voice)
        if not self.info_lost:
            return result
        return replace(
            result,
            num_samples=len(tokens) * model.frame_size,
            model_identity=model.identity,
            sample_rate=model.sample_rate,
            frame_size=model.frame_size,
            cardinality=model.cardinality,
        )

    def check_num_samples(self, model: Model) -> None:
        """``ValueError`` unless ``model`` makes ``num_samples`` of the tokens, give or take one token.

        A file's header may claim any length, and decoding allocates it. Another model's tokens may be longer than
        ``model``'s, up to a second each.
        """
        frame_size = model.frame_size
        if self.model_identity != model.identity:
            frame_size = max(frame_size, min(self.frame_size, model.sample_rate))
        count = len(self.tokens)
        if not 0 <= self.num_samples <= (count + 1) * frame_size:
            raise ValueError(
                f"num_samples: {self.num_samples} does not fit {count} tokens of {frame_size} samples "
                f"(0..{(count + 1) * frame_size})"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return (
            f"Encoded({len(self.tokens)} tokens of {self.cardinality}, {self.num_samples} samples at "
            f"{self.sample_rate} Hz, model {self.model_identity:016x}{', damaged' if self.notes else ''})"
        )
