"""The speed tables of docs/measured, from the JSON of `secousti bench` and of bench/speed/cpu/first_packet.py.

    python bench/speed/cpu/tables.py docs/measured report.json latency.json

Fills one document, or all of a folder. Each table lies between `<!-- begin NAME -->` and `<!-- end NAME -->`, and is
written anew if the reports have what it shows. Several reports count as one; of rows that measure the same, the last is
taken.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Lines = list[str]
PRECISIONS = ("fp32", "bf16", "int8")
BASELINES = ("ONNX Runtime fp32", "ONNX Runtime int8", "torch eager", "torch.compile")
STREAMS_AIM = 40
STREAM_AIM_MB = 10
OPENING_AIM_MS = 50


class Report:
    """What one or more runs measured."""

    def __init__(self, parts: Sequence[dict[str, Any]]) -> None:
        self.machine: dict[str, Any] = next(part["machine"] for part in parts)
        rows = {self._key(row): row for part in parts for row in part.get("rows", [])}
        self.rows = list(rows.values())
        models = {(row["model"], row["precision"]): row for part in parts for row in part.get("models", [])}
        self.models = list(models.values())
        self.opening: list[Row] = [row for part in parts for row in part.get("opening", [])]
        latency = {(row["model"], row["precision"]): row for part in parts for row in part.get("latency", [])}
        self.latency = list(latency.values())
        self.minutes = sum(part.get("minutes", 0.0) for part in parts)

    @staticmethod
    def _key(row: Row) -> tuple[str, ...]:
        return row["model"], row["stage"], row["engine"], row.get("precision", "")

    def names(self, vocoder: str) -> list[str]:
        """Models with this vocoder, in the order of the run."""
        return list(dict.fromkeys(row["model"] for row in self.models if row["vocoder"] == vocoder))

    def precisions(self) -> list[str]:
        return [p for p in PRECISIONS if any(row["precision"] == p for row in self.models)]

    def find(self, model: str, stage: str, precision: str = "", engine: str = "native") -> Row | None:
        wanted = model, stage, engine, precision
        return next((row for row in self.rows if self._key(row) == wanted), None)

    def memory(self, model: str, precision: str) -> Row | None:
        return next((r for r in self.models if (r["model"], r["precision"]) == (model, precision)), None)


def number(value: float) -> str:
    """Three digits: more than a shared machine repeats."""
    return f"{float(f'{value:.3g}'):,.10g}".replace(",", " ")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Lines:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    return [line(header), "|" + "---|" * len(header), *(line(row) for row in rows)]


def with_bound(row: Row | None) -> str:
    """p50 (roofline bound), both in ms."""
    if row is None:
        return "–"
    bound = row.get("roofline_ms", row.get("floor_ms"))  # older reports call it floor
    return number(row["p50_ms"]) + (f" ({number(bound)})" if bound is not None else "")


def judged(value: float | None, met: Callable[[float], bool]) -> str:
    """Bold where the aim is met."""
    if value is None:
        return "–"
    return f"**{number(value)}**" if met(value) else number(value)


def conditions(report: Report) -> Lines:
    m = report.machine
    peaks = ", ".join(f"{name} {value}" for name, value in m["peak_gops"].items())
    shares = sorted(row["core_share"] for row in report.rows if "core_share" in row)
    shared = (
        f" Half of the rows had at least {shares[len(shares) // 2]:.0%} of what the core did for the best of them, the"
        f" least {shares[0]:.0%}."
        if shares
        else ""
    )
    took = f" The run took {number(report.minutes)} minutes." if report.minutes else ""
    return [
        f"{m['processor']}, {m['isa']}, {m['cores']} cores, {m['threads']} thread(s), {m['system']}, version "
        f"{m['version']}, {m['date']}. Registers do, in GOP/s: {peaks}; a block far larger than the cache is read at "
        f"{m['read_gb_s']} GB/s.{shared}{took}"
    ]


def stages_of(report: Report, model: str) -> list[str]:
    live = [row["stage"] for row in report.rows if row["model"] == model and "streams" not in row]
    return list(dict.fromkeys(live))


def steps(report: Report) -> Lines:
    precisions = report.precisions()
    lines: Lines = []
    for model in dict.fromkeys(row["model"] for row in report.models):
        baselines = [e for e in BASELINES if any(r["model"] == model and r["engine"] == e for r in report.rows)]
        rows = []
        for stage in stages_of(report, model):
            ours = [with_bound(report.find(model, stage, precision)) for precision in precisions]
            theirs = [with_bound(report.find(model, stage, engine=engine)) for engine in baselines]
            rows.append([stage, *ours, *theirs])
        lines += [f"**{model}**, p50 in ms (roofline bound)", "", *table(["step", *precisions, *baselines], rows), ""]
    return lines[:-1]


def targets(report: Report) -> Lines:
    precisions = report.precisions()
    rows: list[list[str]] = []

    def compare(
        what: str, model: str | None, stage: str, field: str, aims: dict[str, float] | float, higher: bool = False
    ) -> None:
        if model is None:
            return

        def cell(precision: str) -> str:
            found = report.find(model, stage, precision)
            aim = aims[precision] if isinstance(aims, dict) else aims
            return judged(found[field] if found else None, lambda v: v >= aim if higher else v <= aim)

        shown = " / ".join(f"{aims[p]:g}" for p in precisions) if isinstance(aims, dict) else f"{aims:g}"
        rows.append([what, shown, *(cell(precision) for precision in precisions)])

    def all_at_rate(vocoder: str, rate: float) -> list[str]:
        rows = (r for r in report.models if r["vocoder"] == vocoder and abs(r["token_rate"] - rate) < 1)
        return list(dict.fromkeys(row["model"] for row in rows))

    def at_rate(vocoder: str, rate: float) -> str | None:
        return next(iter(all_at_rate(vocoder, rate)), None)

    published, slow, default = at_rate("hift", 86.1), at_rate("hift", 21.5), at_rate("spectral", 86.1)
    factor = "real_time_factor"
    step_aims = {
        "encode": {"fp32": 2.4, "bf16": 1.1, "int8": 0.55},
        "decode to mel": {"fp32": 4.8, "bf16": 2.2, "int8": 1.1},
    }
    for stage, aims in step_aims.items():
        compare(f"{stage}, ms per 86 Hz frame", published, stage, "p50_ms", aims)
        for other in all_at_rate("hift", 86.1)[1:]:
            compare(f"{stage}, ms per 86 Hz frame, {other}", other, stage, "p50_ms", aims)
    for frames in (4, 16):
        stage = f"vocoder hift, {frames} mel frames"
        compare(f"HiFT streaming {frames} frames, real-time factor", published, stage, factor, 0.15)
    compare("full duplex with HiFT, real-time factor", published, "full duplex", factor, 0.30)
    compare("default model, full duplex with `spectral`, real-time factor", default, "full duplex", factor, 0.06)
    compare("offline encode of 10 minutes, real-time factor", published, "encode 10 min of audio", factor, 0.02)
    stage = "most in real time, full duplex to mel"
    compare("streams at 21.5 Hz to mel, full duplex", slow, stage, "streams", STREAMS_AIM, higher=True)
    if published is not None:
        for kind in ("encoder", "decoder"):
            found = [report.memory(published, precision) for precision in precisions]
            sizes = [judged(row[f"lone_{kind}_mb"] if row else None, lambda v: v <= STREAM_AIM_MB) for row in found]
            rows.append([f"memory of a lone {kind}, MB", f"{STREAM_AIM_MB}", *sizes])
    for name in dict.fromkeys(row["file"] for row in report.opening):
        times = {row["precision"]: row["open_ms"] for row in report.opening if row["file"] == name}
        cells = [judged(times.get(precision), lambda v: v <= OPENING_AIM_MS) for precision in precisions]
        rows.append([f"opening `{name}`, ms", f"{OPENING_AIM_MS}", *cells])
    return table(["aim in bold where it is met", "aim", *precisions], rows)


def groups(report: Report) -> Lines:
    precisions = report.precisions()
    rows = []
    for model in dict.fromkeys(row["model"] for row in report.rows if "streams" in row):
        for stage in dict.fromkeys(r["stage"] for r in report.rows if r["model"] == model and "streams" in r):
            found = [report.find(model, stage, precision) for precision in precisions]
            if stage.startswith("most in real time"):
                what = stage.replace("most in real time", "streams in real time").replace(", full duplex", "")
                cells = [
                    "–" if row is None else str(row["streams"]) if row["p50_ms"] <= row["audio_ms"] else "0"
                    for row in found
                ]
            else:
                what, cells = stage.replace(", full duplex", ""), [with_bound(row) for row in found]
            rows.append([model, what, *cells])
    return table(["model", "full duplex: ms a step (roofline bound), or streams", *precisions], rows)


def memory(report: Report) -> Lines:
    fields = ("weights_mb", "encoder_stream_mb", "decoder_stream_mb", "lone_encoder_mb", "lone_decoder_mb", "open_ms")
    rows = [[r["model"], r["precision"], *(number(r[field]) for field in fields)] for r in report.models]
    header = ["model", "precision", "weights", "encoder slot", "decoder slot", "lone encoder", "lone decoder"]
    return table([*header, "opening, ms"], rows)


def latency(report: Report) -> Lines:
    rows = []
    for row in report.latency:
        for kind, name in (("pcm_to_token", "PCM to token"), ("token_to_pcm", "token to PCM")):
            compute, first = row["compute_ms"][kind], row["first_packet_compute_ms"][kind]
            total = row["total_ms"][kind]
            cells = [" / ".join(number(v[q]) for q in ("p50", "p99", "max")) for v in (compute, total, first)]
            algorithmic = number(row["algorithmic_ms"][kind])
            rows.append([row["model"], row["precision"], f"{row['speech_minutes']:g}", name, algorithmic, *cells])
    header = ["model", "precision", "minutes", "", "algorithmic", "compute", "both", "computing a first packet"]
    return table(header, rows)


SECTIONS: dict[str, tuple[Callable[[Report], Lines], Callable[[Report], bool]]] = {
    "conditions": (conditions, lambda r: bool(r.rows)),
    "steps": (steps, lambda r: bool(r.rows)),
    "targets": (targets, lambda r: bool(r.rows)),
    "groups": (groups, lambda r: any("streams" in row for row in r.rows)),
    "memory": (memory, lambda r: bool(r.models)),
    "latency": (latency, lambda r: bool(r.latency)),
}


def sections(text: str) -> Iterator[str]:
    """Names of the marked parts of a document."""
    for match in re.finditer(r"<!-- begin (\w+) -->", text):
        yield match[1]


def fill(text: str, report: Report) -> str:
    """The document with every marked part that the report has figures for written anew."""
    for name in sections(text):
        lines, known = SECTIONS[name]
        if not known(report):
            continue
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"no {end!r} after {begin!r}")
        text = "\n".join([before + begin, *lines(report), end + after])
    return text


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} DOCUMENT.md|FOLDER REPORT.json...")
    target = Path(sys.argv[1])
    report = Report([json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[2:]])
    for document in sorted(target.glob("*.md")) if target.is_dir() else [target]:
        document.write_text(fill(document.read_text(encoding="utf-8"), report), encoding="utf-8")


if __name__ == "__main__":
    main()
