"""Audio files, mixdown and streaming resampling. Needs soundfile and soxr at first use."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from secousti_native._arrays import Array, Floats, as_audio, to_numpy
from secousti_native._files import deferred_ctrl_c, write_atomically
from secousti_native._mixing import MAX_CHANNELS, Collector, Mixer, check_scale
from secousti_native._optional import require
from secousti_native._reading.libsndfile import UNKNOWN_FRAMES
from secousti_native._reading.opening import Audio
from secousti_native._reading.report import Report
from secousti_native._reading.sources import Readable, Source
from secousti_native.errors import AudioWarning

#: File name endings read as audio when a folder is searched.
EXTENSIONS = frozenset(
    (
        ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au", ".caf",
        ".w64", ".rf64", ".m4a", ".mp4", ".m4b", ".aac", ".webm", ".mkv", ".mka", ".mov", ".amr", ".wma", ".3gp",
    )
)  # fmt: skip

_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".aiff": "AIFF", ".aif": "AIFF", ".au": "AU", ".w64": "W64"}
#: File name endings that `save` knows.
WRITABLE = tuple(_FORMATS)
_WITHOUT_COMMENTS = {"AU", "W64"}
_MAX_RATE = 768_000
_BLOCK_SAMPLES = 1 << 16

__all__ = [
    "EXTENSIONS",
    "UNKNOWN_FRAMES",
    "WRITABLE",
    "AudioFile",
    "Resampler",
    "blocks",
    "check_audio",
    "check_rate",
    "encode_file",
    "load",
    "resample",
    "save",
    "to_mono",
]


def check_rate(sample_rate: object) -> int:
    """A sample rate in Hz as an integer. TypeError or ValueError."""
    whole = isinstance(sample_rate, int | np.integer) or (isinstance(sample_rate, float) and sample_rate.is_integer())
    if isinstance(sample_rate, bool) or not whole:
        raise TypeError(f"sample_rate: expected a whole number of Hz, got {sample_rate!r}")
    rate: int = int(sample_rate)  # type: ignore[call-overload]
    if not 1 <= rate <= _MAX_RATE:
        raise ValueError(f"sample_rate: {rate} Hz is not in 1..{_MAX_RATE}")
    return rate


def to_mono(audio: Array, channel_axis: int | None = None) -> Floats:
    """The mean of the channels of [samples, channels] or [channels, samples] audio as float32 [samples].

    Without ``channel_axis`` the axis of at most 64 is that of the channels. ``ValueError`` if that is true of both or
    neither, for NaN and infinity, and for channels that cancel each other out.
    """
    values = to_numpy(audio, "audio")
    if values.ndim == 1:
        mono = as_audio(values)
        check_scale(mono, "audio")
        return mono
    if values.ndim != 2:
        raise ValueError(f"audio: expected one or two dimensions, got shape {list(values.shape)}")
    mixer = Mixer("audio")
    result = mixer(as_audio(np.moveaxis(values, _channel_axis(values.shape, channel_axis), 1), "audio", ndim=2))
    if len(result):
        mixer.finish()
    return result


def _channel_axis(shape: tuple[int, ...], given: int | None) -> int:
    if given is not None:
        if given not in (-2, -1, 0, 1):
            raise ValueError(f"channel_axis: {given} is neither 0 nor 1")
        axis = given % 2
    else:
        few = [axis for axis in (0, 1) if shape[axis] <= MAX_CHANNELS]
        if len(few) != 1 and shape != (1, 1):
            raise ValueError(
                f"audio: shape {list(shape)} may be [samples, channels] or [channels, samples]; say which with "
                "channel_axis=1 or channel_axis=0"
            )
        axis = few[0]
    if shape[axis] == 0:
        raise ValueError("audio: no channels")
    return axis


class AudioFile:
    """An audio file, read in blocks: memory does not grow with its length.

    ``source`` is a path, a pipe, a binary file-like object, or the bytes of a file. Everything that libsndfile knows
    can be read; with PyAV (``pip install secousti-native[formats]``) what FFmpeg knows, too: AAC, WebM, AMR, the sound
    of videos. Lengths in headers are not trusted: the data is read to its end, over all links of a chained Ogg file
    and all parts of a joined MP3 or WAV file.

    Args:
        damaged: "error", or "keep", which takes what is left of a file that is cut or damaged.
        channel: the one to take, from 0. None: the mean of all.

    Raises:
        OSError: the source cannot be opened.
        ValueError: it is no audio, or damaged.
        MissingDependencyError: it is of a kind that needs PyAV.
    """

    def __init__(
        self, source: Readable, *, damaged: Literal["error", "keep"] = "error", channel: int | None = None
    ) -> None:
        self._source = Source(source)
        try:
            self.name = self._source.name
            self._report = Report(self.name, damaged)
            self._audio = Audio(self._source, self._report)
            if channel is not None and not 0 <= channel < self._audio.channels:
                raise self._report.error(f"channel {channel} is not in 0..{self._audio.channels - 1}")
        except BaseException:
            self._source.close()
            raise
        self._channel = channel

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self._audio.rate

    @property
    def channels(self) -> int:
        return self._audio.channels

    @property
    def seconds(self) -> float | None:
        """As the header tells: a hint, None where it tells nothing."""
        return self._audio.frames / self._audio.rate if self._audio.frames > 0 else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the file, as far as it was read: damage that was kept, wrong headers."""
        return tuple(self._report.notes)

    def blocks(self, sample_rate: int | None = None) -> Iterator[Floats]:
        """The audio from its beginning as mono float32 [samples], nominally in [-1, 1], in blocks of any length.

        ``sample_rate`` resamples. May be called again when the last iterator has ended. ``ValueError`` for damage
        (where that is an error), no samples at all, NaN or infinity, samples that are scaled as integers, and channels
        that cancel each other out.
        """
        rate = self.sample_rate if sample_rate is None else check_rate(sample_rate)
        mixer = Mixer(self.name, self._channel)
        resampler = Resampler(self.sample_rate, rate)
        for input_rate, values in self._audio.blocks():
            mono = mixer(values)
            if input_rate != resampler.input_rate:  # another rate in a file that was joined
                yield from _filled(resampler.flush())
                resampler = Resampler(input_rate, rate)
            yield from _filled(resampler.push(mono))
        yield from _filled(resampler.flush())
        mixer.finish()

    def warn(self) -> None:
        """Gives the notes as warnings, `AudioWarning`."""
        for note in self.notes:
            warnings.warn(f"{self.name}: {note}", AudioWarning, stacklevel=3)

    def close(self) -> None:
        """Ends reading; a file-like object of the caller's stays open."""
        self._source.close()

    def __enter__(self) -> AudioFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _filled(block: Floats) -> Iterator[Floats]:
    if len(block):
        yield block


