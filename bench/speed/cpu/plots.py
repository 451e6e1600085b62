"""Pictures of `secousti bench --json`: steps beside their roofline bounds and baselines, the vocoder and whole inputs.

    python bench/speed/cpu/plots.py bench/results/2026-11-22-epyc.json docs/images

Writes steps_<model>.svg and real_time_<model>.svg for each model of the report, and streams.svg if it has groups.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

Row = dict[str, Any]
STEPS = ("encode", "decode to mel")
COLOURS = {"fp32": "#4063a8", "bf16": "#3f8f6b", "int8": "#c47a2c"}


def label(row: Row) -> str:
    return str(row["precision"]) if row["engine"] == "native" else str(row["engine"])


def plot_steps(rows: list[Row], model: str, path: Path) -> None:
    """Milliseconds a step: p50 as bars, p99 as whiskers, roofline bounds as lines."""
    figure, axes = plt.subplots(1, len(STEPS), figsize=(9, 3.6), constrained_layout=True)
    for axis, stage in zip(axes, STEPS, strict=True):
        chosen = [row for row in rows if row["stage"] == stage]
        for i, row in enumerate(chosen):
            axis.bar(i, row["p50_ms"], color=COLOURS.get(label(row), "#9a9a9a"))
            axis.plot([i, i], [row["p50_ms"], row["p99_ms"]], color="black", linewidth=1)
            bound = row.get("roofline_ms", row.get("floor_ms"))  # older reports call it floor
            if bound is not None:
                axis.plot([i - 0.4, i + 0.4], [bound] * 2, color="crimson", linewidth=2)
        axis.set_xticks(range(len(chosen)), [label(row) for row in chosen], rotation=35, ha="right")
        axis.set_title(f"{stage}: {model}", fontsize=10)
        axis.set_ylabel("ms a token, one core")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def plot_real_time(rows: list[Row], model: str, path: Path) -> None:
    """Real-time factors of every stage of the engine."""
    native = [row for row in rows if row["engine"] == "native" and "streams" not in row]
    stages = list(dict.fromkeys(row["stage"] for row in native))
    precisions = list(dict.fromkeys(row["precision"] for row in native))
    figure, axis = plt.subplots(figsize=(9, 4), constrained_layout=True)
    for i, precision in enumerate(precisions):
        factors = {row["stage"]: row["real_time_factor"] for row in native if row["precision"] == precision}
        places = [place + 0.27 * (i - (len(precisions) - 1) / 2) for place in range(len(stages))]
        axis.bar(places, [factors.get(s, 0.0) for s in stages], 0.25, color=COLOURS[precision], label=precision)
    axis.set_xticks(range(len(stages)), stages, rotation=25, ha="right")
    axis.set_ylabel("real-time factor, one core")
    axis.set_title(model, fontsize=10)
    axis.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def plot_streams(rows: list[Row], path: Path) -> None:
    """How many streams of each kind one group holds in real time."""
    most = [row for row in rows if row["stage"].startswith("most in real time") and row["p50_ms"] <= row["audio_ms"]]
    kinds = list(dict.fromkeys((row["model"], row["stage"].rsplit(maxsplit=1)[-1]) for row in most))
    precisions = list(dict.fromkeys(row["precision"] for row in most))
    figure, axis = plt.subplots(figsize=(9, 4), constrained_layout=True)
    for i, precision in enumerate(precisions):
        counts = {
            (row["model"], row["stage"].rsplit(maxsplit=1)[-1]): row["streams"]
            for row in most
            if row["precision"] == precision
        }
        places = [place + 0.27 * (i - (len(precisions) - 1) / 2) for place in range(len(kinds))]
        bars = axis.bar(places, [counts.get(k, 0) for k in kinds], 0.25, color=COLOURS[precision], label=precision)
        axis.bar_label(bars, fontsize=7)
    axis.set_xticks(range(len(kinds)), [f"{model}\nto {end}" for model, end in kinds], rotation=25, ha="right")
    axis.set_yscale("log")
    axis.set_ylabel("streams in real time, one core")
    axis.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} REPORT.json FOLDER")
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    plt.rcParams["svg.hashsalt"] = "secousti"  # the same report gives the same bytes
    for model in dict.fromkeys(row["model"] for row in report["rows"]):
        rows = [row for row in report["rows"] if row["model"] == model]
        plot_steps(rows, model, folder / f"steps_{model}.svg")
        plot_real_time(rows, model, folder / f"real_time_{model}.svg")
    if any("streams" in row for row in report["rows"]):
        plot_streams(report["rows"], folder / "streams.svg")


if __name__ == "__main__":
    main()
