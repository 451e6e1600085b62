"""What README.md shows is true: its Python example and its commands; and the latency table of the guide."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from secousti_native import Codec

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LIVE = (ROOT / "docs" / "guide" / "live.md").read_text(encoding="utf-8")


def latency_rows(spectral: Codec, hift: Codec) -> list[str]:
    """The table's rows for one rate, from what the engine reports."""
    names = {0: "look-ahead 0", 1: "look-ahead 1 (default)", 3: "look-ahead 3"}
    voice = np.zeros(spectral.dimension, np.float32)
    decoders = [(f"`spectral`, {name}", spectral.decoder(voice, look_ahead=n)) for n, name in names.items()]
    decoders.append(("`hift`, published sizes", hift.decoder(np.zeros(hift.dimension, np.float32))))
    assert spectral.info["vocoder_look_ahead"] == 1
    assert spectral.latency.encoder_samples == hift.latency.encoder_samples
    rows = []
    for name, decoder in decoders:
        wait, delay = (1000.0 * n / spectral.sample_rate for n in (spectral.latency.encoder_samples, decoder.latency))
        rows.append(
            f"| {spectral.frame_rate:.1f} Hz | {name} | {wait:.1f} ms | {delay:.1f} ms | {wait + delay:.1f} ms |"
        )
    return rows


def test_latency_table(codec: Codec, codec21: Codec, published_86: Codec, published_21: Codec) -> None:
    computed = [*latency_rows(codec, published_86), *latency_rows(codec21, published_21)]
    shown = [line for line in LIVE.splitlines() if re.match(r"\| \d.* ms \|$", line)]
    assert shown == computed


def test_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example, _ = re.findall(r"```python\n(.+?)```", README, re.DOTALL)  # the other is tried in test_hub.py
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests" / "data").mkdir(parents=True)
    (tmp_path / "tests" / "data" / "speech.flac").symlink_to(ROOT / "tests" / "data" / "speech.flac")
    scope: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), scope)
    assert (tmp_path / "speech.sec").stat().st_size > 0
    decoded, parts, codec = scope["decoded"], scope["parts"], scope["codec"]
    assert isinstance(decoded, np.ndarray)
    assert isinstance(parts, list)
    assert isinstance(codec, Codec)
    assert len(decoded) == scope["encoded"].num_samples  # type: ignore[attr-defined]
    assert abs(len(np.concatenate(parts)) - len(decoded)) < codec.frame_size


def test_commands_exist() -> None:
    from typer.main import get_command

    from secousti_native.cli.app import app

    command = get_command(app)
    known = {name: {o for p in sub.params for o in p.opts} for name, sub in command.commands.items()}  # type: ignore[attr-defined]
    lines = [line for line in README.splitlines() if re.search(r"(^|[/|] ?|bin/)secousti [a-z]", line)]
    assert len(lines) >= 7
    for line in lines:
        words = shlex.split(line.split("#")[0].split("secousti ", 1)[1].split(">")[0])
        assert words[0] in known, line
        assert {w for w in words[1:] if w.startswith("-")} <= known[words[0]], line
