"""`secousti bench` measures what it says. Times are never judged."""

from __future__ import annotations

import json
import math

import pytest
from typer.testing import CliRunner

from secousti_native import Codec, bench
from secousti_native.cli.app import app

STAGES = {"encode", "decode to mel", "full duplex", "encode mel offline", "decode to mel offline"}


def check(row: bench.Row) -> None:
    assert 0 < row["p50_ms"] <= row["p99_ms"] < math.inf
    # The factor comes from unrounded seconds.
    assert row["real_time_factor"] == pytest.approx(row["p50_ms"] / row["audio_ms"], abs=2e-3, rel=0.05)


def test_every_stage_is_measured() -> None:
    result = CliRunner().invoke(app, ["bench", "default-21", "--seconds", "0.1", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    rows = report["rows"]
    stages = {row["stage"] for row in rows}
    assert stages > STAGES
    assert {f"vocoder spectral, {n} mel frames" for n in (4, 16)} < stages
    for row in rows:
        check(row)
    floors = {row["stage"]: row["floor_ms"] for row in rows if "floor_ms" in row}
    assert set(floors) == {"encode", "decode to mel"}
    assert all(floor > 0 for floor in floors.values())
    assert report["machine"]["threads"] == 1


def test_step_bytes_of_a_hand_computed_case() -> None:
    config = {"dimension": 4, "feedforward": 10, "context": 3, "layers": {"a": 2, "b": 1}}
    # A layer: projections 4 * 4 * 4, feed-forward 2 * 4 * 10, rings 2 * 3 * 4; four bytes each.
    assert bench.step_bytes(config, ("a", "b")) == 3 * 4 * (64 + 80 + 24)
    assert bench.step_bytes(config, ("b",)) == 4 * (64 + 80 + 24)


def test_baselines_stand_beside_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda module: module)  # compiling takes most of a minute
    rows = bench.torch_rows(Codec.from_pretrained("default-21"), 1, 0.1)
    assert [(row["stage"], row["engine"]) for row in rows] == [
        (stage, engine) for engine in ("torch eager", "torch.compile") for stage in ("encode", "decode to mel")
    ]
    for row in rows:
        check(row)
