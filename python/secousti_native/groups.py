"""Groups: many streams that step together, so that one pass over the weights serves them all.

A group has a fixed number of slots. Each is one independent stream with its own position, age and voice, and gives bit
for bit what a stream of its own would (`streams`); their snapshots are interchangeable. A step feeds one token's worth
to the slots that are active; slots join, leave and start again between any two steps. Who can wait makes several steps
with one call, for the same results at less cost. A group is used by one thread at a time. Ctrl-C ends the wait for a
long step; the group ends the step by itself, and its next call waits for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from secousti_native import _core, _device, encoded
from secousti_native._arguments import check_look_ahead, check_optional_voice, check_voice, seed_and_noise
from secousti_native._arrays import Array, Tokens, as_floats, as_frames, like, to_numpy
from secousti_native._exclusive import NotCopied
from secousti_native._interrupts import Interruptible
from secousti_native.errors import SnapshotError
from secousti_native.model import Model
from secousti_native.streams import DECODER_SNAPSHOT, ENCODER_SNAPSHOT, STREAM_OF, split_snapshot

LOST = encoded.LOST
"""It never came: concealed, as by `DecoderStream.conceal`."""
INACTIVE = -2
"""In a group's tokens: the slot does not take part in this step, or its stream is too young for a token."""

Result = TypeVar("Result")
Core = TypeVar("Core", _core.EncoderGroup, _core.DecoderGroup)

# A step of less audio, of all slots together, is done before anybody could press Ctrl-C.
_SHORT_SECONDS = 4.0


class _Group(NotCopied, Generic[Core]):
    """What both kinds share."""

    _kind: bytes
    _instead = "snapshot(slot) gives a slot's state as bytes, restore(slot, bytes) of another group takes it"

    def __init__(self, model: Model, core: Core, capacity: int) -> None:
        self._model, self._capacity = model, capacity
        self._group: Core = core
        self._waits = Interruptible()

    @property
    def _core(self) -> Core:
        self._waits.wait()
        return self._group

    def _run(self, frames: int, call: Callable[[], Result]) -> Result:
        """``call()``, a step of this many mel frames of every slot."""
        if frames * self._capacity * self._model.hop_length < _SHORT_SECONDS * self._model.sample_rate:
            return call()
        return self._waits(call)

    def __len__(self) -> int:
        return self._capacity

    @property
    def capacity(self) -> int:
        """Number of slots."""
        return self._capacity

    @property
    def memory_bytes(self) -> int:
        """Bytes that the group holds beside the model's weights."""
        return self._core.memory_bytes()

    def reset(self, mask: Array | None = None) -> None:
        """The slots that ``mask``, bool [capacity], names (None: all) go back to the start; voices and seeds stay."""
        self._core.reset(None if mask is None else self._mask(mask, "mask"))

    def snapshot(self, slot: int) -> bytes:
        """One slot as the snapshot of a single stream: for `restore` here or in another group, or `Codec.restore`."""
        return self._kind + self._core.snapshot(slot)

    def restore(self, slot: int, snapshot: bytes) -> None:
        """Puts the stream that ``snapshot`` was taken of, single or from a group, into the slot."""
        kind, state = split_snapshot(snapshot)
        if kind != self._kind:
            raise SnapshotError(f"snapshot: taken of {STREAM_OF[kind]}; each slot here is {STREAM_OF[self._kind]}")
        self._core.restore(slot, state)

    def _takes(self, array: Array) -> bool:
        """Whether ``array`` is where the group works, on the device, and stays there."""
        return self._model.device == "cuda" and _device.is_on_device(array)

    def _empty_like(
        self, template: Array, dtype: str, shape: tuple[int, ...], source: _device.Borrowed
    ) -> tuple[Array, int]:
        """A new array for results, and its address."""
        array = _device.empty_like(template, dtype, shape, self._model._core, source)
        return array, _device.address(array, "result", dtype, shape)

    def _mask(self, mask: Array, name: str) -> npt.NDArray[np.bool_]:
        values = to_numpy(mask, name)
        if values.dtype != np.bool_ or values.shape != (self._capacity,):
            raise ValueError(f"{name}: expected bool [{self._capacity}], got {values.dtype} {list(values.shape)}")
        return np.ascontiguousarray(values)


