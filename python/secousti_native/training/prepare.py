"""From a manifest to a cache: log-mel frames as one memory-mapped float16 array, with the phone of each frame."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor

from secousti_native.reference.config import CodecConfig
from secousti_native.reference.mel import LogMel
from secousti_native.training import listening
from secousti_native.training.corpus import CorpusError, Utterance, load_audio
from secousti_native.training.degrade import degrade, generator

FORMAT = 1
NO_PHONE = -1
MEL_FIELDS = ("sample_rate", "n_fft", "hop_length", "n_mels", "mel_fmin", "mel_fmax")
MIN_DEVIATION = 0.1  # of a mel band, so that a band that is always silent does not divide by zero


@dataclass(frozen=True)
class CachedUtterance:
    """Where an utterance's frames lie in the cache; ``split`` is "train" or "valid", ``copy`` 0 for clean speech."""

    id: str
    speaker: str
    source: str
    split: str
    speed: float
    first: int
    frames: int
    copy: int = 0


def versions_of(utterance: Utterance, speeds: Sequence[float], copies: int) -> list[tuple[float, int]]:
    """Speed and number of each version for training: clean ones at ``speeds``, then degraded copies at any between."""
    clean = [(speed, 0) for speed in speeds]
    between = [generator(utterance.id, n).uniform(min(speeds), max(speeds)) for n in range(1, copies + 1)]
    return clean + [(round(speed, 4), n + 1) for n, speed in enumerate(between)]


def expand_durations(durations: Sequence[float], frames: int, frame_seconds: float) -> npt.NDArray[np.int32]:
    """Index ``[frames]`` of the phone that sounds at the centre of each frame.

    Frame t is centred on (t + 1/2) ``frame_seconds``. Frames after the last phone get `NO_PHONE`.
    """
    ends = np.cumsum(np.asarray(durations, np.float64))
    centres = (np.arange(frames) + 0.5) * frame_seconds
    index = np.searchsorted(ends, centres, side="right").astype(np.int32)
    index[index == len(ends)] = NO_PHONE
    return index


def split_of(utterance: Utterance, valid_share: float, held_out: Iterable[str]) -> str:
    """ "valid" for speakers in ``held_out`` (a blend "a+b" counts for both) and a hash-chosen share of the others."""
    if set(utterance.speaker.split("+")) & set(held_out):
        return "valid"
    digest = hashlib.sha256(utterance.id.encode()).digest()
    return "valid" if int.from_bytes(digest[:8], "big") / 2.0**64 < valid_share else "train"


def prepare(
    utterances: Iterable[Utterance],
    out: Path,
    config: CodecConfig,
    *,
    speeds: Sequence[float] = (1.0,),
    copies: int = 0,
    valid_share: float = 0.03,
    held_out: Sequence[str] = (),
    min_seconds: float = 0.5,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, float]:
    """Writes the cache folder ``out``; training utterances once per speed (tempo and pitch together), others at 1.0.

    ``copies`` more of each training utterance are as other microphones and channels would give them (`degrade`).
    ``jobs`` processes share the audio files; the cache is the same whatever their number.
    The speakers in ``held_out`` also get the clips that validation listens to (`listening`).
    Returns counts: utterances, validation (of those), clips, hours, hours_with_phones, skipped. Raises `CorpusError`
    naming the utterance for audio that cannot be read, is not finite, or is shorter than the manifest says.
    """
    if 1.0 not in speeds or any(not 0.5 <= s <= 2.0 for s in speeds):
        raise CorpusError(f"speeds {list(speeds)} must lie in 0.5 to 2 and contain 1.0")
    ordered = sorted(utterances, key=lambda u: (u.audio, u.start))
    if not ordered:
        raise CorpusError("the manifest holds no utterances")
    symbols = {p: i for i, p in enumerate(sorted({p for u in ordered for p in u.phones}))}
    out.mkdir(parents=True, exist_ok=True)
    (out / "meta.json").unlink(missing_ok=True)  # its presence marks a whole cache
    hop = config.hop_length / config.sample_rate
    entries: list[CachedUtterance] = []
    phones: list[int] = []
    moments = np.zeros((3, config.n_mels))  # count, sum and sum of squares of the training frames
    counts = {
        "utterances": 0.0,
        "validation": 0.0,
        "clips": 0.0,
        "hours": 0.0,
        "hours_with_phones": 0.0,
        "skipped": 0.0,
    }
    long_enough = [u for u in ordered if u.seconds >= min_seconds]
    counts["skipped"] = len(ordered) - len(long_enough)
    files = [list(group) for _, group in itertools.groupby(long_enough, key=lambda u: u.audio)]
    counts["clips"] = float(listening.write(long_enough, held_out, out, config))
    split = {u.id: split_of(u, valid_share, held_out) for u in long_enough}
    wanted = {u.id: versions_of(u, speeds, copies) if split[u.id] == "train" else [(1.0, 0)] for u in long_enough}
    tasks = [(group, [wanted[u.id] for u in group], config) for group in files]
    position = done = 0
    with (out / "mel.f16").open("wb") as mels, (out / "segment.i32").open("wb") as segments, _mapper(jobs) as mapped:
        for group, results in zip(files, mapped(_log_mels, tasks), strict=True):
            for utterance, versions in zip(group, results, strict=True):
                part = split[utterance.id]
                counts["utterances"] += 1
                counts["validation"] += part == "valid"
                counts["hours"] += utterance.seconds / 3600
                counts["hours_with_phones"] += utterance.seconds / 3600 if utterance.phones else 0
                for (speed, copy), mel in zip(wanted[utterance.id], versions, strict=True):
                    index = expand_durations([d / speed for d in utterance.durations], len(mel), hop)
                    np.where(index == NO_PHONE, NO_PHONE, index + len(phones)).astype(np.int32).tofile(segments)
                    phones += [symbols[p] for p in utterance.phones]
                    mel.tofile(mels)
                    named = (utterance.id, utterance.speaker, utterance.source, part)
                    entries.append(CachedUtterance(*named, speed, position, len(mel), copy))
                    position += len(mel)
                    if part == "train":
                        wide = mel.astype(np.float64)
                        moments += np.stack(
                            [np.full(config.n_mels, float(len(mel))), wide.sum(0), np.square(wide).sum(0)]
                        )
                done += 1
                progress(done)
    if moments[0, 0] == 0:
        raise CorpusError("no utterance is left for training: lower the validation share or min_seconds")
    mean = moments[1] / moments[0]
    deviation = np.sqrt(np.maximum(moments[2] / moments[0] - mean**2, MIN_DEVIATION**2))
    np.asarray(phones, np.int16).tofile(out / "phone.i16")
    with (out / "utterances.jsonl").open("w", encoding="utf8") as lines:
        lines.writelines(json.dumps(dataclasses.asdict(e), ensure_ascii=False) + "\n" for e in entries)
    meta = {
        "format": FORMAT,
        "mel": {name: getattr(config, name) for name in MEL_FIELDS},
        "symbols": list(symbols),
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
        "counts": counts,
    }
    (out / "meta.json").write_text(json.dumps(meta, ensure_ascii=False, indent=1), encoding="utf8")
    return counts


