"""What a host embeds: the examples, run for real; the library through pkg-config; a model that is linked in."""

from __future__ import annotations

import re
import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

import secousti_native
from builds import ROOT, build, run, tool
from secousti_native import Codec
from test_cpp import MODELS, release, speech_wav

__all__ = ["release"]  # a fixture

Floats = npt.NDArray[np.float32]
PERIOD = 256


def heard(path: Path) -> npt.NDArray[np.int16]:
    """The samples of a WAV file that an example wrote."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def as_int16(pcm: Floats) -> npt.NDArray[np.int16]:
    """Rounded as the examples do it."""
    return np.rint(np.clip(pcm, -1, 1) * np.float32(32767)).astype(np.int16)


def live(codec: Codec, pcm: Floats, chunk: int) -> Floats:
    """Encoded and decoded in chunks, with the voice that is estimated meanwhile."""
    encoder, decoder, voice = codec.encoder(), codec.decoder(), codec.voice_estimator()
    parts = []
    for begin in range(0, len(pcm), chunk):
        part = pcm[begin : begin + chunk]
        renewed = voice.push(part)
        tokens = encoder.push(part)
        if renewed:
            decoder.voice = voice.voice
        parts.append(decoder.push(tokens))
    return np.concatenate(parts)


@pytest.mark.parametrize("model", ["default_86", "default_21"])
def test_live_loop_plays_what_was_said(release: Path, tmp_path: Path, model: str) -> None:
    codec = Codec.from_pretrained(MODELS / f"{model}.safetensors")
    pcm = speech_wav(tmp_path / "in.wav", codec, "FLOAT")
    said = run(
        release / "examples" / "secousti_live_loop", MODELS / f"{model}.safetensors", tmp_path / "in.wav",
        tmp_path / "out.wav",
    )  # fmt: skip
    silent = {int(period) for period in re.findall(r"^silence in period (\d+)$", said, re.MULTILINE)}
    summary = re.search(r"^(\d+) periods, (\d+) of them late, voice of ([\d.]+) s of speech$", said, re.MULTILINE)
    assert summary is not None, said
    assert float(summary.group(3)) > 0.5
    periods = heard(tmp_path / "out.wav").reshape(-1, PERIOD)
    assert len(periods) == int(summary.group(1)) == (len(pcm) + codec.sample_rate // 2) // PERIOD
    # Where the codec's thread came late on a busy machine there is silence instead, and everything is later by as much.
    assert not periods[sorted(silent)].any()
    played = np.delete(periods, sorted(silent), axis=0).reshape(-1)
    whole = len(periods) * PERIOD
    expected = as_int16(live(codec, np.pad(pcm, (0, max(0, whole - len(pcm))))[:whole], PERIOD))
    assert len(played) > codec.sample_rate
    assert np.abs(played).max() > 300
    assert np.array_equal(played, expected[: len(played)])


def replay(codec: Codec, lines: list[list[str]]) -> tuple[Floats, list[list[int]]]:
    """What an end of a call heard, and the tokens it got (-1: lost) from each restart on, from what it printed."""
    decoder = codec.decoder()
    parts: list[Floats] = []
    tokens: list[list[int]] = [[]]
    for line in lines:
        if line[0] == "voice":
            decoder.voice = np.array([float.fromhex(value) for value in line[1:]], np.float32)
        elif line[0] == "token":
            parts.append(decoder.push(np.array([int(line[1])])))
            tokens[-1].append(int(line[1]))
        elif line[0] == "lost":
            parts.append(decoder.conceal())
            tokens[-1].append(-1)
        elif line[0] == "restart":  # on a machine too busy to send in time
            tokens.append([])
        elif line[0] == "wait":
            parts.append(np.zeros(codec.frame_size, np.float32))
    return np.concatenate(parts), tokens


@pytest.mark.parametrize("redundancy", [0, 4])
def test_two_calls_over_udp_with_loss_and_reordering(release: Path, tmp_path: Path, redundancy: int) -> None:
    model = MODELS / "default_86.safetensors"
    codec = Codec.from_pretrained(model)
    pcm = speech_wav(tmp_path / "a.wav", codec, "FLOAT")
    soundfile.write(tmp_path / "b.wav", pcm[::-1], codec.sample_rate, subtype="FLOAT")
    says = {"A": pcm, "B": pcm[::-1]}
    said = run(
        release / "examples" / "secousti_udp_call", model, tmp_path / "a.wav", tmp_path / "b.wav",
        tmp_path / "heard_by_a.wav", tmp_path / "heard_by_b.wav", "loss=0.2", "jitter=60",
        f"redundancy={redundancy}", "seed=3",
    )  # fmt: skip
    for end, other in (("A", "B"), ("B", "A")):
        lines = [line.split()[1:] for line in said.splitlines() if line.startswith(f"{end} ")]
        expected, tokens = replay(codec, lines)
        result = heard(tmp_path / f"heard_by_{end.lower()}.wav")
        assert np.array_equal(result[: len(expected)], as_int16(expected)[: len(result)])
        assert np.abs(result).max() > 1000

        sent = codec.encoder().push(np.pad(np.ascontiguousarray(says[other]), (0, 2 * codec.sample_rate)))
        for part in tokens:
            # The stream may begin some tokens late, if its first packets are lost; then everything is in place.
            got = np.array(part, np.int64)
            ends = range(len(sent) - len(got) + 1)
            assert any(np.all((got == -1) | (got == sent[first : first + len(got)])) for first in ends), "out of order"
        lost = float(np.mean(np.concatenate(tokens)[: len(says[other]) // codec.frame_size] == -1))
        counts = next(dict(zip(line[::2], map(int, line[1::2]), strict=True)) for line in lines if line[0] == "packets")
        assert counts["damaged"] == counts["stray"] == 0
        assert counts["tokens"] > 100
        if redundancy:
            assert counts["recovered"] > 0
        else:
            assert counts["recovered"] == 0
            assert lost > 0.05
        assert any(line[0] == "voice" for line in lines)
    dropped = re.findall(r"network lost (\d+) of (\d+) packets", said)
    assert all(0.05 < int(lost) / int(total) < 0.4 for lost, total in dropped), dropped


def test_a_host_that_loads_the_library_while_it_runs(release: Path, tmp_path: Path) -> None:
    model = MODELS / "default_21.safetensors"
    codec = Codec.from_pretrained(model)
    pcm = speech_wav(tmp_path / "in.wav", codec, "FLOAT")
    host = release / "examples" / "secousti_dlopen_host"
    needed = run("objdump", "-p", host)
    assert "libsecousti" not in needed and "libstdc++" not in needed
    said = run(host, release / "libsecousti.so", model, tmp_path / "in.wav")
    assert [int(line) for line in said.split()] == codec.encode(pcm).tokens.tolist()
    result = subprocess.run(
        [host, "libc.so.6", model, tmp_path / "in.wav"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "has no secousti_abi_version" in result.stderr


@pytest.mark.skipif(shutil.which("applyplugin") is None, reason="needs applyplugin (Debian: ladspa-sdk)")
def test_ladspa_plugin_in_a_real_host(release: Path, tmp_path: Path) -> None:
    plugin = release / "examples" / "secousti_ladspa.so"
    symbols = run("nm", "-D", "--defined-only", plugin).split("\n")
    assert [line.split()[-1] for line in symbols if line] == ["ladspa_descriptor"]
    assert '"secousti"' in run("analyseplugin", plugin)
    codec = Codec.from_pretrained(MODELS / "default_86.safetensors")
    pcm = speech_wav(tmp_path / "in.wav", codec, "PCM_16")
    run("applyplugin", tmp_path / "in.wav", tmp_path / "out.wav", plugin, "secousti")
    out = heard(tmp_path / "out.wav")
    delay = codec.latency.total_samples
    # applyplugin takes 32768 for full scale one way, and may end within a block.
    expected = live(codec, pcm, 1024)[: len(out) - delay]
    assert len(out) >= len(pcm) - 1
    assert not out[:delay].any()
    assert np.abs(expected).max() > 0.05
    assert np.abs(out[delay : delay + len(expected)] / 32768.0 - expected).max() < 4 / 32768

    soundfile.write(tmp_path / "fast.wav", pcm, 44100, subtype="PCM_16")  # the plug-in refuses another rate
    result = subprocess.run(
        ["applyplugin", tmp_path / "fast.wav", tmp_path / "none.wav", plugin, "secousti"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode != 0


@pytest.fixture(scope="module")
def prefix(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prefix")
    run(tool("cmake"), "--install", release, "--prefix", folder)
    return folder


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="needs pkg-config")
def test_pkg_config_serves_a_c_compiler(prefix: Path, tmp_path: Path) -> None:
    (description,) = prefix.rglob("secousti.pc")
    moved = tmp_path / "moved"  # an installed tree may be moved
    shutil.copytree(prefix, moved, symlinks=True)
    folder = moved / description.relative_to(prefix).parent

    def flags(*wanted: str) -> list[str]:
        return run("pkg-config", *wanted, "secousti", env={"PKG_CONFIG_PATH": str(folder)}).split()

    assert flags("--modversion") == [secousti_native.__version__]
    source = ROOT / "tests" / "downstream" / "host.c"
    library = folder.parent
    compile_host = ["cc", "-std=c99", source]
    run(*compile_host, "-o", tmp_path / "shared", *flags("--cflags", "--libs"), f"-Wl,-rpath,{library}")
    assert "libsecousti.so" in run("ldd", tmp_path / "shared")
    private = [flag for flag in flags("--libs", "--static") if flag != "-lsecousti"]
    run(*compile_host, "-o", tmp_path / "static", *flags("--cflags"), library / "libsecousti.a", *private)
    assert "libsecousti" not in run("ldd", tmp_path / "static")
    for host in ("shared", "static"):
        said = run(tmp_path / host, MODELS / "default_86.safetensors").split()
        assert said == [secousti_native.__version__, "86", "256"]


def test_a_model_linked_into_a_host(prefix: Path, tmp_path: Path) -> None:
    model = MODELS / "default_21.safetensors"
    folder = build(
        tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}", f"-DMODEL={model}", "-DCMAKE_BUILD_TYPE=Release",
        source=ROOT / "tests" / "downstream",
    )  # fmt: skip
    host = tmp_path / "host"
    shutil.copy(folder / "host_linked", host)
    assert host.stat().st_size > model.stat().st_size
    codec = Codec.from_pretrained(model)
    assert run(host).split() == [codec.name, f"{codec.identity:016x}"]
    result = subprocess.run(
        [tool("cmake"), "-S", ROOT / "tests" / "downstream", "-B", tmp_path / "none", f"-DCMAKE_PREFIX_PATH={prefix}",
         "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}", f"-DMODEL={tmp_path / 'none.safetensors'}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode != 0
    assert "there is no file" in result.stderr


@pytest.mark.skipif(shutil.which("doxygen") is None, reason="needs doxygen")
def test_every_public_name_is_documented(tmp_path: Path) -> None:
    def doxygen(include: Path) -> subprocess.CompletedProcess[str]:
        settings = (ROOT / "docs" / "Doxyfile").read_text() + f"\nOUTPUT_DIRECTORY = {tmp_path}\nINPUT = {include}\n"
        return subprocess.run(["doxygen", "-"], input=settings, capture_output=True, text=True, check=False, cwd=ROOT)

    result = doxygen(ROOT / "csrc" / "include")
    assert result.returncode == 0, result.stderr
    include = tmp_path / "include"
    shutil.copytree(ROOT / "csrc" / "include", include)
    header = include / "secousti_live.h"
    topic = "/** @defgroup voice"
    header.write_text(header.read_text().replace(topic, f"int secousti_unsaid(int value);\n\n{topic}"))
    result = doxygen(include)
    assert result.returncode != 0
    assert "secousti_unsaid" in result.stderr
