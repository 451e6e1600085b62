"""Pictures of a report. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secousti_native._optional import require
from secousti_native.evaluation.report import Document, present

_ENDS = ("mean", "low", "high")
_AGAINST_RATE = {"pesq_wb", "stoi", "lsd", "mel_l1", "dnsmos", "similarity", "wer"}


def draw(report: Document, folder: Path) -> list[Path]:
    """Writes ``quality.png`` (each figure over the bit rate) and ``tokens.png`` (how often each token occurs)."""
    figures = {"quality.png": _quality(report), "tokens.png": _tokens(report)}
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in figures.items():
        if figure is not None:
            figure.savefig(folder / name, dpi=120)
            written.append(folder / name)
    return written


def _figure(rows: int, columns: int) -> Any:
    figures = require("matplotlib.figure", "plots", "matplotlib")
    return figures.Figure(figsize=(5.5 * columns, 4.0 * rows), layout="constrained")


def _quality(report: Document) -> Any:
    """One panel a figure; systems without a bit rate are horizontal lines."""
    shown = [column for column in present(report, "systems") if column.key in _AGAINST_RATE]
    if not shown:
        return None
    width = min(3, len(shown))
    figure = _figure(-(-len(shown) // width), width)
    for i, column in enumerate(shown):
        axes = figure.add_subplot(-(-len(shown) // width), width, i + 1)
        axes.set(title=column.title, xlabel="bit/s, tokens or packets alone")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:.0f}")
        for j, row in enumerate(report["systems"]):
            score, rate = row["scores"].get(column.key), row["scores"].get("bit_rate")
            if score is None:
                continue
            mean, low, high = (column.factor * (score["mean"] if score[k] is None else score[k]) for k in _ENDS)
            if rate is None:
                axes.axhline(mean, color=f"C{j}", linestyle="--", label=row["system"])
            else:
                error = [[max(0.0, mean - low)], [max(0.0, high - mean)]]
                axes.errorbar([rate["mean"]], [mean], error, fmt="o", color=f"C{j}", capsize=3, label=row["system"])
    named = {name: handle for a in figure.axes for handle, name in zip(*a.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named, loc="outside lower center", ncols=2 * width)
    return figure


def _tokens(report: Document) -> Any:
    """Occurrences of each token in use, the most frequent first."""
    rows = [row for row in report["systems"] if "token_counts" in row]
    if not rows:
        return None
    figure = _figure(1, 1)
    axes = figure.add_subplot(1, 1, 1)
    for row in rows:
        counts, bits = row["token_counts"], row["tokens"]["token_entropy"]
        axes.plot(range(1, len(counts) + 1), counts, label=f"{row['system']}: {len(counts)} in use, {bits:.2f} bit")
    axes.set(xlabel="rank of the token", ylabel="occurrences", xscale="log", yscale="log")
    axes.legend()
    return figure
