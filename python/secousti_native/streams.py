"""Streams: any chunking of the input gives the same output, bit for bit.

A stream is used by one thread at a time; any number of streams may share a codec. Ctrl-C ends a long push between two
pieces of it, and the push has then consumed nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from secousti_native import _core
from secousti_native._arguments import CORE_MAX_SAMPLE, check_count, check_samples, check_voice
from secousti_native._arrays import Array, Floats, Tokens, as_audio, as_floats, as_tokens, kind_of, like
from secousti_native._exclusive import Exclusive, NotCopied
from secousti_native._interrupts import pieces
from secousti_native.audio import Resampler
from secousti_native.errors import SnapshotError, UnsupportedError
from secousti_native.model import Model

# A push of no more mel frames is one call of the core; a longer one is made in pieces.
_WHOLE_FRAMES = 128

#: First byte of a snapshot: which kind of stream it was taken of.
ENCODER_SNAPSHOT, DECODER_SNAPSHOT = b"E", b"D"
STREAM_OF = {ENCODER_SNAPSHOT: "an encoder", DECODER_SNAPSHOT: "a decoder"}


class EncoderStream(Exclusive):
    """Audio to tokens, a chunk at a time. Made by `Codec.encoder`."""

    _instead = "clone() gives an independent stream in the same state, snapshot() its state as bytes"

    def __init__(self, model: Model, core: _core.Encoder, sample_rate: int, threads: int) -> None:
        super().__init__()
        self._model, self._core, self._threads = model, core, threads
        self._resampler = Resampler(sample_rate, model.sample_rate)
        self._kind: object = None
        self._cut_off = False

    @property
    def sample_rate(self) -> int:
        """Hz of the audio that `push` takes."""
        return self._resampler.input_rate

    def push(self, pcm: Array) -> Array:
        """Feeds audio [samples] of any length (float, int16 or int32); returns the tokens that are ready, int64 [n].

        Samples are nominally in [-1, 1]; ``ValueError`` for one beyond 1e6 in magnitude (1e5 if the stream resamples),
        or that is not finite. A call that raises consumes nothing; only where the stream resamples, whose state cannot
        be put back, `reset` must follow a long push that Ctrl-C has ended.
        """
        values = as_audio(pcm, "pcm", check=False)  # the core checks what it is given
        with self._exclusive():
            if self._resamples:
                check_samples(values)
                self._check_open()
            tokens = self._push(values)
            self._kind = kind_of(pcm)
            return self._result(tokens)

    def _push(self, values: Floats) -> Tokens:
        whole = _WHOLE_FRAMES * self._model.hop_length
        if len(values) <= whole:
            return self._core.push(self._resampler.push(values))
        if not self._resamples:
            check_samples(values, CORE_MAX_SAMPLE)
            work = self._core.clone()
            tokens = np.concatenate([work.push(values[begin:end]) for begin, end in pieces(len(values), whole)])
            self._core = work
            return tokens
        self._cut_off = True
        parts = [self._core.push(self._resampler.push(values[begin:end])) for begin, end in pieces(len(values), whole)]
        self._cut_off = False
        return np.concatenate(parts)

    def flush(self) -> Array:
        """Ends the stream: the remaining tokens, int64 [n]. Only `reset` may follow."""
        with self._exclusive():
            if not self._resamples:
                return self._result(self._core.flush())
            self._check_open()
            head = self._core.push(self._resampler.flush())
            return self._result(np.concatenate([head, self._core.flush()]))

    def reset(self) -> None:
        """Back to the start."""
        with self._exclusive():
            self._core.reset()
            self._resampler.reset()
            self._cut_off = False

    @property
    def memory_bytes(self) -> int:
        """Bytes that the stream holds beside the model's weights (and beside soxr, if it resamples)."""
        return self._core.memory_bytes()

    def clone(self) -> EncoderStream:
        """An independent stream in the same state. `UnsupportedError` when the stream resamples."""
        self._require_native_rate("clone")
        with self._exclusive():
            copy = EncoderStream(self._model, self._core.clone(), self.sample_rate, self._threads)
            copy._kind = self._kind
            return copy

    def snapshot(self) -> bytes:
        """The state as bytes for `Codec.restore` with the same model. `UnsupportedError` when the stream resamples."""
        self._require_native_rate("snapshot")
        with self._exclusive():
            return ENCODER_SNAPSHOT + self._core.snapshot()

    @property
    def _resamples(self) -> bool:
        return self.sample_rate != self._model.sample_rate

    def _require_native_rate(self, what: str) -> None:
        if self._resamples:
            raise UnsupportedError(
                f"{what}: soxr's resampling state cannot be copied; resample with secousti_native.audio.Resampler "
                f"and push {self._model.sample_rate} Hz audio"
            )

    def _check_open(self) -> None:
        """RuntimeError if the stream was flushed or cut off, before the resampler takes anything in."""
        if self._cut_off:
            raise RuntimeError("Ctrl-C has ended a push that resampled: reset the stream before it is used again")
        if self._core.ended():
            raise RuntimeError("the stream was flushed: reset it before it is used again")

    def _result(self, tokens: Tokens) -> Array:
        return like(tokens.astype(np.int64), self._kind)


