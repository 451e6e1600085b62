"""`secousti bench` measures what it says. Times are never judged."""

from __future__ import annotations

import itertools
import json
import math
from types import SimpleNamespace

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
    result = CliRunner().invoke(
        app,
        ["bench", "default-21", "--seconds", "0.1", "--precision", "all", "--offline", "0.01", "--json", "--opening",
         "default-21"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    rows = report["rows"]
    stages = {row["stage"] for row in rows}
    assert stages > STAGES | {"encode 0.01 min of audio"}
    assert {row["precision"] for row in rows} == {"fp32", "bf16", "int8"}
    assert {f"vocoder spectral, {n} mel frames" for n in (4, 16)} < stages
    for row in rows:
        check(row)
        assert 0 < row["core_share"] <= 1
    floors = {row["stage"]: row["floor_ms"] for row in rows if "floor_ms" in row}
    assert set(floors) == STAGES | {"encode 0.01 min of audio"}
    assert all(floor > 0 for floor in floors.values())
    assert report["machine"]["threads"] == 1
    peaks = report["machine"]["peak_gops"]
    assert all(1 < peaks[name] < 1e5 for name in ("fp32", "bf16", "int8"))
    weights = [row["weights_mb"] for row in report["models"]]
    assert len(weights) == 3 and weights[0] == weights[1] > weights[2] > 0  # the file holds float16
    for row in report["models"]:
        assert row["open_ms"] > 0
        assert row["lone_encoder_mb"] > row["encoder_stream_mb"] > 0
        assert row["lone_decoder_mb"] > row["decoder_stream_mb"] > 0
        assert row["vocoder"] == "spectral"
        assert row["token_rate"] == 21.53
    assert [row["precision"] for row in report["opening"]] == ["fp32", "bf16", "int8"]
    assert all(row["file"] == "default-21" and row["open_ms"] > 0 for row in report["opening"])
    assert report["minutes"] > 0


def test_everything_asks_for_every_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def run(*arguments: object) -> dict[str, object]:
        asked.extend(arguments)
        return {}

    monkeypatch.setattr(bench, "run", run)
    result = CliRunner().invoke(app, ["bench", "a", "b", "--everything", "--opening", "c", "--json"])
    assert result.exit_code == 0, result.output
    assert asked == [["a", "b"], 1, 10.0, True, ("fp32", "bf16", "int8"), 10.0, True, ["c"]]


def test_measuring_stops_when_it_has_taken_long_enough() -> None:
    steps: list[int] = []
    timing = bench.measure(steps.append, 1000, 2, 1.0, at_most=0.0)
    assert steps == list(range(10))
    assert len(timing.seconds) == 8


def test_measuring_looks_at_the_core_between_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    done = iter(range(100, 1000))
    monkeypatch.setattr(bench, "_core_gops", lambda: float(next(done)))
    clock = itertools.count(0.0, 0.15)
    monkeypatch.setattr(bench, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    timing = bench.measure(lambda _: None, 6, 0, 1.0)
    assert timing.seconds == pytest.approx([0.15] * 6)
    # Before the first step, then after every second one: two of them take more than _PROBE_EVERY.
    assert timing.core_gops == [100, 101, 102, 103]
    assert timing.row("m", "s", "e")["core_gops"] == 101.5


def test_step_bytes_of_a_hand_computed_case() -> None:
    config = {"dimension": 4, "feedforward": 10, "context": 3, "layers": {"a": 2, "b": 1}}
    # A layer: projections 4 * 4 * 4, feed-forward 2 * 4 * 10, rings 2 * 3 * 4; four bytes each.
    assert bench.step_bytes(config, ("a", "b")) == 3 * 4 * (64 + 80 + 24)
    assert bench.step_bytes(config, ("b",)) == 4 * (64 + 80 + 24)
    assert bench.step_bytes(config, ("b",), half_weights=True) == 2 * (64 + 80) + 4 * 24
    assert bench.step_bytes(config, ("b",), "int8", half_weights=True) == 64 + 80 + 24


def test_work_of_a_hand_computed_case() -> None:
    config = {"dimension": 4, "feedforward": 10, "context": 3, "layers": {"a": 2}}
    assert bench.step_multiplies(config, ("a",)) == 2 * (64 + 80 + 24)
    hift = {
        "n_mels": 5,
        "vocoder": {
            "channels": 8, "upsample_rates": [2, 4], "upsample_kernels": [4, 8], "resblock_kernels": [3, 5, 7],
            "resblock_dilations": [1, 3], "source_resblock_kernels": [3, 1], "f0_channels": 6, "f0_layers": 2,
            "f0_kernel": 3,
        },
    }  # fmt: skip
    pitch = 3 * (5 * 6 + 6 * 6)
    up, blocks = (8 * 4 * 4, 4 * 2 * 8), (4 * 18 * 16, 4 * 16 * 4)
    multiplies = pitch + up[0] + 2 * blocks[0] + 2 * up[1] + 8 * blocks[1]
    assert bench.hift_work(hift, "int8") == (4 * pitch + sum(up) + sum(blocks), multiplies)
    assert bench.hift_work(hift, "fp32") == (4 * (pitch + sum(up) + sum(blocks)), multiplies)


def test_onnx_runtime_stands_beside_the_engine() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rows = bench.onnx_rows(Codec.from_pretrained("default-21"), 1, 0.1)
    engines = ("ONNX Runtime fp32", "ONNX Runtime int8")
    assert [(row["stage"], row["engine"]) for row in rows] == [
        (stage, engine) for stage in ("encode", "decode to mel") for engine in engines
    ]
    for row in rows:
        check(row)


def test_baselines_stand_beside_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda module: module)  # compiling takes most of a minute
    rows = bench.torch_rows(Codec.from_pretrained("default-21"), 1, 0.1)
    assert [(row["stage"], row["engine"]) for row in rows] == [
        (stage, engine) for engine in ("torch eager", "torch.compile") for stage in ("encode", "decode to mel")
    ]
    for row in rows:
        check(row)
