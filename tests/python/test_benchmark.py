"""`secousti bench` measures what it says. Times are never judged."""

from __future__ import annotations

import itertools
import json
import math
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from secousti_native import Codec
from secousti_native.benchmark import baselines, groups, roofline, run, timing
from secousti_native.benchmark.timing import Row
from secousti_native.cli.app import app

STAGES = {"encode", "decode to mel", "full duplex", "encode mel offline", "decode to mel offline"}


def check(row: Row) -> None:
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
    bounds = {row["stage"]: row["roofline_ms"] for row in rows if "roofline_ms" in row}
    assert set(bounds) == STAGES | {"encode 0.01 min of audio"}
    assert all(bound > 0 for bound in bounds.values())
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

    def record(*arguments: object) -> dict[str, object]:
        asked.extend(arguments)
        return {}

    monkeypatch.setattr(run, "run", record)
    result = CliRunner().invoke(app, ["bench", "a", "b", "--everything", "--opening", "c", "--json"])
    assert result.exit_code == 0, result.output
    assert asked == [["a", "b"], 1, 10.0, True, ("fp32", "bf16", "int8"), 10.0, True, ["c"], "cpu"]


def test_measuring_stops_when_it_has_taken_long_enough() -> None:
    steps: list[int] = []
    timed = timing.measure(steps.append, 1000, 2, 1.0, at_most=0.0)
    assert steps == list(range(10))
    assert len(timed.seconds) == 8


def test_measuring_looks_at_the_core_between_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    done = iter(range(100, 1000))
    monkeypatch.setattr(timing, "core_gops", lambda: float(next(done)))
    clock = itertools.count(0.0, 0.15)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    timed = timing.measure(lambda _: None, 6, 0, 1.0)
    assert timed.seconds == pytest.approx([0.15] * 6)
    # Before the first step, then after every second one: two of them take more than _PROBE_EVERY.
    assert timed.core_gops == [100, 101, 102, 103]
    assert timed.row("m", "s", "e")["core_gops"] == 101.5


def test_step_bytes_of_a_hand_computed_case() -> None:
    config = {"dimension": 4, "feedforward": 10, "context": 3, "layers": {"a": 2, "b": 1}}
    # A layer: projections 4 * 4 * 4, feed-forward 2 * 4 * 10, rings 2 * 3 * 4; four bytes each.
    assert roofline.step_bytes(config, ("a", "b")) == 3 * 4 * (64 + 80 + 24)
    assert roofline.step_bytes(config, ("b",)) == 4 * (64 + 80 + 24)
    assert roofline.step_bytes(config, ("b",), half_weights=True) == 2 * (64 + 80) + 4 * 24
    assert roofline.step_bytes(config, ("b",), "int8", half_weights=True) == 64 + 80 + 24


def test_work_of_a_hand_computed_case() -> None:
    config = {"dimension": 4, "feedforward": 10, "context": 3, "layers": {"a": 2}}
    assert roofline.step_multiplies(config, ("a",)) == 2 * (64 + 80 + 24)
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
    assert roofline.hift_work(hift, "int8") == (4 * pitch + sum(up) + sum(blocks), multiplies)
    assert roofline.hift_work(hift, "fp32") == (4 * (pitch + sum(up) + sum(blocks)), multiplies)


def test_onnx_runtime_stands_beside_the_engine() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rows = baselines.onnx_rows(Codec.from_pretrained("default-21"), 1, 0.1)
    engines = ("ONNX Runtime fp32", "ONNX Runtime int8")
    assert [(row["stage"], row["engine"]) for row in rows] == [
        (stage, engine) for stage in ("encode", "decode to mel") for engine in engines
    ]
    for row in rows:
        check(row)


def test_baselines_stand_beside_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch, "compile", lambda module: module)  # compiling takes most of a minute
    rows = baselines.torch_rows(Codec.from_pretrained("default-21"), 1, 0.1)
    assert [(row["stage"], row["engine"]) for row in rows] == [
        (stage, engine) for engine in ("torch eager", "torch.compile") for stage in ("encode", "decode to mel")
    ]
    for row in rows:
        check(row)


# ---- groups ----


def test_rows_of_groups(codec21: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_LARGEST", 4)
    monkeypatch.setattr(groups, "_SIZES", (2,))
    rows = list(groups.group_rows(codec21, 0.05))
    assert [row["stage"] for row in rows] == [
        "group of 2, full duplex to mel",
        "most in real time, full duplex to mel",
        "group of 2, full duplex to PCM",
        "most in real time, full duplex to PCM",
    ]
    for row in rows:
        assert 0 < row["p50_ms"] <= row["p99_ms"] < math.inf
        assert 0 < row["roofline_ms"] < math.inf
        assert row["audio_ms"] == pytest.approx(1e3 / codec21.frame_rate, abs=0.01)
    assert [row["streams"] for row in rows[::2]] == [2, 2]


@pytest.mark.parametrize(
    ("milliseconds", "limit", "expected"), [(1.0, 500, 46), (1.0, 30, 30), (30.0, 500, 1), (80.0, 500, 1)]
)
def test_the_largest_group_in_real_time(milliseconds: float, limit: int, expected: int) -> None:
    # Each stream costs the same here, and a step stands for 46.5 ms.
    asked: list[int] = []

    def row(size: int) -> Row:
        asked.append(size)
        return {"streams": size, "audio_ms": 46.5, "p50_ms": milliseconds * size}

    assert groups._largest(row, limit)["streams"] == expected
    assert len(asked) <= 6


def test_bound_grows_with_the_group(codec21: Codec) -> None:
    # By bytes of keys and values or by operations, 50 times as many streams need at least twice as long.
    assert roofline.group_bound(codec21, 100) > 2 * roofline.group_bound(codec21, 2) > 0
