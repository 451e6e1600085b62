"""`bench/speed/cpu/tables.py`: what a report says is what the document shows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "bench").is_dir(), reason="the installed package has no bench/")


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return load_script("bench/speed/cpu/tables.py")


def row(stage: str, precision: str, p50: float, **more: Any) -> dict[str, Any]:
    return {
        "model": "published", "stage": stage, "engine": "native", "precision": precision, "audio_ms": 11.61,
        "p50_ms": p50, "p99_ms": 2 * p50, "real_time_factor": p50 / 11.61, **more,
    }  # fmt: skip


@pytest.fixture
def report() -> dict[str, Any]:
    sizes = {"weights_mb": 140.4, "open_ms": 300.0, "encoder_stream_mb": 4.4, "decoder_stream_mb": 9.1}
    return {
        "machine": {
            "processor": "P", "isa": "i", "cores": 2, "threads": 1, "system": "s", "version": "1", "date": "2000-01-01",
            "peak_gops": {"fp32": 256, "int8": 979}, "read_gb_s": 39.5,
        },
        "models": [
            {"model": "published", "precision": precision, "vocoder": "hift", "token_rate": 86.13, **sizes,
             "lone_encoder_mb": 6.2, "lone_decoder_mb": lone}
            for precision, lone in (("fp32", 21.0), ("int8", 9.99))
        ],
        "opening": [{"file": "a.safetensors", "precision": "int8", "parameters": 103_000_000, "open_ms": 49.5}],
        "rows": [
            row("encode", "fp32", 2.41, floor_ms=2.1),  # as older reports have it
            row("encode", "int8", 0.549, roofline_ms=0.4),
            row("full duplex", "int8", 3.4),
            row("encode 10 min of audio", "int8", 16407.3) | {"real_time_factor": 0.0273},
            {"model": "published", "stage": "encode", "engine": "torch eager", "p50_ms": 13.02, "p99_ms": 14.0,
             "audio_ms": 11.61, "real_time_factor": 1.1},
            row("group of 8, full duplex to mel", "int8", 6.9, streams=8, roofline_ms=4.9),
            row("most in real time, full duplex to mel", "int8", 11.5, streams=15, roofline_ms=7.0),
            row("most in real time, full duplex to mel", "fp32", 13.0, streams=1, roofline_ms=7.0),
        ],
    }  # fmt: skip


def filled(tables: ModuleType, name: str, *reports: dict[str, Any]) -> list[str]:
    text = f"before\n<!-- begin {name} -->\nold\n<!-- end {name} -->\nafter\n"
    result: str = tables.fill(text, tables.Report(reports))
    lines = result.splitlines()
    assert lines[:2] == ["before", f"<!-- begin {name} -->"]
    assert lines[-2:] == [f"<!-- end {name} -->", "after"]
    return lines[2:-2]


def test_steps_stand_beside_bounds_and_baselines(tables: ModuleType, report: dict[str, Any]) -> None:
    assert filled(tables, "steps", report) == [
        "**published**, p50 in ms (roofline bound)",
        "",
        "| step | fp32 | int8 | torch eager |",
        "|---|---|---|---|",
        "| encode | 2.41 (2.1) | 0.549 (0.4) | 13 |",
        "| full duplex | – | 3.4 | – |",
        "| encode 10 min of audio | – | 16 400 | – |",
    ]


def test_conditions_say_how_much_of_the_core_there_was(tables: ModuleType, report: dict[str, Any]) -> None:
    assert "the core" not in filled(tables, "conditions", report)[0]
    for measured, share in zip(report["rows"], (0.6, 1.0, 0.9), strict=False):
        measured["core_share"] = share
    assert (
        " Half of the rows had at least 90% of what the core did for the best of them, the least 60%."
        in filled(tables, "conditions", report)[0]
    )


def test_aims_are_bold_where_they_are_met(tables: ModuleType, report: dict[str, Any]) -> None:
    lines = filled(tables, "targets", report)
    assert "| encode, ms per 86 Hz frame | 2.4 / 0.55 | 2.41 | **0.549** |" in lines
    assert "| full duplex with HiFT, real-time factor | 0.3 | – | **0.293** |" in lines
    assert "| offline encode of 10 minutes, real-time factor | 0.02 | – | 0.0273 |" in lines
    assert "| memory of a lone decoder, MB | 10 | 21 | **9.99** |" in lines
    assert "| opening `a.safetensors`, ms | 50 | – | **49.5** |" in lines


def test_other_files_of_the_published_layout_have_rows_of_their_own(tables: ModuleType, report: dict[str, Any]) -> None:
    report["models"].append(report["models"][0] | {"model": "half"})
    report["rows"].append(row("encode", "fp32", 2.0) | {"model": "half"})
    lines = filled(tables, "targets", report)
    assert "| encode, ms per 86 Hz frame | 2.4 / 0.55 | 2.41 | **0.549** |" in lines
    assert "| encode, ms per 86 Hz frame, half | 2.4 / 0.55 | **2** | – |" in lines


def test_groups_that_are_too_slow_hold_no_stream(tables: ModuleType, report: dict[str, Any]) -> None:
    lines = filled(tables, "groups", report)
    assert "| published | group of 8 to mel | – | 6.9 (4.9) |" in lines
    assert "| published | streams in real time to mel | 0 | 15 |" in lines


def test_later_reports_replace_rows_and_leave_the_rest(tables: ModuleType, report: dict[str, Any]) -> None:
    later = json.loads(json.dumps(report))
    later["rows"] = [row("encode", "int8", 0.3, roofline_ms=0.2)]
    lines = filled(tables, "steps", report, later)
    assert "| encode | 2.41 (2.1) | 0.3 (0.2) | 13 |" in lines
    # Nothing is known of groups then: the document keeps what it says of them.
    assert filled(tables, "groups", later) == ["old"]


def test_latency_is_algorithmic_and_computing(tables: ModuleType, report: dict[str, Any]) -> None:
    times = {"p50": 1.0, "p99": 2.0, "max": 3.0}
    both = {"pcm_to_token": times, "token_to_pcm": {"p50": 4.0, "p99": 5.0, "max": 66.6}}
    first = {
        "model": "m", "precision": "int8", "speech_minutes": 60.0, "compute_ms": both, "total_ms": both,
        "first_packet_compute_ms": both, "algorithmic_ms": {"pcm_to_token": 11.61, "token_to_pcm": 30.0},
    }  # fmt: skip
    lines = filled(tables, "latency", {"machine": report["machine"], "latency": [first]})
    assert lines[2] == "| m | int8 | 60 | PCM to token | 11.6 | 1 / 2 / 3 | 1 / 2 / 3 | 1 / 2 / 3 |"
    assert lines[3] == "| m | int8 | 60 | token to PCM | 30 | 4 / 5 / 66.6 | 4 / 5 / 66.6 | 4 / 5 / 66.6 |"
    again = {"machine": report["machine"], "latency": [first | {"speech_minutes": 5.0}]}
    lines = filled(tables, "latency", {"machine": report["machine"], "latency": [first]}, again)
    assert len(lines) == 4
    assert lines[2].startswith("| m | int8 | 5 | PCM to token |")  # of rows that measure the same, the last


def test_the_documents_have_every_table(tables: ModuleType) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "measured").glob("*.md")))
    assert sorted(tables.sections(text)) == sorted(tables.SECTIONS)
    broken = text.replace("<!-- end steps -->", "")
    machine = {"machine": {}, "models": [], "rows": [row("encode", "int8", 1.0)]}
    with pytest.raises(ValueError, match="end steps"):
        tables.fill(broken[broken.index("<!-- begin steps") :], tables.Report([machine]))


@pytest.mark.parametrize("target", ["d.md", "."])
def test_a_command_fills_a_document_or_a_folder(
    tables: ModuleType, report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    document, source = tmp_path / "d.md", tmp_path / "r.json"
    document.write_text("<!-- begin memory -->\n<!-- end memory -->\n", encoding="utf-8")
    source.write_text(json.dumps(report), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["tables.py", str(tmp_path / target), str(source)])
    tables.main()
    assert "| published | int8 | 140 | 4.4 | 9.1 | 6.2 | 9.99 | 300 |" in document.read_text(encoding="utf-8")