def load(
    source: Readable,
    sample_rate: int | None = None,
    *,
    damaged: Literal["error", "keep"] = "error",
    channel: int | None = None,
) -> tuple[Floats, int]:
    """All of an `AudioFile` as mono float32 [samples], nominally in [-1, 1], and its rate in Hz.

    ``sample_rate`` resamples. Raises what `AudioFile` and its ``blocks`` do; its notes become an `AudioWarning`. Memory
    peaks at little more than the result, whatever the file's rate and channels.
    """
    with AudioFile(source, damaged=damaged, channel=channel) as file:
        rate = file.sample_rate if sample_rate is None else check_rate(sample_rate)
        collector = Collector(0 if file.seconds is None else int(file.seconds * rate) + 1)
        for block in file.blocks(rate):
            collector.add(block)
        file.warn()
    return collector.result(), rate


def blocks(
    source: Readable,
    sample_rate: int | None = None,
    *,
    damaged: Literal["error", "keep"] = "error",
    channel: int | None = None,
) -> Iterator[Floats]:
    """`load` in blocks of any length, in constant memory: joined they are the same samples, bit for bit.

    A source that cannot be opened raises here, everything else when the blocks are taken.
    """
    file = AudioFile(source, damaged=damaged, channel=channel)

    def take() -> Iterator[Floats]:
        with file:
            yield from file.blocks(sample_rate)
            file.warn()

    return take()


def save(
    path: str | os.PathLike[str],
    audio: Array,
    sample_rate: int,
    *,
    subtype: str | None = None,
    comment: str | None = None,
) -> None:
    """Writes mono audio [samples] atomically; the ending picks the format (wav, flac, ogg, aiff, au, w64).

    16-bit PCM (clipped to [-1, 1]) by default; ``subtype`` names another of libsndfile's, such as "FLOAT". ``comment``
    is kept where the format has a place for one; in WAV files behind the samples.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise ValueError(
            f"{os.fspath(path)}: cannot write {suffix or 'a file without ending'}; use {' '.join(_FORMATS)}"
        )
    write_atomically(path, encode_file(audio, sample_rate, _FORMATS[suffix], subtype, comment))


def encode_file(
    audio: Array,
    sample_rate: int,
    file_format: str = "WAV",
    subtype: str | None = None,
    comment: str | None = None,
) -> memoryview:
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
            rate = check_rate(sample_rate)
            with soundfile.SoundFile(buffer, "w", rate, 1, format=file_format, subtype=subtype) as file:
                first = file_format != "WAV"  # there, the samples stay where they are without a comment
                if comment is not None and first and file_format not in _WITHOUT_COMMENTS:
                    file.comment = comment
                file.write(values)
                if comment is not None and not first:
                    file.comment = comment
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
    """Float32 [samples] at ``input_rate`` Hz to ``output_rate`` Hz: the streaming resampler, fed a block at a time."""
    resampler = Resampler(input_rate, output_rate)
    if resampler.input_rate == resampler.output_rate:
        return audio
    collector = Collector(len(audio) * resampler.output_rate // resampler.input_rate + 1)
    for start in range(0, len(audio), _BLOCK_SAMPLES):
        collector.add(resampler.push(audio[start : start + _BLOCK_SAMPLES]))
    collector.add(resampler.flush())
    return collector.result()


def check_audio(audio: Array, name: str = "audio") -> Floats:
    """Non-empty, finite mono audio as float32 [samples], not scaled as integers."""
    values = as_audio(audio, name)
    if values.size == 0:
        raise ValueError(f"{name}: is empty")
    check_scale(values, name)
    return values
