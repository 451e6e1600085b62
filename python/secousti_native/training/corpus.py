"""A corpus of speech as a manifest: JSON lines, one utterance each, read from shards, alignments or plain folders."""

from __future__ import annotations

import dataclasses
import json
import lzma
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SILENCE = "sil"  # the symbol of padding, pauses and unlabelled stretches
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".g722")

_SHARD_RATE = 24_000  # of the offsets in a shard's JSON, whatever rate the decoder reports
_SHARD_STEP = 0.025  # seconds per unit of a shard's durations
_G722_BYTES_PER_SECOND = 8_000  # 64 kbit/s
_G722_RATE = 16_000


class CorpusError(ValueError):
    """A manifest, alignment or audio file that cannot be used; the message names it."""


@dataclass(frozen=True)
class Utterance:
    """One stretch of speech.

    ``start`` and ``seconds`` delimit it in the file ``audio``. ``phones`` and ``durations`` (seconds, as many as
    phones, from the start of the utterance) are both empty where no alignment is known. ``source`` names the part of
    the corpus, by which validation is reported.
    """

    id: str
    audio: str
    start: float
    seconds: float
    speaker: str
    source: str = "corpus"
    text: str = ""
    phones: tuple[str, ...] = ()
    durations: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        def require(condition: bool, problem: str) -> None:
            if not condition:
                raise CorpusError(f"utterance {self.id!r}: {problem}")

        require(np.isfinite(self.start) and self.start >= 0, f"start {self.start} must be at least 0")
        require(np.isfinite(self.seconds) and self.seconds > 0, f"seconds {self.seconds} must be positive")
        count = f"{len(self.phones)} phones but {len(self.durations)} durations"
        require(len(self.phones) == len(self.durations), count)
        require(all(np.isfinite(d) and d >= 0 for d in self.durations), "durations must be at least 0")


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> int:
    """Writes one JSON object per line; returns how many."""
    count = 0
    with path.open("w", encoding="utf8") as out:
        for utterance in utterances:
            out.write(json.dumps(dataclasses.asdict(utterance), ensure_ascii=False) + "\n")
            count += 1
    return count


def read_manifest(path: Path) -> Iterator[Utterance]:
    """Utterances of a manifest; relative audio paths are taken from the manifest's folder."""
    known = {f.name for f in dataclasses.fields(Utterance)}
    for number, line in enumerate(path.read_text(encoding="utf8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry: dict[str, Any] = json.loads(line)
            unknown = sorted(set(entry) - known)
            if unknown:
                raise CorpusError(f"unknown field(s) {', '.join(unknown)}")
            entry["phones"] = tuple(entry.get("phones", ()))
            entry["durations"] = tuple(float(d) for d in entry.get("durations", ()))
            entry["audio"] = str(path.parent / entry["audio"])
            yield Utterance(**entry)
        except (CorpusError, json.JSONDecodeError, TypeError, KeyError) as error:
            raise CorpusError(f"{path}:{number}: {error}") from None


def read_shards(folder: Path) -> Iterator[Utterance]:
    """Utterances of the synthetic corpus: ``NNNN.opus`` beside ``NNNN.jsonl.xz`` (or ``.jsonl``), see `synthesise`."""
    lists = sorted([*folder.glob("*.jsonl.xz"), *folder.glob("*.jsonl")])
    if not lists:
        raise CorpusError(f"{folder}: no *.jsonl.xz shard lists")
    for path in lists:
        raw = path.read_bytes()
        lines = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode("utf8").splitlines()
        name = path.name.split(".")[0]
        for index, entry in enumerate(map(json.loads, lines)):
            yield Utterance(
                id=f"{name}-{index:04d}",
                audio=str(folder / f"{name}.opus"),
                start=entry["start"] / _SHARD_RATE,
                seconds=entry["samples"] / _SHARD_RATE,
                speaker="+".join(sorted(entry["voice"])),
                source="synthetic",
                text=entry["text"],
                phones=(SILENCE, *entry["phones"], SILENCE),
                durations=tuple(d * _SHARD_STEP for d in entry["dur"]),
            )


def read_folder(folder: Path, speaker: str, source: str = "real", min_seconds: float = 1.0) -> Iterator[Utterance]:
    """Every audio file below ``folder`` as an utterance without phones; shorter ones are skipped."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise CorpusError(f"{folder}: no audio files ({', '.join(AUDIO_SUFFIXES)})")
    for path in files:
        seconds = audio_seconds(path)
        if seconds >= min_seconds:
            name = path.relative_to(folder).with_suffix("").as_posix()
            yield Utterance(f"{speaker}/{name}", str(path), 0.0, seconds, speaker, source)


def read_aligned(audio: Path, alignments: Path, tier: str = "phones", source: str = "aligned") -> Iterator[Utterance]:
    """Pairs every TextGrid of the Montreal Forced Aligner with its audio; the parent folder's name is the speaker."""
    files = {p.relative_to(audio).with_suffix(""): p for p in audio.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES}
    grids = sorted(alignments.rglob("*.TextGrid"))
    if not grids:
        raise CorpusError(f"{alignments}: no *.TextGrid files")
    for grid in grids:
        name = grid.relative_to(alignments).with_suffix("")
        if name not in files:
            raise CorpusError(f"{grid}: no audio file {audio / name} with one of {', '.join(AUDIO_SUFFIXES)}")
        phones, durations = read_textgrid(grid, tier)
        speaker = name.parent.name or name.name
        path = files[name]
        seconds = audio_seconds(path)
        yield Utterance(name.as_posix(), str(path), 0.0, seconds, speaker, source, "", phones, durations)


_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<![\w.])(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.])')