class EncoderGroup(_Group[_core.EncoderGroup]):
    """Audio to tokens for many streams. Made by `Codec.encoder_group`."""

    _kind = ENCODER_SNAPSHOT

    def step(self, pcm: Array, active: Array | None = None) -> Array:
        """Feeds ``frame_size`` samples to each active slot.

        Args:
            pcm: [capacity, frame_size] at the codec's rate, of any dtype that `EncoderStream.push` takes; rows of slots
                that are not active are ignored.
            active: bool [capacity]; None: all.

        Returns:
            int64 [capacity]: each slot's token, or `INACTIVE` (-2) where there is none: the slot is not active, or its
            stream is so young that its first token is not complete.

        Raises:
            ValueError: shapes, or a sample that is not finite. Nothing is consumed then.
            RuntimeError: an active slot was flushed.

        On the device, float32 arrays in its memory (torch, CuPy, ``__cuda_array_interface__`` or ``__dlpack__``) stay
        there: the step joins their current stream and does not wait, ``active`` is a host array, the result is an int32
        array on the device (of torch, of CuPy, or a `DeviceArray`), and samples that are not finite are not found (they
        spoil their own slot).
        """
        return self._steps(pcm, active, 1)

    def steps(self, pcm: Array, active: Array | None = None) -> Array:
        """Makes n steps at once, 1 up to the group's ``max_steps``; on the device one pass over the weights serves all.

        Args:
            pcm: [capacity, n * frame_size], otherwise as in `step`.
            active: bool [capacity]; None: all.

        Returns:
            int64 [capacity, n]: column i is what the i-th call of `step` would give.

        Raises:
            ValueError, RuntimeError: as `step`; ValueError for more steps than the group was made for.
        """
        return self._steps(pcm, active, None)

    def _steps(self, pcm: Array, active: Array | None, count: int | None) -> Array:
        """``count`` 1: of `step`, whose result has no column; None: as many as there are."""
        mask = None if active is None else self._mask(active, "active")
        size = self._model.frame_size
        if self._takes(pcm):
            source = _device.borrow(pcm, "pcm", "float32", (self._capacity, None if count is None else size))
            steps = self._count(source.shape, size)
            tokens, target = self._empty_like(
                pcm, "int32", (self._capacity, steps)[: 2 if count is None else 1], source
            )
            self._core.step_on_device(source.stream, source.address, mask, steps, target)
            return tokens
        steps = self._count(to_numpy(pcm, "pcm").shape, size) if count is None else count
        values, core = as_frames(pcm, "pcm", (self._capacity, steps * size)), self._core
        found = self._run(steps * self._model.frames_per_token, lambda: core.step(values, mask)).astype(np.int64)
        return like(found if count is None else found.reshape(self._capacity), pcm)

    def _count(self, shape: tuple[int, ...], size: int) -> int:
        if len(shape) != 2 or shape[1] < size or shape[1] % size != 0:
            raise ValueError(f"pcm: expected shape [{self._capacity}, n * {size}], got {list(shape)}")
        return shape[1] // size

    def flush(self, slot: int) -> Array:
        """Ends one slot's stream: its remaining tokens, int64 [n]. It may not be active again until reset."""
        return self._core.flush(slot).astype(np.int64)


