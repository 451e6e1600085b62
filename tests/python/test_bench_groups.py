"""`secousti bench --groups` measures what it says. Times are never judged."""

from __future__ import annotations

import math

import pytest

from secousti_native import Codec, bench, bench_groups


def test_rows_of_groups(codec21: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_groups, "_LARGEST", 4)
    monkeypatch.setattr(bench_groups, "_SIZES", (2,))
    rows = list(bench_groups.group_rows(codec21, 0.05))
    assert [row["stage"] for row in rows] == [
        "group of 2, full duplex to mel",
        "most in real time, full duplex to mel",
        "group of 2, full duplex to PCM",
        "most in real time, full duplex to PCM",
    ]
    for row in rows:
        assert 0 < row["p50_ms"] <= row["p99_ms"] < math.inf
        assert 0 < row["floor_ms"] < math.inf
        assert row["audio_ms"] == pytest.approx(1e3 / codec21.frame_rate, abs=0.01)
    assert [row["streams"] for row in rows[::2]] == [2, 2]


@pytest.mark.parametrize(
    ("milliseconds", "limit", "expected"), [(1.0, 500, 46), (1.0, 30, 30), (30.0, 500, 1), (80.0, 500, 1)]
)
def test_the_largest_group_in_real_time(milliseconds: float, limit: int, expected: int) -> None:
    # Each stream costs the same here, and a step stands for 46.5 ms.
    asked: list[int] = []

    def row(size: int) -> bench.Row:
        asked.append(size)
        return {"streams": size, "audio_ms": 46.5, "p50_ms": milliseconds * size}

    assert bench_groups._largest(row, limit)["streams"] == expected
    assert len(asked) <= 6


def test_floor_grows_with_the_group(codec21: Codec) -> None:
    # By bytes of keys and values or by operations, 50 times as many streams need at least twice as long.
    assert bench_groups._floor(codec21, 100) > 2 * bench_groups._floor(codec21, 2) > 0
