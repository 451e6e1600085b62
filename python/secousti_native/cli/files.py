"""Which files a command reads, and where each result goes."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from secousti_native import audio


@dataclass(frozen=True)
class Job:
    """One input and its output. ``output`` is None when the command writes none."""

    source: Path
    output: Path | None


@dataclass(frozen=True)
class _Found:
    path: Path
    relative: Path  # below the folder or the fixed part of the pattern that it was found through


def plan(
    inputs: Iterable[str],
    output: str | None,
    endings: frozenset[str],
    suffix: str,
    *,
    force: bool = False,
    resume: bool = False,
    writable: Sequence[str] | None = None,
    option: str = "--output",
) -> list[Job]:
    """Pairs every input file with its output, mirroring folders below ``output``. Usage errors end the program.

    Inputs are files, folders (searched for ``endings``) and glob patterns; what exists is no pattern. ``output`` is a
    file for a single input file, unless it exists as a folder or ends in a slash; a folder otherwise. Outputs end in
    one of ``writable`` (None: in no ending of audio). Files that exist are refused without ``force`` or ``resume``.
    """
    inputs = list(inputs)
    # A pipe is one input, too, such as that of a shell's <(command), and so is a file that is not there.
    single = len(inputs) == 1 and not Path(inputs[0]).is_dir() and not _is_pattern(inputs[0])
    as_folder = output is not None and (not single or output.endswith(("/", os.sep)) or Path(output).is_dir())
    below = os.path.realpath(output) if output is not None and as_folder else None
    found = [item for text in inputs for item in _expand(text, endings, below)]
    unique = {_place(item.path): item for item in reversed(found)}
    items = [item for item in found if unique[_place(item.path)] is item]
    if output is None:
        return [Job(item.path, None) for item in items]
    target = Path(output)
    jobs = [Job(item.path, (target / item.relative).with_suffix(suffix) if as_folder else target) for item in items]
    if as_folder:
        _check_ending(Path("x" + suffix), writable, "--format")
        if target.suffix in (writable or (suffix,)) and not target.is_dir() and not output.endswith(("/", os.sep)):
            raise typer.BadParameter(f"{output} is the name of a file, but several results need a folder; end it in / "
                                     "if it is one", param_hint=option)  # fmt: skip
    elif not _is_device(target):
        _check_ending(target, writable, option)
    _check_folder(target if as_folder else target.parent, option)
    _check_outputs(jobs, force, resume, option)
    return jobs


def _place(path: Path) -> str:
    """Of a file, the same whatever way leads to its folder. Two links to one file are two files."""
    return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118


def _expand(text: str, endings: frozenset[str], output: str | None) -> list[_Found]:
    path = Path(text)
    if path.is_dir():
        files = sorted(_walk(path, lambda found: found.suffix.lower() in endings, output))
        if not files:
            raise typer.BadParameter(f"{text}: no {' '.join(sorted(endings))} files in this folder")
        return [_Found(p, p.relative_to(path)) for p in files]
    if not _is_pattern(text):
        return [_Found(path, Path(path.name))]  # a missing file is reported with the others that fail
    # Below the folders that come before the first wildcard. What exists as it is spelled is no wildcard.
    fixed = Path()
    pattern = list(path.parts)
    for i, part in enumerate(path.parts):
        if glob.has_magic(part) and not (fixed / part).exists():
            break
        fixed /= part
        pattern[i] = glob.escape(part)
    if "**" in pattern:  # glob would go through linked folders that lead back to themselves again and again
        rest = path.parts[len(fixed.parts) :]
        files = sorted(_walk(fixed, lambda found: _matches(found.relative_to(fixed).parts, rest), output))
    else:
        files = sorted(p for p in map(Path, glob.glob(str(Path(*pattern)))) if p.is_file())  # noqa: PTH207
    if not files:
        raise typer.BadParameter(f"{text}: no file matches")
    return [_Found(p, p.relative_to(fixed) if fixed.parts else p) for p in files]


def _is_pattern(text: str) -> bool:
    return glob.has_magic(text) and not os.path.lexists(text)


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """As glob: ``**`` is any number of folders, and what begins with a dot must be asked for."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        hidden = not names or names[0].startswith(".")
        return _matches(names, pattern[1:]) or (not hidden and _matches(names[1:], pattern))
    if not names or (names[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])


def _walk(folder: Path, wanted: Callable[[Path], bool], output: str | None) -> Iterator[Path]:
    """Files below ``folder``, those of linked folders too, each folder once. Not those of an ``output`` folder in it.

    A folder that cannot be read comes as if it were a file, so that it is reported with those that fail.
    """
    seen: set[str] = set()
    waiting = [str(folder)]
    failed: list[OSError] = []
    if output == os.path.realpath(folder):
        output = None
    while waiting:
        links: list[str] = []
        for top in waiting:
            if os.path.realpath(top) in seen:
                continue
            for path, folders, names in os.walk(top, onerror=failed.append):
                seen.add(os.path.realpath(path))
                below = [Path(path, name) for name in sorted(folders)]
                # Links after all folders, so that files are found where they are rather than through a link.
                links += [str(p) for p in below if p.is_symlink()]
                folders[:] = [p.name for p in below if os.path.realpath(p) not in seen | {output}]
                # ._NAME is what macOS puts beside NAME where it has no other place for attributes.
                found = (Path(path, name) for name in names if not name.startswith("._"))
                yield from (file for file in found if wanted(file) and file.is_file())
        waiting = sorted(link for link in links if os.path.realpath(link) != output)
    yield from (Path(error.filename) for error in failed)


def _check_ending(path: Path, writable: Sequence[str] | None, option: str) -> None:
    ending = path.suffix.lower()
    if writable is None:
        if ending in audio.EXTENSIONS:
            raise typer.BadParameter(f"{path}: tokens are no audio; name it .sec", param_hint=option)
    elif ending not in writable:
        name = ending if option == "--format" else str(path)
        raise typer.BadParameter(f"{name}: cannot be written; use {' '.join(writable)}", param_hint=option)


def _check_folder(folder: Path, option: str) -> None:
    """Refuses a folder that can neither be written to nor made."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is a file, but a folder is needed there", param_hint=option)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"{folder}: no permission to write there", param_hint=option)


def _check_outputs(jobs: list[Job], force: bool, resume: bool, option: str) -> None:
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
        if job.output.is_dir():
            raise typer.BadParameter(f"{job.output} is a folder, where a file is to be written", param_hint=option)
        seen[real] = job.source
    existing = [job.output for job in jobs if job.output is not None and job.output.is_file()]
    if existing and not force and not resume:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise typer.BadParameter(
            f"{existing[0]}{more} exists; -f overwrites, --skip-existing goes on", param_hint=option
        )


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()
