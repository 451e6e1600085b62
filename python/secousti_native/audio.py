"""Audio files, mixdown and streaming resampling. Needs soundfile and soxr at first use."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secousti_native._arrays import Array, Floats, as_audio, to_numpy
from secousti_native._files import deferred_ctrl_c, write_atomically
from secousti_native._optional import require

#: File name endings read as audio when a folder is searched.
EXTENSIONS = frozenset(
    (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64")
)

_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".aiff": "AIFF", ".aif": "AIFF", ".au": "AU", ".w64": "W64"}
_MAX_RATE = 768_000

#: What libsndfile says of a file that does not tell its length.
UNKNOWN_FRAMES = 2**63 - 1
_BLOCK_FRAMES = 1 << 20


def check_rate(sample_rate: object) -> int:
    """A sample rate in Hz as an integer. TypeError or ValueError."""
    whole = isinstance(sample_rate, int | np.integer) or (isinstance(sample_rate, float) and sample_rate.is_integer())
    if isinstance(sample_rate, bool) or not whole:
        raise TypeError(f"sample_rate: expected a whole number of Hz, got {sample_rate!r}")
    rate: int = int(sample_rate)  # type: ignore[call-overload]
    if not 1 <= rate <= _MAX_RATE:
        raise ValueError(f"sample_rate: {rate} Hz is not in 1..{_MAX_RATE}")
    return rate


def to_mono(audio: Array, channel_axis: int = -1) -> Floats:
    """The mean of the channels of [samples, channels] audio (``channel_axis=0``: [channels, samples]) as float32."""
    values = to_numpy(audio, "audio")
    if values.ndim == 1:
        return as_audio(values)
    if values.ndim != 2:
        raise ValueError(f"audio: expected one or two dimensions, got shape {list(values.shape)}")
    channels = np.moveaxis(values, channel_axis, 0)
    if len(channels) == 0:
        raise ValueError("audio: no channels")
    total = np.zeros(channels.shape[1], np.float64)
    for channel in channels:
        total += as_audio(np.ascontiguousarray(channel))
    return (total / len(channels)).astype(np.float32)


def load(path: str | os.PathLike[str], sample_rate: int | None = None) -> tuple[Floats, int]:
    """Reads any file that libsndfile knows as mono float32 [samples], nominally in [-1, 1], and its rate in Hz.

    ``sample_rate`` resamples. Raises ``OSError`` for a file that cannot be opened, ``ValueError`` for one that is no
    audio, holds none, ends before the length that it tells, or holds NaN or infinity.
    """
    soundfile = require("soundfile", "reading audio files")
    with Path(path).open("rb") as file:
        try:
            # By descriptor: a Ctrl-C within callbacks into a Python file would be lost, and samples with it.
            with soundfile.SoundFile(file.fileno(), closefd=False) as opened:
                rate, frames = opened.samplerate, opened.frames
                values = _read(opened)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{os.fspath(path)}: not a readable audio file ({error.error_string})") from None
    if len(values) < frames < UNKNOWN_FRAMES:
        raise ValueError(f"{os.fspath(path)}: damaged: only {len(values)} of {frames} samples can be read")
    if len(values) == 0:
        raise ValueError(f"{os.fspath(path)}: holds no audio samples")
    try:
        mono = to_mono(values)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None
    if sample_rate is None or sample_rate == rate:
        return mono, int(rate)
    return resample(mono, int(rate), sample_rate), sample_rate


def _read(opened: Any) -> Floats:
    """All of a ``soundfile.SoundFile``, [samples, channels]."""
    values: Floats
    if opened.frames < UNKNOWN_FRAMES:
        values = opened.read(dtype="float32", always_2d=True)
        return values
    opened.seekable = lambda: False  # after a short read soundfile seeks to its end, which fails in such a file
    blocks = [np.zeros((0, opened.channels), np.float32)]
    while len(values := opened.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        blocks.append(values)
    return np.concatenate(blocks)


def save(path: str | os.PathLike[str], audio: Array, sample_rate: int, *, subtype: str | None = None) -> None:
    """Writes mono audio [samples] atomically; the ending picks the format (wav, flac, ogg, aiff, au, w64).

    16-bit PCM (clipped to [-1, 1]) by default; ``subtype`` names another of libsndfile's, such as "FLOAT".
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(
            f"{os.fspath(path)}: cannot write {suffix or 'a file without ending'}; use {' '.join(_FORMATS)}"
        )
    write_atomically(path, encode_file(audio, sample_rate, _FORMATS[suffix], subtype))


def encode_file(audio: Array, sample_rate: int, file_format: str = "WAV", subtype: str | None = None) -> memoryview:
    """The bytes of an audio file of libsndfile's ``file_format`` with mono ``audio`` [samples]."""
    soundfile = require("soundfile", "writing audio files")
    values = as_audio(audio)
    if subtype is None:
        subtype = "VORBIS" if file_format == "OGG" else "PCM_16"
    if not subtype.startswith(("FLOAT", "DOUBLE")):
        values = np.clip(values, -1.0, 1.0)
    buffer = io.BytesIO()
    try:
        with deferred_ctrl_c():
            soundfile.write(buffer, values, check_rate(sample_rate), format=file_format, subtype=subtype)
    except (ValueError, soundfile.LibsndfileError) as error:
        raise ValueError(f"cannot write {file_format}/{subtype} at {sample_rate} Hz: {error}") from None
    return buffer.getbuffer()


class Resampler:
    """Streaming resampler for one channel (soxr, HQ): any chunking gives the same samples, bit for bit."""

    def __init__(self, input_rate: int, output_rate: int) -> None:
        self.input_rate, self.output_rate = check_rate(input_rate), check_rate(output_rate)
        self._stream: Any = None
        if self.input_rate != self.output_rate:
            soxr = require("soxr", f"resampling {self.input_rate} Hz to {self.output_rate} Hz")
            self._stream = soxr.ResampleStream(self.input_rate, self.output_rate, 1, dtype="float32", quality="HQ")

    def push(self, audio: Floats) -> Floats:
        """Feeds float32 [samples]; returns what is ready."""
        return audio if self._stream is None else self._run(audio, last=False)

    def flush(self) -> Floats:
        """Ends the stream; returns the rest. Only `reset` may follow."""
        empty = np.zeros(0, np.float32)
        return empty if self._stream is None else self._run(empty, last=True)

    def reset(self) -> None:
        """Back to the start."""
        if self._stream is not None:
            self._stream.clear()

    def _run(self, audio: Floats, last: bool) -> Floats:
        result: npt.NDArray[np.float32] = self._stream.resample_chunk(audio, last=last)
        return result


def resample(audio: Floats, input_rate: int, output_rate: int) -> Floats:
    """Float32 [samples] at ``input_rate`` Hz to ``output_rate`` Hz: the streaming resampler fed everything at once."""
    resampler = Resampler(input_rate, output_rate)
    head = resampler.push(audio)
    return np.concatenate([head, resampler.flush()]) if input_rate != output_rate else head


def check_audio(audio: Array, name: str = "audio") -> Floats:
    """Non-empty, finite mono audio as float32 [samples]."""
    values = as_audio(audio, name)
    if values.size == 0:
        raise ValueError(f"{name}: is empty")
    return values
