"""The command line in real processes: unwritable outputs, Ctrl-C, terminals and pipes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SPEECH
from test_cli import COMMAND, Floats, tree

from secousti_native import Codec, audio

# ---- unwritable outputs and Ctrl-C, in real processes ----


def run(*arguments: object, check: bool, **options: Any) -> subprocess.CompletedProcess[Any]:
    command = [*COMMAND, *(str(a) for a in arguments)]
    return subprocess.run(command, capture_output=True, check=check, timeout=120, **options)


def test_unwritable_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = run("encode", SPEECH, "-o", tmp_path / "file" / "x.sec", check=False)
    assert result.returncode == 2
    assert b"Traceback" not in result.stderr
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk() -> None:
    result = run("encode", SPEECH, "-o", "/dev/full", check=False)
    assert result.returncode == 1
    assert b"No space left" in result.stderr
    assert b"Traceback" not in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [("encode", SPEECH, "-o", "x.sec", "--json"), ("info", "default"), ("info", "--json"), ("--help",)]
)
def test_full_stdout(tmp_path: Path, arguments: tuple[object, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [*COMMAND, *(str(a) for a in arguments)]
        result = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert result.returncode == 1
    assert result.stderr == b"error: stdout: No space left on device\n"


def test_closed_stdout() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [*COMMAND, "info", "--json"], stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60
    )
    os.close(writer)
    assert result.returncode == 1
    assert result.stderr == b""


def test_dev_stdout(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        result = subprocess.run([*COMMAND, "info", "--json"], stdout=file, check=True, timeout=60)
    assert result.returncode == 0
    assert json.loads((tmp_path / "out").read_text())["version"]


def test_ctrl_c_keeps_what_is_done(tmp_path: Path, speech: Floats) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    audio.save(folder / "1.wav", speech[:22050], 22050)
    audio.save(folder / "2.wav", np.tile(speech, 60), 22050)  # 14 minutes: long enough to interrupt
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "2.wav").write_text("old")
    process = subprocess.Popen(
        [*COMMAND, "roundtrip", str(folder), "-o", str(tmp_path / "out"), "-f"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "1.wav").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"1 of 2 files done" in stderr
    assert b"Traceback" not in stderr
    assert b"1.wav" in stdout
    assert tree(tmp_path / "out") == ["1.wav", "2.wav"]
    assert (tmp_path / "out" / "2.wav").read_text() == "old"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_shows_on_a_terminal_only(tmp_path: Path, clips: Path) -> None:
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    command = [*COMMAND, "encode", str(clips), "-o", str(tmp_path / "out")]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True, timeout=120)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert b"%" in shown
    assert b"%" not in result.stdout
    assert run("encode", clips, "-o", tmp_path / "out2", check=True).stderr == b""


# ---- pipes ----


def raw(pcm: Floats) -> bytes:
    return np.rint(pcm * 32767).astype("<i2").tobytes()


def test_stream_to_tokens(codec: Codec, speech: Floats) -> None:
    data = raw(speech[:60000])
    result = run("stream", input=data, check=True)
    expected = codec.encode(np.frombuffer(data, "<i2")).tokens
    np.testing.assert_array_equal([int(word) for word in result.stdout.split()], expected)


def test_stream_to_pcm(codec: Codec, speech: Floats, tmp_path: Path) -> None:
    data = speech[:60000].astype("<f4").tobytes()
    result = run("stream", "--from", "f32le", "--to", "f32le", "--voice", SPEECH, "--json", input=data, check=True)
    encoded = codec.encode(speech[:60000])
    voice = codec.voice(audio.load(SPEECH, 22050)[0])
    np.testing.assert_array_equal(np.frombuffer(result.stdout, "<f4"), codec.decode(encoded.tokens, voice))
    assert json.loads(result.stderr)["samples_out"] == len(encoded.tokens) * 256


def test_stream_of_tokens(codec: Codec, speech: Floats) -> None:
    encoded = codec.encode(speech[:30000])
    text = " ".join(str(t) for t in encoded.tokens).encode()
    result = run("stream", "--from", "tokens", "--to", "s16le", input=text, check=True)
    expected = codec.decode(encoded.tokens, np.zeros(codec.dimension, np.float32))
    np.testing.assert_array_equal(np.frombuffer(result.stdout, "<i2"), np.rint(np.clip(expected, -1, 1) * 32767))


def test_stream_resamples(codec: Codec) -> None:
    pcm, rate = audio.load(SPEECH)
    result = run("stream", "--rate", rate, input=raw(pcm), check=True)
    expected = codec.encode(np.frombuffer(raw(pcm), "<i2"), rate).tokens
    np.testing.assert_array_equal([int(word) for word in result.stdout.split()], expected)


def test_stream_answers_at_once(codec: Codec, speech: Floats) -> None:
    """A token comes out as soon as its samples are in, not when the pipe is full or closed."""
    data = raw(speech[:22050])
    expected = codec.encode(np.frombuffer(data, "<i2")).tokens
    process = subprocess.Popen([*COMMAND, "stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    latency = codec.latency.encoder_samples
    process.stdin.write(data[: 2 * latency - 1])  # half a sample short
    process.stdin.write(data[2 * latency - 1 : 2 * latency])
    process.stdin.flush()
    assert int(process.stdout.readline()) == expected[0]
    process.stdin.write(data[2 * latency : 2 * (latency + 256)])
    process.stdin.flush()
    assert int(process.stdout.readline()) == expected[1]
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.stdin.close()
    process.stdout.close()


def test_stream_into_a_closed_pipe(speech: Floats) -> None:
    reader, writer = os.pipe()
    process = subprocess.Popen([*COMMAND, "stream"], stdin=subprocess.PIPE, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert process.stdin is not None
    process.stdin.write(raw(speech[:22050]))
    process.stdin.flush()
    assert os.read(reader, 4)
    os.close(reader)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(raw(speech))
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == b""


@pytest.mark.parametrize(
    ("arguments", "data", "code", "words"),
    [
        ((), b"RIFF\x24\0\0\0WAVEfmt ", 1, b"begins like a WAV file"),
        (("--from", "f32le"), b"fLaC" + bytes(100), 1, b"begins like a FLAC file"),
        (("--from", "f32le"), np.full(100, 20000, "<f4").tobytes(), 1, b"look like 16-bit integers"),
        (("--from", "tokens", "--to", "s16le"), b"12 abc 13", 1, b"abc"),
        (("--from", "tokens", "--to", "s16le"), b"12 6561 ", 1, b"6561"),
        (("--from", "tokens", "--to", "s16le"), b"12 99999999999999999999 ", 1, b"99999"),
        (("--from", "tokens", "--to", "s16le"), b"--5 3\n", 1, b"'--5' is no token"),
        (("--from", "tokens", "--to", "s16le"), b"1_0 3\n", 1, b"'1_0' is no token"),
        (("--from", "f32le"), np.array([0, np.nan], "<f4").tobytes(), 1, b"nan"),
        (("--from", "tokens"), b"", 2, b"nothing to do"),
        (("--rate", "0"), b"", 2, b"rate"),
    ],
)
def test_bad_streams(arguments: tuple[str, ...], data: bytes, code: int, words: bytes) -> None:
    result = run("stream", *arguments, input=data, check=False)
    assert result.returncode == code
    assert words in result.stderr
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize(("wire", "size"), [("s16le", 2), ("f32le", 4)])
def test_half_a_sample_at_the_end_is_left_out(speech: Floats, wire: str, size: int) -> None:
    values = speech[:30000]
    data = raw(values) if size == 2 else values.astype("<f4").tobytes()
    whole = run("stream", "--from", wire, input=data, check=True)
    half = run("stream", "--from", wire, input=data + bytes(1), check=True)
    assert half.stdout == whole.stdout
    assert whole.stderr == b""
    assert f"its last 1 of {size} bytes are half a sample".encode() in half.stderr


def test_audio_from_pipes(tmp_path: Path, speech: Floats) -> None:
    audio.save(tmp_path / "x.flac", speech[:30000], 22050)
    run("encode", tmp_path / "x.flac", "-o", tmp_path / "x.sec", check=True)
    data = (tmp_path / "x.flac").read_bytes()
    run("encode", "/dev/stdin", "-o", tmp_path / "stdin.sec", input=data, check=True)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    run("encode", tmp_path / "pipe", "-o", tmp_path / "pipe.sec", check=True)
    writer.join()
    for name in ("stdin.sec", "pipe.sec"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "x.sec").read_bytes()