def read_textgrid(path: Path, tier: str = "phones") -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Labels and lengths in seconds of an interval tier of a Praat TextGrid, long or short text format.

    Empty labels and gaps become `SILENCE`, so that the lengths add up to the tier's end.
    """
    raw = path.read_bytes()
    text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    # Without "[1]" indices the long format holds the same sequence of strings and numbers as the short one.
    tokens = [m.group(2) or m.group(1).replace('""', '"') for m in _TOKEN.finditer(re.sub(r"\[\d*\]", "", text))]
    stream = iter(tokens)

    def number() -> float:
        return float(next(stream))

    try:
        if (next(stream), next(stream)) != ("ooTextFile", "TextGrid"):
            raise CorpusError(f"{path}: not a TextGrid")
        number(), number()
        names = []
        for _ in range(int(number())):
            kind, name = next(stream), next(stream)
            number(), number()
            names.append(name)
            phones: list[str] = []
            durations: list[float] = []
            at = 0.0
            for _ in range(int(number())):
                if kind != "IntervalTier":
                    number(), next(stream)
                    continue
                begin, end, label = number(), number(), next(stream).strip() or SILENCE
                if end < begin or begin < at - 1e-6:
                    raise CorpusError(f"{path}: tier {name!r}: interval {begin}–{end} is out of order")
                if begin > at + 1e-6:
                    phones.append(SILENCE)
                    durations.append(begin - at)
                phones.append(label)
                durations.append(end - begin)
                at = end
            if name == tier and kind == "IntervalTier":
                return tuple(phones), tuple(durations)
    except (StopIteration, ValueError) as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(f"{path}: damaged TextGrid") from None
    raise CorpusError(f"{path}: no interval tier {tier!r} (found {', '.join(names) or 'none'})")


def audio_seconds(path: Path) -> float:
    """Length of an audio file without decoding it."""
    import soundfile

    if path.suffix.lower() == ".g722":
        return path.stat().st_size / _G722_BYTES_PER_SECOND
    return float(soundfile.info(str(path)).duration)


def load_audio(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """Mono float32 samples and their rate in Hz. G.722 needs the program ffmpeg."""
    import soundfile

    if path.suffix.lower() == ".g722":
        decode = ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path)]
        command = [*decode, "-f", "f32le", "-ar", str(_G722_RATE), "-ac", "1", "-"]
        try:
            done = subprocess.run(command, capture_output=True, check=True)
        except FileNotFoundError:
            raise CorpusError(f"{path}: reading G.722 needs the program ffmpeg") from None
        except subprocess.CalledProcessError as error:
            raise CorpusError(f"{path}: ffmpeg: {error.stderr.decode(errors='replace').strip()}") from None
        return np.frombuffer(done.stdout, np.float32), _G722_RATE
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(f"{path}: {error}") from None
    return np.ascontiguousarray(samples.mean(axis=1)), int(rate)
