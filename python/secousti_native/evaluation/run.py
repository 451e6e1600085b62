"""The evaluation: every system on every clip, every judge on every result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from secousti_native._arrays import Floats
from secousti_native._optional import require
from secousti_native.errors import MissingDependencyError
from secousti_native.evaluation import judges, systems
from secousti_native.evaluation.clips import Clip, Source, find, read
from secousti_native.evaluation.statistics import Score
from secousti_native.evaluation.systems import Output, System
from secousti_native.evaluation.yardstick import KMeans

P = ParamSpec("P")
T = TypeVar("T")

#: What can be left out.
PARTS = ("pesq", "stoi", "lsd", "mel", "dnsmos", "similarity", "wer", "leakage", "conversion", "classic", "vocoder")
_TITLES = {
    "pesq": "PESQ",
    "stoi": "STOI",
    "lsd": "log-spectral distance",
    "mel": "mel L1",
    "dnsmos": "DNSMOS",
    "similarity": "speaker similarity",
    "wer": "word error rate",
    "leakage": "leakage probe",
    "conversion": "conversion test",
    "classic": "Codec 2 and Opus",
    "vocoder": "vocoder on true mels",
}

#: What can be wrong with one clip; anything else is a bug.
_PROBLEMS = (OSError, ValueError, TypeError, RuntimeError, MemoryError)


@dataclass(frozen=True)
class Settings:
    """What is evaluated and how."""

    folder: Path
    models: tuple[str, ...] = ("default", "default-21")
    skip: frozenset[str] = frozenset()
    """Of `PARTS`."""
    language: str | None = None
    """Of the speech, for the recogniser; None: it guesses, clip by clip."""
    clips: int | None = None
    """Only the first so many files."""
    kmeans: Path | None = None
    """Speech to train the k-means yardstick on; None: it is left out."""
    resamples: int = 2000
    """Of the bootstrap."""
    seed: int = 0
    precisions: tuple[str, ...] = ()
    """Each model is opened at each of these, and compared with itself at the first; none: at its own default."""
    device: str = "cpu"
    """Where the models work: "cpu" or "cuda"."""


@dataclass
class Result:
    """One clip through one system."""

    scores: dict[str, Score] = field(default_factory=dict)
    conversion: dict[str, Score] = field(default_factory=dict)
    tokens: Any = None
    mean_mu: Floats | None = None
    voice: Floats | None = None


@dataclass
class ClipResults:
    """One clip through all systems, in their order; None where one failed."""

    source: Source
    seconds: float
    scripted: bool
    results: list[Result | None]


class Evaluation:
    """One run: made, run, and read by `secousti_native.evaluation.report`.

    Raises what searching the folder and opening the models does; ``complain`` hears what fails later, clip by clip.
    """

    def __init__(self, settings: Settings, complain: Callable[[str], None] = lambda _: None) -> None:
        unknown = settings.skip - set(PARTS)
        if unknown:
            raise ValueError(f"cannot skip {', '.join(sorted(unknown))}; parts are {', '.join(PARTS)}")
        self.settings = settings
        self.notes: list[str] = []
        self.failed: list[dict[str, str]] = []
        self.done: list[ClipResults] = []
        self._complain = complain
        self._sources = find(settings.folder)[: settings.clips]
        self._models = list(self._open_models())
        self._judges = self._make_judges()
        self.systems = list(self._make_systems())
        self._following = self._pair_speakers()
        self.leakage = self._with_speakers("leakage")
        self.conversion = self._with_speakers("conversion")
        self._targets: dict[tuple[str, Source], tuple[Floats, Clip]] = {}

    @property
    def steps(self) -> int:
        """Of a whole run: each clip through each system."""
        return len(self._sources) * len(self.systems)

    def run(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """All clips. May be interrupted: then ``done`` holds the whole clips so far.

        ``progress`` hears how many of `steps` are done.
        """
        steps = 0
        for source in self._sources:
            clip = self._try(source, "reading", read, source)
            results: list[Result | None] = []
            for system in self.systems:
                results.append(None if clip is None else self._one(system, clip))
                steps += 1
                progress(steps)
            if clip is not None:
                self.done.append(ClipResults(source, clip.seconds, clip.text is not None, results))

    # ---- one clip ----

    def _one(self, system: System, clip: Clip) -> Result | None:
        output = self._try(clip.source, system.name, system, clip)
        if output is None:
            return None
        result = Result(dict(output.scores))
        for part, judge in self._judges.items():
            if system.kind != "original" or not judge.needs_reference:
                where = f"{system.name}, {_TITLES[part]}"
                result.scores |= self._try(clip.source, where, judge, clip, output) or {}
        if isinstance(system, systems.CodecModel):
            self._add_model(system, clip, output, result)
        return result

    def _add_model(self, model: systems.CodecModel, clip: Clip, output: Output, result: Result) -> None:
        encoded = output.encoded
        assert encoded is not None
        result.tokens, result.voice = encoded.tokens, encoded.voice
        if clip.source.speaker is None:
            return
        if self.leakage:
            stages = model.codec.stages
            result.mean_mu = stages.encode_mel(stages.mel(clip.at(model.codec.sample_rate)))["semantic_mu"].mean(0)
        if self.conversion:
            where = f"{model.name}, conversion"
            result.conversion = self._try(clip.source, where, self._convert, model, clip, output) or {}

    def _convert(self, model: systems.CodecModel, clip: Clip, output: Output) -> dict[str, Score]:
        """The clip's tokens with the voice of the next speaker, as `secousti voice` does it."""
        assert clip.source.speaker is not None
        voice, target = self._target(model, self._following[clip.source.speaker])
        encoded = output.encoded
        assert encoded is not None
        converted = Output(model.codec.decode(encoded, voice), model.codec.sample_rate)
        scores: dict[str, Score] = {}
        for part in ("similarity", "wer"):
            if part in self._judges:
                scores |= self._judges[part](clip, converted)
        if "similarity" in scores:
            scores["similarity_to_source"] = scores.pop("similarity")
            scores["similarity_to_target"] = self._judges["similarity"](target, converted)["similarity"]
        return scores

    def _target(self, model: systems.CodecModel, source: Source) -> tuple[Floats, Clip]:
        key = (model.name, source)
        if key not in self._targets:
            clip = read(source)
            self._targets[key] = model.codec.voice(clip.at(model.codec.sample_rate)), clip
        return self._targets[key]

    def _try(self, source: Source, where: str, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T | None:
        try:
            return work(*arguments, **named)
        except _PROBLEMS as error:
            text = str(error) or type(error).__name__
            self.failed.append({"clip": source.name, "at": where, "error": text})
            self._complain(f"{source.name}: {where}: {text}")
            return None

    # ---- what is there ----

    def _skipped(self, part: str) -> bool:
        if part in self.settings.skip:
            self.notes.append(f"{_TITLES[part]}: left out as asked")
        return part in self.settings.skip

    def _make_judges(self) -> dict[str, judges.Judge]:
        codec = self._models[0].codec
        makers: dict[str, Callable[[], judges.Judge]] = {
            "pesq": judges.Pesq,
            "stoi": judges.Stoi,
            "lsd": judges.Spectral,
            "mel": lambda: judges.Mel(codec),
            "dnsmos": judges.Dnsmos,
            "similarity": judges.Speaker,
            "wer": lambda: judges.Recogniser(self.settings.language),
        }
        made: dict[str, judges.Judge] = {}
        for part, make in makers.items():
            if self._skipped(part):
                continue
            try:
                made[part] = make()
            except ImportError as error:
                self.notes.append(f"{_TITLES[part]} left out: {error}")
        return made

    def _open_models(self) -> Iterator[systems.CodecModel]:
        for name in self.settings.models:
            first: systems.CodecModel | None = None
            for precision in self.settings.precisions or (None,):
                label = f"{name}, {precision}" if len(self.settings.precisions) > 1 else None
                model = systems.CodecModel(name, precision, first, label, self.settings.device)
                first = first or model
                yield model

    def _make_systems(self) -> Iterator[System]:
        if any(not judge.needs_reference for judge in self._judges.values()):
            yield systems.Original()
        if not self._skipped("vocoder"):
            ceilings = {systems.Vocoder.key(m.codec): m.codec for m in reversed(self._models)}
            yield from (systems.Vocoder(codec) for codec in ceilings.values() if codec.info["has_vocoder"])
        yield from self._models
        if self.settings.kmeans is not None:
            firsts = (m.codec for m in self._models if m.reference is None)
            yield from (KMeans(codec, self.settings.kmeans, self.settings.seed) for codec in firsts)
        if not self._skipped("classic"):
            found, notes = systems.classic_systems()
            self.notes += notes
            yield from found

    def _pair_speakers(self) -> dict[str, Source]:
        """For each speaker the first clip of the next one."""
        first = {source.speaker: source for source in reversed(self._sources) if source.speaker is not None}
        names = sorted(first)
        return {name: first[names[(i + 1) % len(names)]] for i, name in enumerate(names)}

    def _with_speakers(self, part: str) -> bool:
        if self._skipped(part):
            return False
        problem: str | None = None
        if len(self._following) < 2:
            problem = "needs two or more speakers, one sub-folder each"
        elif part == "conversion" and not {"similarity", "wer"} & set(self._judges):
            problem = "needs speaker similarity or word error rate"
        elif part == "leakage":
            try:
                require("sklearn", "it", "scikit-learn")
            except MissingDependencyError as error:
                problem = str(error)
        if problem is not None:
            self.notes.append(f"{_TITLES[part]}: {problem}")
        return problem is None
