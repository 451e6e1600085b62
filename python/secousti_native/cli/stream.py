"""``stream``: raw PCM or tokens on stdin, tokens or raw PCM on stdout, with no delay but the codec's own."""

from __future__ import annotations

import errno
import os
import re
import sys
import time
import warnings
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from secousti_native._arrays import Floats
from secousti_native._mixing import check_scale
from secousti_native.cli import batch, options
from secousti_native.cli.console import fail, print_json, stderr
from secousti_native.cli.voice import load_voice
from secousti_native.errors import AudioWarning
from secousti_native.streams import DecoderStream, EncoderStream

_READ_BYTES = 65536
_MAGIC = {b"RIFF": "a WAV file", b"RF64": "a WAV file", b"fLaC": "a FLAC file", b"OggS": "an Ogg file",
          b"FORM": "an AIFF file", b"ID3": "an MP3 file", b".snd": "an AU file"}  # fmt: skip
_MAGIC_BYTES = max(map(len, _MAGIC))
_NUMBER = re.compile(rb"-?\d{1,18}")  # always fits 64 bits


class Wire(str, Enum):
    """What bytes on a pipe mean."""

    s16le = "s16le"
    f32le = "f32le"
    tokens = "tokens"


class _PcmReader:
    """Raw little-endian PCM to arrays; holds back the bytes of an unfinished sample."""

    def __init__(self, wire: Wire) -> None:
        self._dtype = np.dtype("<i2") if wire is Wire.s16le else np.dtype("<f4")
        self._rest = b""
        self._begun = False

    def __call__(self, data: bytes) -> npt.NDArray[Any]:
        data = self._rest + data
        if not self._begun and len(data) >= _MAGIC_BYTES:
            self._begun = True
            _refuse_files(data)
        whole = len(data) - len(data) % self._dtype.itemsize if self._begun else 0
        self._rest = data[whole:]
        values: npt.NDArray[Any] = np.frombuffer(data[:whole], self._dtype)
        if values.dtype.kind == "f":
            check_scale(values.astype(np.float32, copy=False), "input")
        return values

    def end(self) -> npt.NDArray[Any]:
        rest, size = self._rest, self._dtype.itemsize
        if left := len(rest) % size:
            warnings.warn(f"input: its last {left} of {size} bytes are half a sample, and were left out", AudioWarning,
                          stacklevel=1)  # fmt: skip
        return np.frombuffer(rest[: len(rest) - left], self._dtype)


def _refuse_files(data: bytes) -> None:
    """``ValueError`` if the first bytes are those of a file, whose header would be taken for a click."""
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            raise ValueError(
                f"input: begins like {kind}, but raw PCM is expected: `secousti encode /dev/stdin -o OUT.sec` reads "
                "files, `ffmpeg -i FILE -f s16le -ac 1 -ar 22050 -` makes raw PCM of them"
            )


