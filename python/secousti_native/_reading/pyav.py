"""Decoding with FFmpeg (the package PyAV) of what libsndfile does not know: AAC, WebM, AMR, the sound of videos."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from secousti_native._arrays import Floats
from secousti_native._optional import require
from secousti_native._reading.libsndfile import Block, UnreadableError
from secousti_native._reading.report import Report
from secousti_native._reading.sources import Virtual

INSTALL = "secousti-native[formats]"
# Full scale of FFmpeg's sample formats; unsigned 8 bits are moved to zero first.
_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}


class AvFile:
    """An opened file. `UnreadableError` if FFmpeg finds no audio in it, `MissingDependencyError` without PyAV."""

    def __init__(self, file: Virtual, purpose: str) -> None:
        self._av = require("av", purpose, INSTALL)
        self._virtual = file
        try:
            self._container: Any = self._av.open(file, "r", metadata_errors="ignore")
        except (self._av.FFmpegError, ValueError) as error:
            raise file.failure or UnreadableError(_text(error)) from None
        streams = self._container.streams
        if not streams.audio:
            self.close()
            raise UnreadableError("no audio in it")
        self._stream = streams.best("audio") or streams.audio[0]
        self.others = len(streams.audio) - 1
        if self._stream.codec_context is None:
            self.close()
            raise UnreadableError("FFmpeg has no decoder for it")
        # Damage is an error of its packet then, not something to play.
        self._stream.codec_context.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
        self.rate = int(self._stream.codec_context.sample_rate)
        self.channels = int(self._stream.codec_context.channels)
        duration = self._stream.duration
        self.frames = int(duration * self._stream.time_base * self.rate) if duration and self._stream.time_base else 0
        # MP4 and its like list each packet.
        self._promised = int(self._stream.frames) if "mp4" in self._container.format.name else 0
        self.is_float = False

    def blocks(self, report: Report, expected: int = 0) -> Iterator[Block]:
        """All samples of the best audio stream. Damage if packets are missing or cannot be decoded."""
        if self.others:
            report.note(f"holds {self.others + 1} audio tracks; track {self._stream.index} was taken")
        packets, bad, count = 0, 0, 0
        for packet in self._packets(report):
            packets += packet.size > 0
            try:
                frames = packet.decode()
            except (self._av.FFmpegError, ValueError) as error:
                if self._virtual.failure is not None:
                    raise self._virtual.failure from None
                report.damage(f"packet {packets} cannot be decoded ({_text(error)})")
                bad += 1
                continue
            for frame in frames:
                block = _samples(frame)
                count += len(block)
                if len(block):
                    yield int(frame.sample_rate), block
        if self._virtual.failure is not None:
            raise self._virtual.failure
        if packets < self._promised:
            report.damage(f"holds {packets} of the {self._promised} packets that its header promises")
        if count < expected:
            report.damage(f"only {count} of {expected} samples can be read")

    def _packets(self, report: Report) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (self._av.FFmpegError, ValueError) as error:
                if self._virtual.failure is not None:
                    raise self._virtual.failure from None
                report.damage(_text(error))
                return
            if packet is None:
                return
            yield packet

    def close(self) -> None:
        self._container.close()


def _text(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)


def _samples(frame: Any) -> Floats:
    """A frame's samples, [samples, channels]."""
    values = frame.to_ndarray()
    planar, kind = frame.format.is_planar, frame.format.packed.name
    channels = values.T if planar else values.reshape(-1, frame.layout.nb_channels)
    if kind == "u8":
        channels = channels.astype(np.float32) - 128.0
    scale = np.float32(1.0 / _SCALE.get(kind, 1.0))
    return np.array(channels * scale, np.float32, order="C")
