"""The folder of speech: audio files, their speakers (sub-folders) and their words (text files of the same name)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from secousti_native import audio
from secousti_native._arrays import Floats

Result = TypeVar("Result")


@dataclass(frozen=True)
class Source:
    """A file that may be a clip."""

    path: Path
    name: str
    """Below the folder."""
    speaker: str | None
    """The first sub-folder; None for a file that lies in the folder itself."""


@dataclass
class Clip:
    """Speech [samples] at ``sample_rate``, and what was derived from it."""

    source: Source
    pcm: Floats
    sample_rate: int
    text: str | None
    """What is said, if somebody wrote it down."""
    _rates: dict[int, Floats] = field(default_factory=dict)
    _derived: dict[object, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return len(self.pcm) / self.sample_rate

    def at(self, sample_rate: int) -> Floats:
        """The clip resampled."""
        if sample_rate not in self._rates:
            self._rates[sample_rate] = audio.resample(self.pcm, self.sample_rate, sample_rate)
        return self._rates[sample_rate]

    def once(self, key: object, make: Callable[[], Result]) -> Result:
        """What ``make`` gave at the first call with this key: a transcript, an embedding."""
        if key not in self._derived:
            self._derived[key] = make()
        result: Result = self._derived[key]
        return result


def find(folder: Path) -> list[Source]:
    """The audio files below ``folder``, by name. ``ValueError`` if there are none."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in audio.EXTENSIONS)
    if not paths:
        raise ValueError(f"{folder}: no audio files in this folder")
    relative = [path.relative_to(folder) for path in paths]
    return [
        Source(path, name.as_posix(), name.parts[0] if len(name.parts) > 1 else None)
        for path, name in zip(paths, relative, strict=True)
    ]


def read(source: Source) -> Clip:
    """Raises what `audio.load` does, and ``ValueError`` for audio that is silent."""
    pcm, rate = audio.load(source.path)
    if not pcm.any():
        raise ValueError(f"{source.path}: silent")
    script = source.path.with_suffix(".txt")
    text = script.read_text(encoding="utf-8").strip() if script.is_file() else ""
    return Clip(source, pcm, rate, text or None)