class _TokenReader:
    """Decimal numbers separated by white space; holds back one that may go on."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, data: bytes) -> npt.NDArray[np.int64]:
        data = self._rest + data
        cut = max(data.rfind(b"\n"), data.rfind(b" ")) + 1
        self._rest = data[cut:]
        return self._parse(data[:cut])

    def end(self) -> npt.NDArray[np.int64]:
        rest, self._rest = self._rest, b""
        return self._parse(rest)

    @staticmethod
    def _parse(text: bytes) -> npt.NDArray[np.int64]:
        words = text.split()
        for word in words:
            if _NUMBER.fullmatch(word) is None:
                raise ValueError(f"input: {word[:40].decode(errors='replace')!r} is no token")
        return np.array([int(word) for word in words], np.int64)


def _token_bytes(tokens: npt.NDArray[np.int64]) -> bytes:
    return "".join(f"{token}\n" for token in tokens).encode()


def _pcm_bytes(wire: Wire) -> Callable[[Floats], bytes]:
    def s16(pcm: Floats) -> bytes:
        return bytes(np.rint(np.clip(pcm, -1.0, 1.0) * 32767.0).astype("<i2").data)

    def f32(pcm: Floats) -> bytes:
        return bytes(pcm.astype("<f4").data)

    return s16 if wire is Wire.s16le else f32


class _Pipeline:
    """stdin's bytes through encoder and decoder, as far as asked for, to stdout's bytes."""

    def __init__(
        self, encoder: EncoderStream | None, decoder: DecoderStream | None, source: Wire, target: Wire
    ) -> None:
        self._encoder, self._decoder = encoder, decoder
        self._read = _TokenReader() if source is Wire.tokens else _PcmReader(source)
        self._pcm_bytes = _pcm_bytes(target)
        self.tokens = 0
        self.samples = 0

    def push(self, data: bytes) -> bytes:
        return self._through(self._read(data))

    def finish(self) -> bytes:
        result = self._through(self._read.end())
        if self._encoder is not None:
            result += self._from_tokens(self._encoder.flush())
        if self._decoder is not None:
            result += self._from_pcm(self._decoder.flush())
        return result

    def _through(self, values: npt.NDArray[Any]) -> bytes:
        return self._from_tokens(values if self._encoder is None else self._encoder.push(values))

    def _from_tokens(self, tokens: npt.NDArray[np.int64]) -> bytes:
        self.tokens += len(tokens)
        return _token_bytes(tokens) if self._decoder is None else self._from_pcm(self._decoder.push(tokens))

    def _from_pcm(self, pcm: Floats) -> bytes:
        self.samples += len(pcm)
        return self._pcm_bytes(pcm)


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def stream(
    source: Annotated[
        Wire, typer.Option("--from", help="What comes in: raw mono PCM, or tokens as text.")
    ] = Wire.s16le,
    target: Annotated[Wire, typer.Option("--to", help="What goes out: tokens, one a line, or raw PCM.")] = Wire.tokens,
    rate: Annotated[int | None, typer.Option(min=1, help="Hz of incoming PCM. [default: the model's]")] = None,
    reference: Annotated[
        Path | None, typer.Option("--voice", help="Voice of outgoing PCM: audio or .sec. [default: the average voice]")
    ] = None,
    model: options.Model = "default",
    device: options.DeviceOption = options.Device.cpu,
    precision: options.Precision = None,
    threads: options.Threads = 1,
    seed: options.Seed = 0,
    look_ahead: options.LookAhead = None,
    json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON on stderr at the end.")] = False,
) -> None:
    """Raw PCM or tokens on stdin to tokens or raw PCM (at the model's rate) on stdout, for pipes.

    `ffmpeg -i in.wav -f s16le -ac 1 -ar 22050 - | secousti stream > tokens.txt`
    """
    if source is Wire.tokens and target is Wire.tokens:
        raise typer.BadParameter("tokens in and tokens out: nothing to do", param_hint="--to")
    codec = options.open_codec(model, device, precision, threads)
    try:
        voice = None if reference is None else load_voice(codec, reference)
        encoder = None if source is Wire.tokens else codec.encoder(rate)
        decoder = None if target is Wire.tokens else codec.decoder(voice, seed=seed, look_ahead=look_ahead)
    except batch.EXPECTED as error:
        raise fail(batch.describe(error)) from None
    pipeline = _Pipeline(encoder, decoder, source, target)
    started = time.perf_counter()
    with batch.heard_warnings():
        code = _pump(pipeline)
    summary: dict[str, Any] = {"tokens": pipeline.tokens, "samples_out": pipeline.samples, "interrupted": code == 130}
    if json:
        summary["elapsed_seconds"] = round(time.perf_counter() - started, 3)
        stream_stdout, sys.stdout = sys.stdout, sys.stderr
        try:
            print_json(summary)
        finally:
            sys.stdout = stream_stdout
    elif code == 130:
        stderr().print(f"interrupted: {pipeline.tokens} tokens and {pipeline.samples} samples out were done")
    raise typer.Exit(code)


def _pump(pipeline: _Pipeline) -> int:
    """Until stdin ends, stdout is closed (no error: `head` does that), or Ctrl-C. Returns the exit code."""
    try:
        while data := os.read(0, _READ_BYTES):
            _write(pipeline.push(data))
        _write(pipeline.finish())
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            return 0
        stderr().print(f"error: {batch.describe(error)}", style="red", markup=False)
        return 1
    except batch.EXPECTED as error:
        stderr().print(f"error: {batch.describe(error)}", style="red", markup=False)
        return 1
    return 0


def register(app: typer.Typer) -> None:
    app.command()(stream)