class DecoderGroup(_Group[_core.DecoderGroup]):
    """Tokens to audio for many streams. Made by `Codec.decoder_group`."""

    _kind = DECODER_SNAPSHOT

    def start(
        self, slot: int, voice: Array | None = None, *, seed: int | None = 0, look_ahead: int | None = None
    ) -> None:
        """Begins a new stream in the slot; the arguments are those of `Codec.decoder`."""
        given = check_optional_voice(voice, self._model.dimension)
        self._core.start(slot, given, *seed_and_noise(seed), check_look_ahead(look_ahead))

    def voice(self, slot: int) -> Array:
        """The slot's voice G, float32 [dimension]."""
        return self._core.get_voice(slot)

    def set_voice(self, slot: int, value: Array) -> None:
        """Replaces the slot's voice from its next token on."""
        self._core.set_voice(slot, check_voice(value, self._model.dimension))

    def step(self, tokens: Array, active: Array | None = None) -> tuple[Array, Array]:
        """Feeds one token to each slot.

        Args:
            tokens: integers [capacity]: a token, `LOST` (-1) or `INACTIVE` (-2).
            active: bool [capacity], for tokens on the device only, where the host does not see which are `INACTIVE`;
                None: all.

        Returns:
            Audio float32 [capacity, frame_size] and, int64 [capacity], how many samples at the start of each row are
            the stream's: fewer than ``frame_size`` while it is young, 0 when it is not active. The rest is zeros.

        On the device, int32 tokens in its memory (arrays as for `EncoderGroup.step`) give results there (counts int32):
        the step joins their current stream and does not wait. Tokens are not checked then (negative ones of active
        slots are lost), and samples beyond the counts mean nothing.
        """
        return self._steps(tokens, active, 1)

    def step_to_mel(self, tokens: Array, active: Array | None = None) -> Array:
        """The same to log-mel, float32 [capacity, frames per token, n_mels], at once; zeros where not active."""
        return self._steps_to_mel(tokens, active, 1)

    def steps(self, tokens: Array, active: Array | None = None) -> tuple[Array, Array]:
        """Makes n steps at once, 1 up to the group's ``max_steps``: one pass over the weights on the device, and one of
        the vocoder wherever the group is.

        Args:
            tokens: integers [capacity, n]; a slot has tokens or `LOST` in all columns, or is `INACTIVE` in all.
            active: as in `step`.

        Returns:
            As `step`: audio [capacity, n * frame_size] and counts [capacity]. The samples are those of single steps.
        """
        return self._steps(tokens, active, 2)

    def steps_to_mel(self, tokens: Array, active: Array | None = None) -> Array:
        """The same to log-mel, float32 [capacity, n * frames per token, n_mels]."""
        return self._steps_to_mel(tokens, active, 2)

    def step_from_mel(self, mel: Array, active: Array | None = None) -> tuple[Array, Array]:
        """The vocoder alone.

        Args:
            mel: float32 [capacity, frames, n_mels], up to ``max_steps`` tokens' frames; rows of slots that are not
                active are ignored.
            active: bool [capacity]; None: all.

        Returns:
            As `step`: audio [capacity, frames * hop_length] and counts [capacity].
        """
        mask = None if active is None else self._mask(active, "active")
        if self._takes(mel):
            source = _device.borrow(mel, "mel", "float32", (self._capacity, None, self._model.n_mels))
            frames = source.shape[1]
            audio, counts, targets = self._audio_on_device(mel, frames * self._model.hop_length, source)
            self._core.step_from_mel_on_device(source.stream, source.address, mask, frames, *targets)
            return audio, counts
        # Rows of slots that are not active may hold anything: the core checks the others.
        values = as_floats(mel, "mel", (self._capacity, None, self._model.n_mels), check=False)
        core = self._core
        pcm, samples = self._run(values.shape[1], lambda: core.step_from_mel(values, mask))
        return like(pcm, mel), like(samples.astype(np.int64), mel)

    def _steps(self, tokens: Array, active: Array | None, axes: int) -> tuple[Array, Array]:
        """Tokens of ``axes`` 1: [capacity], or 2: [capacity, n]."""
        if self._takes(tokens):
            source, mask, count = self._on_device(tokens, active, axes)
            audio, counts, targets = self._audio_on_device(tokens, count * self._model.frame_size, source)
            self._core.step_on_device(source.stream, source.address, mask, count, *targets)
            return audio, counts
        self._check_no_mask(active)
        values, core = self._tokens(tokens, axes), self._core
        pcm, samples = self._run(values.shape[1] * self._model.frames_per_token, lambda: core.step(values))
        return like(pcm, tokens), like(samples.astype(np.int64), tokens)

    def _steps_to_mel(self, tokens: Array, active: Array | None, axes: int) -> Array:
        if self._takes(tokens):
            source, mask, count = self._on_device(tokens, active, axes)
            shape = (self._capacity, count * self._model.frames_per_token, self._model.n_mels)
            mel, target = self._empty_like(tokens, "float32", shape, source)
            self._core.step_to_mel_on_device(source.stream, source.address, mask, count, target)
            return mel
        self._check_no_mask(active)
        values, core = self._tokens(tokens, axes), self._core
        mel = self._run(values.shape[1] * self._model.frames_per_token, lambda: core.step_to_mel(values))
        return like(mel, tokens)

    def flush(self, slot: int) -> Array:
        """Ends one slot's stream: the rest of ``frame_size`` samples per token, float32 [n]."""
        return self._core.flush(slot)

    def _on_device(
        self, tokens: Array, active: Array | None, axes: int
    ) -> tuple[_device.Borrowed, npt.NDArray[np.bool_] | None, int]:
        source = _device.borrow(tokens, "tokens", "int32", (self._capacity, None)[:axes])
        mask = None if active is None else self._mask(active, "active")
        return source, mask, self._count(source.shape) if axes == 2 else 1

    def _audio_on_device(
        self, template: Array, row: int, source: _device.Borrowed
    ) -> tuple[Array, Array, tuple[int, int]]:
        """Audio [capacity, row], counts, and the addresses of both."""
        audio, to_audio = self._empty_like(template, "float32", (self._capacity, row), source)
        counts, to_counts = self._empty_like(template, "int32", (self._capacity,), source)
        return audio, counts, (to_audio, to_counts)

    def _count(self, shape: tuple[int, ...]) -> int:
        if len(shape) != 2 or shape[1] < 1:
            raise ValueError(f"tokens: expected integers [{self._capacity}, n], got {list(shape)}")
        return int(shape[1])

    def _check_no_mask(self, active: Array | None) -> None:
        if active is not None:
            raise TypeError("active: for tokens in device memory only; host tokens say it themselves (INACTIVE)")

    def _tokens(self, tokens: Array, axes: int) -> Tokens:
        """As int32 [capacity, n]; of a single step, [capacity] is given."""
        values = to_numpy(tokens, "tokens")
        count = self._count(values.shape) if axes == 2 else 1
        shape = (self._capacity, count)[:axes]
        if values.dtype.kind not in "iu" or values.shape != shape:
            raise ValueError(f"tokens: expected integers {list(shape)}, got {values.dtype} {list(values.shape)}")
        # What int32 cannot hold is out of range in any case.
        result: Tokens = np.clip(values, -(2**31), 2**31 - 1).astype(np.int32).reshape(self._capacity, count)
        return result
