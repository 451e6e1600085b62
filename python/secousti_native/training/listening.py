"""Clips of speakers that training never hears, and how a codec in training does on them: PESQ-WB and STOI.

Mel differences are a poor guide to what listeners and PESQ say, so these choose the best checkpoint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from secousti_native.reference.config import CodecConfig
from secousti_native.training.corpus import CorpusError, Utterance, load_audio

if TYPE_CHECKING:
    from secousti_native.codec import Codec

FOLDER = "listening"
SECONDS = 8.0  # of a clip: several utterances of a speaker, one after another
SHORTEST = 4.0  # a speaker of whom there is less is left out
RATE = 16_000  # Hz at which PESQ-WB and STOI are computed
STOI_WEIGHT = 5.0  # in `score`: a hundredth of STOI counts as much as 0.05 PESQ
_LIST = "clips.json"


class Reconstructs(Protocol):
    """What is judged: a module, in training, that takes log-mel [B, T, n_mels] through its tokens and back."""

    training: bool

    def train(self, mode: bool = True) -> Any: ...
    def reconstruct(self, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]: ...


@dataclass(frozen=True)
class Listed:
    """A clip in the cache: ``file`` lies beside the list."""

    file: str
    speaker: str
    source: str


def choose(utterances: Iterable[Utterance], held_out: Iterable[str]) -> dict[tuple[str, str], list[Utterance]]:
    """For each source and speaker of ``held_out``: utterances for a clip, in an order that hashes decide.

    A blend of voices belongs to the first of its held-out ones.
    """
    unheard = set(held_out)
    groups: dict[tuple[str, str], list[Utterance]] = {}
    for utterance in sorted(utterances, key=lambda u: hashlib.sha256(u.id.encode()).digest()):
        known = [name for name in utterance.speaker.split("+") if name in unheard]
        if known:
            group = groups.setdefault((utterance.source, known[0]), [])
            if sum(u.seconds for u in group) < SECONDS:
                group.append(utterance)
    return {key: group for key, group in sorted(groups.items()) if sum(u.seconds for u in group) >= SHORTEST}


def write(utterances: Iterable[Utterance], held_out: Iterable[str], cache: Path, config: CodecConfig) -> int:
    """Writes a clip of up to `SECONDS` at the codec's rate for each held-out speaker; returns how many."""
    import soundfile
    import soxr

    folder = cache / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    listed: list[Listed] = []
    for (source, speaker), group in choose(utterances, held_out).items():
        pieces = []
        for utterance in group:
            samples, rate = load_audio(Path(utterance.audio))
            begin = round(utterance.start * rate)
            cut = samples[begin : begin + round(utterance.seconds * rate)]
            pieces.append(np.asarray(soxr.resample(cut, rate, config.sample_rate), np.float32))
        pcm = np.concatenate(pieces)[: round(SECONDS * config.sample_rate)]
        if not (np.isfinite(pcm).all() and pcm.any()):
            raise CorpusError(f"speaker {speaker!r}: the clip for listening is silent or not finite")
        name = f"{len(listed):03d}.flac"
        soundfile.write(folder / name, np.clip(pcm, -1, 1), config.sample_rate, subtype="PCM_16")
        listed.append(Listed(name, speaker, source))
    entries = [dataclasses.asdict(clip) for clip in listed]
    (folder / _LIST).write_text(json.dumps(entries, ensure_ascii=False, indent=1), encoding="utf8")
    return len(listed)


def read(cache: Path) -> Iterator[tuple[Listed, npt.NDArray[np.float32]]]:
    """The clips of a cache, with their samples at the codec's rate; none if it was prepared without."""
    path = cache / FOLDER / _LIST
    entries = json.loads(path.read_text(encoding="utf8")) if path.exists() else []
    for clip in (Listed(**entry) for entry in entries):
        yield clip, load_audio(path.parent / clip.file)[0]


def score(pesq: float, stoi: float) -> float:
    """What the best checkpoint has most of."""
    return pesq + STOI_WEIGHT * stoi


class Listening:
    """Judges a system on a cache's clips, through the native engine's vocoder.

    Judges nothing (``clips`` is empty) without clips, without the packages pesq and pystoi, or where the engine is not
    built or its vocoder takes other mels.
    """

    def __init__(self, cache: Path, mel_fields: Mapping[str, float]) -> None:
        self.clips: list[tuple[Listed, npt.NDArray[np.float32]]] = []
        self.vocoder = vocoder(mel_fields)
        try:
            import pesq  # noqa: F401
            import pystoi  # noqa: F401
        except ImportError:
            return
        if self.vocoder is not None:
            self.clips = list(read(cache))

    @torch.no_grad()
    def __call__(self, system: Reconstructs, device: torch.device) -> dict[str, float]:
        """``pesq`` and ``stoi``: means over the sources, and after a slash each source's; ``score`` of the two.

        A clip in which a measure finds no speech counts for the other alone.
        """
        from secousti_native import quality
        from secousti_native.audio import resample

        sums: dict[str, dict[str, list[float]]] = {"pesq": {}, "stoi": {}}
        was_training = system.training
        system.train(False)
        for clip, pcm in self.clips:
            assert self.vocoder is not None
            mel = torch.as_tensor(self.vocoder.stages.mel(pcm), device=device).unsqueeze(0)
            restored = system.reconstruct(mel)[0][0].float().cpu().numpy()
            played = self.vocoder.stages.vocode(restored)
            rate = self.vocoder.sample_rate
            original, degraded = (resample(x[: len(played)], rate, RATE) for x in (pcm, played))
            for name, value in (
                ("pesq", quality.pesq_wb(original, degraded, RATE)),
                ("stoi", quality.stoi(original, degraded, RATE)),
            ):
                if value is not None and np.isfinite(value):
                    sums[name].setdefault(clip.source, []).append(float(value))
        system.train(was_training)
        metrics: dict[str, float] = {}
        for name, sources in sums.items():
            for source, values in sources.items():
                metrics[f"{name}/{source}"] = float(np.mean(values))
            if sources:
                metrics[name] = float(np.mean([np.mean(values) for values in sources.values()]))
        if "pesq" in metrics and "stoi" in metrics:
            metrics["score"] = score(metrics["pesq"], metrics["stoi"])
        return metrics


def vocoder(mel_fields: Mapping[str, float]) -> Codec | None:
    """A codec whose vocoder takes such mels, if the native engine is here; training does not need it."""
    try:
        from secousti_native.codec import Codec

        codec = Codec.from_pretrained()
    except (ImportError, OSError, ValueError, RuntimeError):
        return None
    return codec if all(codec.config.get(name) == value for name, value in mel_fields.items()) else None