class DecoderStream(Exclusive):
    """Tokens to audio, a chunk at a time. Made by `Codec.decoder`."""

    _instead = EncoderStream._instead

    def __init__(self, model: Model, core: _core.Decoder) -> None:
        super().__init__()
        self._model, self._core = model, core
        self._kind: object = None

    @property
    def latency(self) -> int:
        """Samples by which the output lags behind the tokens pushed."""
        return self._core.latency()

    @property
    def voice(self) -> Array:
        """G [dimension] float32, the voice. An assignment takes effect at the next token."""
        with self._exclusive():
            return self._core.get_voice()

    @voice.setter
    def voice(self, value: Array) -> None:
        checked = check_voice(value, self._model.dimension)
        with self._exclusive():
            self._core.set_voice(checked)

    def push(self, tokens: Array | None) -> Array:
        """Feeds tokens [n] of any integer dtype, n >= 0; returns the audio that is ready, float32 [samples].

        None stands for one lost token, as in `conceal`. A call that raises consumes nothing.
        """
        if tokens is None:
            return self.conceal(1)
        values = as_tokens(tokens, self._model.cardinality)
        return self._push(len(values), lambda core, begin, end: core.push(values[begin:end]), tokens)

    def conceal(self, count: int = 1) -> Array:
        """`push` for ``count`` tokens that were lost: what is likely, fading if that lasts (docs/guide/live.md)."""
        return self._push(check_count(count), lambda core, begin, end: core.conceal(end - begin), self._kind)

    def conceal_to_mel(self, count: int = 1) -> Array:
        """`push_to_mel` for ``count`` tokens that were lost."""
        return self._push(check_count(count), lambda core, begin, end: core.conceal_to_mel(end - begin), self._kind)

    def push_to_mel(self, tokens: Array) -> Array:
        """Feeds tokens [N]; returns log-mel float32 [T, n_mels] at once, for vocoders of your own.

        A stream takes one kind of push (`push`, `push_to_mel` or `push_from_mel`) until it is reset; another kind is
        a ``RuntimeError``.
        """
        values = as_tokens(tokens, self._model.cardinality)
        return self._push(len(values), lambda core, begin, end: core.push_to_mel(values[begin:end]), tokens)

    def push_from_mel(self, mel: Array) -> Array:
        """Feeds log-mel [T, n_mels] to the vocoder alone; returns the samples that are ready, float32 [samples]."""
        values = as_floats(mel, "mel", (None, self._model.n_mels))
        return self._push(len(values), lambda core, begin, end: core.push_from_mel(values[begin:end]), mel, 1)

    def _push(
        self, total: int, call: Callable[[_core.Decoder, int, int], Floats], kind: object, frames: int | None = None
    ) -> Array:
        """``call(core, begin, end)`` for all of ``total`` units of ``frames`` (None: a token's) mel frames."""
        whole = max(1, _WHOLE_FRAMES // (frames or self._model.frames_per_token))
        with self._exclusive():
            if total <= whole:
                result = call(self._core, 0, total)
            else:
                work = self._core.clone()
                result = np.concatenate([call(work, begin, end) for begin, end in pieces(total, whole)])
                self._core = work
            self._kind = kind_of(kind)
            return like(result, kind)

    def flush(self) -> Array:
        """Ends the stream: the rest of ``frame_size`` samples per token. Only `reset` may follow."""
        with self._exclusive():
            return like(self._core.flush(), self._kind)

    def reset(self) -> None:
        """Back to the start, with the same voice and seed."""
        with self._exclusive():
            self._core.reset()

    @property
    def memory_bytes(self) -> int:
        """Bytes that the stream holds beside the model's weights."""
        return self._core.memory_bytes()

    def clone(self) -> DecoderStream:
        """An independent stream in the same state."""
        with self._exclusive():
            copy = DecoderStream(self._model, self._core.clone())
            copy._kind = self._kind
            return copy

    def snapshot(self) -> bytes:
        """The state as bytes for `Codec.restore` with the same model."""
        with self._exclusive():
            return DECODER_SNAPSHOT + self._core.snapshot()


class VoiceEstimator(NotCopied):
    """The voice of whoever speaks, estimated while they do. Made by `Codec.voice_estimator`."""

    _instead = "make another with Codec.voice_estimator, whose voice may be this one's"

    def __init__(self, model: Model, core: _core.Voice) -> None:
        self._model, self._core = model, core

    def push(self, pcm: Array) -> bool:
        """Feeds audio [samples] at the codec's rate; returns whether the estimate was renewed. Pauses do not count.

        What was heard before Ctrl-C ends a long push counts.
        """
        values = as_audio(pcm, "pcm", check=False)  # the core checks what it is given
        whole = _WHOLE_FRAMES * self._model.hop_length
        if len(values) <= whole:
            return self._core.push(values)
        check_samples(values, CORE_MAX_SAMPLE)
        return any([self._core.push(values[begin:end]) for begin, end in pieces(len(values), whole)])  # noqa: C419

    @property
    def voice(self) -> Floats:
        """G [dimension] float32, as of the last renewal."""
        return self._core.get(self._model.dimension)

    @property
    def seconds(self) -> float:
        """Of speech, pauses left out, that were heard."""
        return self._core.seconds()


def split_snapshot(snapshot: bytes) -> tuple[bytes, bytes]:
    """Kind and state. TypeError, or `SnapshotError` for bytes that no stream gave."""
    if not isinstance(snapshot, bytes | bytearray | memoryview):
        raise TypeError(f"snapshot: expected bytes, got {type(snapshot).__name__}")
    kind, state = bytes(snapshot[:1]), bytes(snapshot[1:])
    if kind not in STREAM_OF:
        raise SnapshotError("snapshot: not a secousti snapshot")
    return kind, state


def restore(model: Model, snapshot: bytes, threads: int) -> EncoderStream | DecoderStream:
    """See `Codec.restore`."""
    kind, state = split_snapshot(snapshot)
    if kind == ENCODER_SNAPSHOT:
        encoder = _core.Encoder.restore(model._core, state, threads)
        return EncoderStream(model, encoder, model.sample_rate, threads)
    return DecoderStream(model, _core.Decoder.restore(model._core, state, threads))
