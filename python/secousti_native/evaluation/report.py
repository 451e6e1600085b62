"""From the results of single clips to one document, and from that to tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from secousti_native.benchmark.timing import machine
from secousti_native.evaluation import systems
from secousti_native.evaluation.measures import token_statistics
from secousti_native.evaluation.probe import histogram, speaker_accuracy
from secousti_native.evaluation.run import Evaluation, Result
from secousti_native.evaluation.statistics import Score, bootstrap

Document = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """How a figure is shown: ``factor`` and ``digits`` after the point; ↑ or ↓ says what is better."""

    key: str
    title: str
    digits: int
    factor: float = 1.0
    interval: bool = True


COLUMNS = (
    Column("bit_rate", "bit/s", 0, interval=False),
    Column("bit_rate_with_header", "with header", 0, interval=False),
    Column("bit_rate_with_voice", "with header, G", 0, interval=False),
    Column("pesq_wb", "PESQ-WB ↑", 2),
    Column("stoi", "STOI ↑", 3),
    Column("lsd", "LSD dB ↓", 2),
    Column("mel_l1", "mel L1 ↓", 3),
    Column("dnsmos", "DNSMOS ↑", 2),
    Column("similarity", "speaker sim. ↑", 3),
    Column("wer", "WER % ↓", 1, 100.0),
    Column("tokens_equal", "equal tokens %", 1, 100.0),
    Column("mel_change", "mel change ↓", 4),
    Column("codebook_use", "codes used %", 1, 100.0, interval=False),
    Column("token_entropy", "entropy bit", 2, interval=False),
    Column("real_time_factor", "RTF ↓", 3, interval=False),
)
CONVERSION = (
    Column("similarity_to_target", "similarity to target ↑", 3),
    Column("similarity_to_source", "to source ↓", 3),
    Column("wer", "WER % ↓", 1, 100.0),
)


# ---- the document ----


def document(evaluation: Evaluation, interrupted: bool = False) -> Document:
    """Everything a run found, as JSON has it. Each score is {"mean", "low", "high", "clips"}."""
    settings = evaluation.settings
    columns = list(zip(*(clip.results for clip in evaluation.done), strict=True)) or [()] * len(evaluation.systems)
    per_system = [[r for r in column if r is not None] for column in columns]
    scripted = sum(clip.scripted for clip in evaluation.done)
    return {
        "folder": settings.folder.name,
        "interrupted": interrupted,
        "clips": len(evaluation.done),
        "seconds": round(sum(clip.seconds for clip in evaluation.done), 2),
        "resamples": settings.resamples,
        "seed": settings.seed,
        "machine": machine(1, device=settings.device),
        "wer_reference": _wer_reference(scripted, len(evaluation.done)),
        "systems": [_row(s, rs, evaluation) for s, rs in zip(evaluation.systems, per_system, strict=True)],
        "leakage": list(_leakage(evaluation)) if evaluation.leakage else [],
        "conversion": [
            {"system": s.name, "scores": _estimates([r.conversion for r in rs], evaluation)}
            for s, rs in zip(evaluation.systems, per_system, strict=True)
            if evaluation.conversion and isinstance(s, systems.CodecModel)
        ],
        "per_clip": [
            {
                "clip": clip.source.name,
                "seconds": round(clip.seconds, 3),
                "systems": {
                    s.name: {name: score.value for name, score in r.scores.items()}
                    for s, r in zip(evaluation.systems, clip.results, strict=True)
                    if r is not None
                },
            }
            for clip in evaluation.done
        ],
        "notes": evaluation.notes,
        "failed": evaluation.failed,
    }


def _wer_reference(scripted: int, clips: int) -> str:
    heard = "ASR of original"
    if scripted == clips:
        return "text files"
    return heard if scripted == 0 else f"text files ({scripted} clips), else {heard}"


def _row(system: systems.System, results: Sequence[Result], evaluation: Evaluation) -> Document:
    row: Document = {"system": system.name, "kind": system.kind}
    row["scores"] = _estimates([r.scores for r in results], evaluation)
    if isinstance(system, systems.CodecModel):
        row["precision"] = system.codec.precision
    if isinstance(system, systems.CodecModel) and results:
        statistics = token_statistics([r.tokens for r in results], system.codec.cardinality)
        row["tokens"] = statistics
        for name in ("codebook_use", "token_entropy"):
            row["scores"][name] = {"mean": statistics[name], "low": None, "high": None, "clips": len(results)}
        counts = sum(np.bincount(r.tokens, minlength=system.codec.cardinality) for r in results)
        row["token_counts"] = sorted((int(n) for n in np.asarray(counts) if n), reverse=True)
    return row


def _estimates(results: Sequence[dict[str, Score]], evaluation: Evaluation) -> Document:
    names = dict.fromkeys(name for scores in results for name in scores)
    estimates = {}
    for name in names:
        scores = [scores[name] for scores in results if name in scores]
        estimates[name] = asdict(bootstrap(scores, evaluation.settings.resamples, evaluation.settings.seed))
    return estimates


def _leakage(evaluation: Evaluation) -> Iterable[Document]:
    settings = evaluation.settings
    for i, system in enumerate(evaluation.systems):
        if not isinstance(system, systems.CodecModel):
            continue
        pairs = [(clip.source.speaker, clip.results[i]) for clip in evaluation.done]
        kept = [(speaker, r) for speaker, r in pairs if speaker is not None and r is not None]
        speakers = [speaker for speaker, _ in kept]
        features = {
            "tokens": [histogram(r.tokens, system.codec.cardinality) for _, r in kept],
            "mean mu": [r.mean_mu for _, r in kept],
            "voice G": [r.voice for _, r in kept],
        }
        for name, values in features.items():
            try:
                found = speaker_accuracy(values, speakers, settings.resamples, settings.seed)  # type: ignore[arg-type]
            except ValueError as error:
                evaluation.notes.append(str(error))
                return
            yield {"system": system.name, "features": name} | found


# ---- tables ----


def cells(row: Document, columns: Sequence[Column]) -> list[tuple[str, str]]:
    """Of each column the figure and its interval; empty where there is none."""
    shown = []
    for column in columns:
        score = row["scores"].get(column.key)
        if score is None:
            shown.append(("", ""))
            continue
        mean, low, high = (None if score[k] is None else score[k] * column.factor for k in ("mean", "low", "high"))
        interval = "" if low is None or not column.interval else f"{low:.{column.digits}f}–{high:.{column.digits}f}"
        shown.append((f"{mean:.{column.digits}f}", interval))
    return shown


def present(report: Document, part: str) -> list[Column]:
    """The columns that some row of ``report["systems"]`` or ``report["conversion"]`` fills."""
    columns = CONVERSION if part == "conversion" else COLUMNS
    shown = [column for column in columns if any(column.key in row["scores"] for row in report[part])]
    against = f" (vs {report['wer_reference']})"
    return [replace(c, title=c.title + against) if c.key == "wer" else c for c in shown]


def leakage_cells(entry: Document) -> list[str]:
    """System, features, accuracy with interval, chance."""
    accuracy = entry["accuracy"]
    interval = "" if accuracy["low"] is None else f" ({100 * accuracy['low']:.0f}–{100 * accuracy['high']:.0f})"
    return [
        entry["system"],
        entry["features"],
        f"{100 * accuracy['mean']:.0f}{interval}",
        f"{100 * entry['chance']:.0f}",
    ]


LEAKAGE_TITLES = ("system", "features", "speaker named % ↓", "chance %")


def summary(report: Document) -> list[str]:
    """What the tables say nothing of: how much speech, where, against which words, and all notes."""
    place = report["machine"]
    lines = [
        f"{report['clips']} clips, {report['seconds']:.0f} s; intervals: 95 %, bootstrap over clips, "
        f"{report['resamples']} resamples, seed {report['seed']}",
        f"{place['processor']}, {place['isa']}, {_worked_on(place)}; secousti {place['version']}; {place['date']}",
    ]
    opened = [f"{row['system']} {row['precision']}" for row in report["systems"] if "precision" in row]
    if len(opened) > 0:
        lines.append(f"precision: {', '.join(opened)}")
    if report["interrupted"]:
        lines.append("interrupted: only the clips that were finished")
    if report["leakage"]:
        entry = report["leakage"][0]
        lines.append(f"leakage probe: {entry['speakers']} speakers, {entry['utterances']} utterances")
    return [*lines, *(f"note: {note}" for note in report["notes"])]


def _worked_on(place: Document) -> str:
    return "one thread" if place.get("device", "cpu") == "cpu" else str(place["device"])


def markdown(report: Document) -> str:
    """The report's tables, to be read on their own."""
    parts = [_markdown_scores(report, "systems")]
    if report["conversion"]:
        parts.append("Conversion to the next speaker's voice:\n\n" + _markdown_scores(report, "conversion"))
    if report["leakage"]:
        rows = [leakage_cells(entry) for entry in report["leakage"]]
        parts.append("Speaker leakage, linear classifier:\n\n" + _markdown_table(LEAKAGE_TITLES, rows))
    parts.append("\n".join(f"- {line}" for line in summary(report)))
    if report["failed"]:
        parts.append("\n".join(f"- failed: {f['clip']}: {f['at']}: {f['error']}" for f in report["failed"]))
    return "\n\n".join(parts) + "\n"


def _markdown_scores(report: Document, part: str) -> str:
    shown = present(report, part)
    body = [
        [row["system"], *(f"{mean} ({interval})" if interval else mean for mean, interval in cells(row, shown))]
        for row in report[part]
    ]
    return _markdown_table(["system", *(column.title for column in shown)], body)


def _markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)
