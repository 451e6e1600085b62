"""Which files a command reads, and where each result goes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import typer


@dataclass(frozen=True)
class Job:
    """One input and its output. ``output`` is None when the command writes none."""

    source: Path
    output: Path | None


@dataclass(frozen=True)
class _Found:
    path: Path
    relative: Path  # below the folder or the fixed part of the pattern that it was found through


def plan(inputs: Iterable[str], output: Path | None, endings: frozenset[str], suffix: str, force: bool) -> list[Job]:
    """Pairs every input file with its output, mirroring folders below ``output``. Usage errors end the program.

    Inputs are files, folders (searched for ``endings``) and glob patterns. ``output`` is a file for a single input
    file, unless it exists as a folder or ends in a slash; a folder otherwise.
    """
    inputs = list(inputs)
    found = [item for text in inputs for item in _expand(text, endings)]
    unique = {os.path.realpath(item.path): item for item in reversed(found)}
    items = [item for item in found if unique[os.path.realpath(item.path)] is item]
    if output is None:
        return [Job(item.path, None) for item in items]
    # A pipe is one input, too, such as that of a shell's <(command).
    single = len(inputs) == 1 and Path(inputs[0]).exists() and not Path(inputs[0]).is_dir()
    as_folder = not single or output.is_dir() or str(output).endswith(os.sep)
    if as_folder and output.exists() and not output.is_dir():
        raise typer.BadParameter(f"{output} is a file, but several results need a folder", param_hint="--output")
    jobs = [Job(item.path, (output / item.relative).with_suffix(suffix) if as_folder else output) for item in items]
    _check_outputs(jobs, force)
    return jobs


def _expand(text: str, endings: frozenset[str]) -> list[_Found]:
    path = Path(text)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in endings)
        if not files:
            raise typer.BadParameter(f"{text}: no {' '.join(sorted(endings))} files in this folder")
        return [_Found(p, p.relative_to(path)) for p in files]
    if path.exists() or not glob.has_magic(text):
        return [_Found(path, Path(path.name))]  # a missing file is reported with the others that fail
    # Below the folders that come before the first wildcard.
    fixed = Path(*_until(path.parts, glob.has_magic))
    matches = sorted(Path(m) for m in glob.glob(text, recursive=True) if Path(m).is_file())  # noqa: PTH207
    if not matches:
        raise typer.BadParameter(f"{text}: no file matches")
    return [_Found(p, p.relative_to(fixed) if fixed.parts else p) for p in matches]


def _until(parts: tuple[str, ...], stop: object) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if stop(part):  # type: ignore[operator]
            break
        kept.append(part)
    return kept


def _check_outputs(jobs: list[Job], force: bool) -> None:
    """Refuses results that would fall onto each other, onto an input, or onto existing files."""
    sources = {os.path.realpath(job.source) for job in jobs}
    seen: dict[str, Path] = {}
    for job in jobs:
        assert job.output is not None
        real = os.path.realpath(job.output)
        if real in seen and not _is_device(job.output):
            raise typer.BadParameter(f"{seen[real]} and {job.source} would both become {job.output}")
        if real in sources:
            raise typer.BadParameter(f"{job.output} is an input file")
        seen[real] = job.source
    existing = [job.output for job in jobs if job.output is not None and job.output.is_file()]
    if existing and not force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise typer.BadParameter(f"{existing[0]}{more} exists; -f overwrites", param_hint="--output")


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()
