"""The C++ side: its tests on every instruction set and under sanitizers, the example host, an installed package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import wave
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

import secousti_native
from builds import BUILDS, NEON_TOOLS, ROOT, build, neon, run, shared, tool
from secousti_native import Codec

MODELS = Path(secousti_native.__file__).parent / "assets"
#: Tests of streams that an emulated device can bear.
ON_DEVICE = "cuda or chunks and not property or empty or lags or interleaved or clone or failed"
SPEECH = ROOT / "tests" / "data" / "speech.flac"


def passed(output: str) -> int:
    """Tests that passed, from the closing line of secousti_tests."""
    match = re.search(r"^(\d+) passed, 0 failed$", output, re.MULTILINE)
    assert match is not None, output[-4000:]
    return int(match.group(1))


def all_pass(program: Path, env: dict[str, str] | None = None, without: tuple[str, ...] = ()) -> int:
    """Runs every test of a program whose name holds none of `without`, one on each core; returns their number."""
    names = [name for name in run(program, "--list").split() if not any(part in name for part in without)]
    assert len(names) == len(set(names))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        assert all(count == 1 for count in pool.map(lambda name: passed(run(program, name, env=env)), names))
    return len(names)


@pytest.fixture(scope="session")
def release() -> Path:
    return shared("release")


@pytest.fixture(scope="session")
def sanitized() -> Path:
    return shared("sanitized")


def test_every_source_is_compiled_once(release: Path) -> None:
    commands = json.loads((release / "compile_commands.json").read_text(encoding="utf-8"))
    files = Counter(command["file"] for command in commands)
    assert len(files) > 100
    assert [file for file, count in files.items() if count > 1] == []


def test_cpp_tests_pass_on_every_isa(release: Path) -> None:
    tests = release / "tests" / "cpp" / "secousti_tests"
    isas = secousti_native._core.available_isas().split(",")
    assert isas[-1] == "scalar"
    assert all_pass(tests, {"SECOUSTI_ISA": isas[0]}) > 150
    for isa in isas[1:]:
        if isa.startswith("avx512"):  # its table shares all but a few products with the first; kernels ran for each
            assert passed(run(tests, "bit_for_bit", "reduced_precision", "hift", env={"SECOUSTI_ISA": isa})) > 10
            continue
        # These go through all instruction sets by themselves.
        done = ("every_isa", "every_backend", "every_allocation", "narrow_convolutions")
        assert all_pass(tests, {"SECOUSTI_ISA": isa}, without=done) > 150, isa


def test_cpp_tests_pass_under_sanitizers(sanitized: Path) -> None:
    options = {"ASAN_OPTIONS": "detect_stack_use_after_return=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    # Kernels run on every instruction set here, groups on the fastest: what is left out is long, not other code.
    done = ("groups_of_every_isa", "groups_larger_than_a_pass")
    assert all_pass(sanitized / "tests" / "cpp" / "secousti_tests", options, without=done) > 150


def test_cuda_kernels_and_engine_pass_in_the_emulator(release: Path) -> None:
    for program in ("secousti_simt_tests", "secousti_simt_engine_tests"):
        assert all_pass(release / "tests" / "simt" / program) > 5, program


def test_python_streams_pass_in_the_emulator(release: Path, tmp_path: Path) -> None:
    package = tmp_path / "secousti_native"
    shutil.copytree(ROOT / "python" / "secousti_native", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (module,) = (release / "tests" / "simt" / "python").glob("_core*")
    shutil.copy(module, package)
    environment = {"PYTHONPATH": str(tmp_path), "SECOUSTI_TEST_DEVICE": "cuda"}
    output = run(
        sys.executable, "-m", "pytest", "-q", "-n", str(os.cpu_count() or 1), "-p", "no:cacheprovider",
        "--rootdir", ROOT, ROOT / "tests/python/test_cuda.py", ROOT / "tests/python/test_streams.py", "-k", ON_DEVICE,
        env=environment,
    )  # fmt: skip
    match = re.search(r"(\d+) passed", output)
    assert match is not None
    assert int(match.group(1)) > 30
    assert "skipped" not in output


def configured(cmake: str, folder: Path, cuda: str, capabilities: str = "") -> str:
    """What `cmake` says of the CUDA backend on a machine whose GPUs have these compute capabilities."""
    smi = folder / "bin" / "nvidia-smi"
    smi.parent.mkdir(parents=True, exist_ok=True)
    smi.write_text(f"#!/bin/sh\n[ -n '{capabilities}' ] || exit 9\nprintf '{capabilities}'\n")
    smi.chmod(0o755)
    output = run(
        cmake, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}", f"-DSECOUSTI_CUDA={cuda}",
        "-DSECOUSTI_BUILD_TESTS=OFF", "-DSECOUSTI_BUILD_EXAMPLES=OFF", "-S", ROOT, "-B", tempfile.mkdtemp(dir=folder),
        env={"PATH": f"{smi.parent}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    match = re.search(r"CUDA backend: (.*)", output)
    assert match is not None, output
    return match.group(1)


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
def test_cmake_of_environment_and_system_configure_cuda(tmp_path: Path) -> None:
    system = shutil.which("cmake", path="/usr/bin:/usr/local/bin")
    for cmake in {tool("cmake"), system or tool("cmake")}:
        assert configured(cmake, tmp_path, "ON") == "ON, for 80;90a-real", cmake
    assert configured(tool("cmake"), tmp_path, "AUTO", r"9.0\n8.6\n9.0\n7.5\n") == "ON, for 90a-real;86-real"


def test_cuda_is_not_built_without_a_gpu(tmp_path: Path) -> None:
    assert configured(tool("cmake"), tmp_path, "AUTO") == "OFF"
    assert configured(tool("cmake"), tmp_path, "AUTO", r"7.5\n") == "OFF"


@pytest.mark.skipif(not all(map(shutil.which, NEON_TOOLS)), reason=f"needs {' and '.join(NEON_TOOLS)}")
def test_neon_kernels_pass_under_qemu() -> None:
    assert passed(neon()) > 40

    # The dot product is taken where the processor has it, and only there: asking for what is not says what is.
    tests = BUILDS / "neon" / "tests" / "cpp" / "secousti_kernel_tests"
    for processor, isa, others in (
        ("cortex-a76", "none", "neondot, neon, scalar"),
        ("cortex-a57", "neondot", "neon, scalar (built in, but not supported here: neondot)"),
    ):
        emulated = ("qemu-aarch64", "-cpu", processor, tests)
        assert passed(run(*emulated, "tables_are_complete", "environment_forces", "int8_products_are_exact")) == 3
        refused = subprocess.run(
            [*emulated, "the_chosen_table_runs"],
            capture_output=True, text=True, check=False, env={**os.environ, "SECOUSTI_ISA": isa},
        )  # fmt: skip
        assert refused.returncode == 1
        assert f"instruction set '{isa}' is not available; this processor runs: {others}\n" in refused.stdout


def speech_wav(path: Path, codec: Codec, subtype: str) -> np.ndarray:
    """The repository's speech as a mono WAV file at the codec's rate; returns what the file holds."""
    audio, rate = soundfile.read(SPEECH, dtype="float32")
    prepared = secousti_native.audio.resample(audio[: 4 * rate], rate, codec.sample_rate)
    soundfile.write(path, prepared, codec.sample_rate, subtype=subtype)
    return soundfile.read(path, dtype="float32")[0]


@pytest.mark.parametrize("model", ["default_86", "default_21"])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_file_codec_gives_what_python_gives(release: Path, tmp_path: Path, model: str, subtype: str) -> None:
    file = MODELS / f"{model}.safetensors"
    codec = Codec.from_pretrained(file)
    pcm = speech_wav(tmp_path / "in.wav", codec, subtype)
    encoded = codec.encode(pcm)
    expected = codec.decode(encoded)

    host = release / "examples" / "secousti_file_codec"
    said = run(host, file, tmp_path / "in.wav", tmp_path / "out.wav")
    assert said == f"{len(pcm)} samples, {len(encoded.tokens)} tokens\n"
    with wave.open(str(tmp_path / "out.wav")) as out:
        assert (out.getframerate(), out.getnchannels(), out.getsampwidth()) == (codec.sample_rate, 1, 2)
        decoded = np.frombuffer(out.readframes(out.getnframes()), np.int16)
    assert len(decoded) == len(pcm)
    assert np.array_equal(decoded, np.rint(np.clip(expected, -1, 1) * np.float32(32767)).astype(np.int16))
    assert np.abs(decoded).max() > 1000


def test_file_codec_refuses_what_it_cannot_read(release: Path, tmp_path: Path) -> None:
    host = release / "examples" / "secousti_file_codec"
    model = MODELS / "default_86.safetensors"
    good = tmp_path / "good.wav"
    soundfile.write(good, np.zeros(3000, np.float32), 22050, subtype="PCM_16")
    soundfile.write(tmp_path / "rate.wav", np.zeros(3000, np.float32), 16000, subtype="PCM_16")
    soundfile.write(tmp_path / "stereo.wav", np.zeros((3000, 2), np.float32), 22050, subtype="PCM_16")
    (tmp_path / "text.wav").write_text("this is no WAV file, although it is long enough for a header of one")
    (tmp_path / "cut.wav").write_bytes(good.read_bytes()[:30])
    out = tmp_path / "out.wav"
    cases = [
        ((tmp_path / "none.safetensors", good, out), "none.safetensors"),
        ((good, good, out), "good.wav"),
        ((model, tmp_path / "none.wav", out), "cannot read"),
        ((model, tmp_path / "text.wav", out), "no WAV file"),
        ((model, tmp_path / "cut.wav", out), "cut short"),
        ((model, tmp_path / "rate.wav", out), "22050"),
        ((model, tmp_path / "stereo.wav", out), "mono"),
        ((model, good, tmp_path / "no" / "folder.wav"), "cannot write"),
        ((model,), "usage"),
    ]
    for arguments, message in cases:
        result = subprocess.run([host, *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == 1, arguments
        assert message in result.stderr, result.stderr
        assert not out.exists()


def test_installed_package_serves_a_downstream_project(release: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    run(tool("cmake"), "--install", release, "--prefix", prefix)
    host = build(
        tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release",
        source=ROOT / "tests" / "downstream",
    )  # fmt: skip
    version = secousti_native.__version__
    for model, tokens, frame in (("default_86", 86, 256), ("default_21", 22, 1024)):  # one second
        file = MODELS / f"{model}.safetensors"
        assert run(host / "host_cpp", file).split() == [version, str(tokens), str(tokens * frame)]
        assert run(host / "host_c", file).split() == [version, str(tokens), str(frame)]


def test_shared_library_exports_the_interface_alone(release: Path) -> None:
    (library,) = (path for path in release.glob("libsecousti.so.*") if not path.is_symlink())
    symbols = {line.split()[-1] for line in run("nm", "-D", "--defined-only", library).splitlines()}
    headers = "".join(path.read_text() for path in (ROOT / "csrc" / "include").glob("*.h"))
    declared = set(re.findall(r"\b(secousti_\w+)\s*\(", headers))
    assert symbols == declared