_Task = tuple[list[Utterance], list[list[tuple[float, int]]], CodecConfig]
_Mels = list[list[npt.NDArray[np.float16]]]


@contextlib.contextmanager
def _mapper(jobs: int) -> Iterator[Callable[[Callable[[_Task], _Mels], list[_Task]], Iterator[_Mels]]]:
    """`map`, in this process or over ``jobs`` fresh ones; a failure drops what has not begun."""
    if jobs <= 1:
        yield map
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _log_mels(task: _Task) -> _Mels:
    """Log-mels of the utterances of one audio file: for each, float16 ``[frames, n_mels]`` of its versions."""
    group, wanted, config = task
    torch.set_num_threads(1)
    log_mel = LogMel(config)
    samples, rate = load_audio(Path(group[0].audio))
    results: _Mels = []
    for utterance, versions in zip(group, wanted, strict=True):
        audio = _cut(utterance, samples, rate)
        mels = []
        for speed, copy in versions:
            pcm = np.asarray(soxr.resample(audio, rate * speed, config.sample_rate), np.float32)
            if copy:
                pcm = degrade(pcm, config.sample_rate, generator(utterance.id, copy))
            mels.append(log_mel(torch.from_numpy(pcm)).numpy().astype(np.float16))
        results.append(mels)
    return results


def _cut(utterance: Utterance, samples: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
    begin = round(utterance.start * rate)
    end = begin + round(utterance.seconds * rate)
    if end > len(samples) + rate // 50:  # a lossy codec may drop a few samples at the end
        have, needed = len(samples) / rate, utterance.start + utterance.seconds
        raise CorpusError(f"utterance {utterance.id!r}: {utterance.audio} ends at {have:.3f} s, before {needed:.3f} s")
    audio = samples[begin:end]
    if not np.isfinite(audio).all():
        raise CorpusError(f"utterance {utterance.id!r}: {utterance.audio} holds samples that are not finite")
    return audio


class Cache:
    """A prepared corpus, memory-mapped: ``mel`` float16 ``[frames, n_mels]``, ``segment`` int32 ``[frames]`` (an index
    into ``phone`` int16, or `NO_PHONE`) and the utterances of each split."""

    def __init__(self, folder: Path) -> None:
        path = folder / "meta.json"
        if not path.exists():
            raise CorpusError(f"{folder}: no prepared corpus (run `secousti train prepare`)")
        meta = json.loads(path.read_text(encoding="utf8"))
        if meta.get("format") != FORMAT:
            raise CorpusError(f"{folder}: cache format {meta.get('format')}, but {FORMAT} is needed: prepare it again")
        self.folder = folder
        self.mel_fields: dict[str, float] = meta["mel"]
        self.symbols: list[str] = meta["symbols"]
        self.mean = np.asarray(meta["mean"], np.float32)
        self.deviation = np.asarray(meta["deviation"], np.float32)
        self.counts: dict[str, float] = meta["counts"]
        n_mels = int(self.mel_fields["n_mels"])
        self.mel = np.memmap(folder / "mel.f16", np.float16, "r").reshape(-1, n_mels)
        self.segment = np.memmap(folder / "segment.i32", np.int32, "r")
        self.phone = np.fromfile(folder / "phone.i16", np.int16)
        if len(self.segment) != len(self.mel):
            raise CorpusError(f"{folder}: {len(self.mel)} mel frames, {len(self.segment)} segments: prepare it again")
        lines = (folder / "utterances.jsonl").read_text(encoding="utf8").splitlines()
        self.utterances = [CachedUtterance(**json.loads(line)) for line in lines]

    def frames(self, device: torch.device) -> Tensor:
        """All log-mel frames, float16 ``[frames, n_mels]``: mapped from the file on a CPU, copied to a GPU."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the mapping is read-only: nothing writes to it
            mapped = torch.from_numpy(self.mel)
        return mapped.to(device)

    def split(self, name: str) -> list[CachedUtterance]:
        return [u for u in self.utterances if u.split == name]

    def check(self, config: CodecConfig) -> None:
        """Raises `CorpusError` if the cache was made with another mel front end."""
        for name in MEL_FIELDS:
            if getattr(config, name) != self.mel_fields[name]:
                made = self.mel_fields[name]
                raise CorpusError(f"{self.folder}: made with {name} {made}, the codec has {getattr(config, name)}")
