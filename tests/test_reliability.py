"""What docs/measured/reliability.md promises, in short: fuzz targets, the real-time proof, soaks, data races.

Each test is the short form of a command that the document names with its long one.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from builds import BUILDS, ROOT, run, shared
from test_cpp import MODELS, passed, release, sanitized

CORPUS = ROOT / "tests" / "fuzz" / "corpus"


__all__ = ["release", "sanitized"]  # fixtures


def test_fuzz_targets(sanitized: Path, tmp_path: Path) -> None:
    program = sanitized / "tests" / "fuzz" / "secousti_fuzz"
    targets = run(program, "--list").split()
    assert sorted(targets) == sorted(folder.name for folder in CORPUS.iterdir())
    for target in targets:
        result = subprocess.run(
            [program, target, "--seconds", "1.5", CORPUS / target],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, f"{target}: {result.stdout}{result.stderr[-6000:]}\nrepeat with the seed above"
        inputs = re.search(r": (\d+) inputs, (\d+) of them seeds", result.stdout)
        assert inputs is not None
        assert int(inputs.group(1)) > int(inputs.group(2)) >= 2


def test_no_memory_lock_or_system_call_in_a_step(release: Path) -> None:
    program = release / "tests" / "reliability" / "secousti_realtime"
    if not program.exists():
        pytest.skip("built on Linux for x86-64 and AArch64 only")
    result = subprocess.run(
        [program, "proof", *sorted(MODELS.glob("*.safetensors"))], capture_output=True, text=True, check=False
    )
    if result.returncode == 2:
        pytest.skip(f"this system lets no seccomp filter in: {result.stdout}")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("ok ") == 9 * (5 + len(list(MODELS.glob("*.safetensors"))))


def test_soak(release: Path) -> None:
    program = release / "tests" / "reliability" / "secousti_soak"
    assert "0.10 hours: 7743 tokens" in run(program, "calls", MODELS / "default_21.safetensors", "0.1")
    assert "200 cycles" in run(program, "cycles", MODELS / "default_86.safetensors", "200")
    assert "all as alone" in run(program, "streams", MODELS / "default_86.safetensors", "400")


def test_a_missing_model_is_an_error_of_one_line(release: Path, tmp_path: Path) -> None:
    for program, arguments in (("soak", ["cycles"]), ("realtime", ["worst"]), ("realtime", ["proof"])):
        path = release / "tests" / "reliability" / f"secousti_{program}"
        if not path.exists():
            continue
        result = subprocess.run(
            [path, *arguments, tmp_path / "none.safetensors"], capture_output=True, text=True, check=False
        )
        if result.returncode == 2:
            continue  # no seccomp filter: said before a model is read
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        assert "none.safetensors" in result.stderr


def test_no_data_races() -> None:
    """Eight threads on one model, thread pools, groups: under ThreadSanitizer."""
    folder = shared("raced")
    output = run(
        folder / "tests" / "cpp" / "secousti_tests",
        "thread_pool", "threads_share_a_model", "more_threads", "steps_of_groups", "signals", "cut_short",
        env={"TSAN_OPTIONS": "halt_on_error=1"},
    )  # fmt: skip
    assert passed(output) == 6


def test_presets_name_the_sanitizers() -> None:
    presets = json.loads((ROOT / "CMakePresets.json").read_text(encoding="utf-8"))
    sanitizers = {p["name"]: p["cacheVariables"].get("SECOUSTI_SANITIZE") for p in presets["configurePresets"]}
    assert sanitizers["asan"] == "address"
    assert sanitizers["ubsan"] == "undefined,float-cast-overflow,float-divide-by-zero"
    assert sanitizers["tsan"] == "thread"
    assert sanitizers["fuzz"] == "address,undefined"
    assert BUILDS.is_relative_to(ROOT)
