"""Runs one piece of work on many files: a failing file is reported and the rest goes on."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer

from secousti_native.cli.console import Bar, print_json, print_pairs, print_table, progress_bar, stderr
from secousti_native.cli.files import Job
from secousti_native.errors import AudioWarning

#: What can be wrong with one input or one output; anything else is a bug and shows its traceback.
EXPECTED = (OSError, ValueError, TypeError, RuntimeError, ImportError, MemoryError)


def run(
    jobs: Sequence[Job],
    work: Callable[[Job, Bar], dict[str, Any]],
    *,
    json_output: bool,
    columns: Sequence[str],
) -> None:
    """Prints a row (or a JSON document) of what ``work`` returns for each job.

    Exits with 1 if some jobs failed, with 130 after Ctrl-C; what was finished until then is kept and reported.
    """
    done: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    interrupted = False
    with progress_bar(quiet=json_output) as bar:
        for job in jobs:
            try:
                if job.output is not None:
                    job.output.parent.mkdir(parents=True, exist_ok=True)
                with heard_warnings() as heard:
                    row = {"input": str(job.source), "output": _text(job.output)} | work(job, bar)
                done.append(row | ({"warnings": heard} if heard else {}))
            except KeyboardInterrupt:
                interrupted = True
                break
            except EXPECTED as error:
                text = describe(error)
                failed.append({"input": str(job.source), "error": text})
                named = text if text.startswith(str(job.source)) else f"{job.source}: {text}"
                stderr().print(named, style="red", markup=False)
    if json_output:
        print_json({"results": done, "failed": failed, "interrupted": interrupted})
    elif len(done) == 1:
        print_pairs(
            {name: done[0].get(name) for name in ("input", "output", *columns) if done[0].get(name) is not None}
        )
    elif done:
        print_table(done, ["input", *columns])
    if interrupted:
        left = len(jobs) - len(done) - len(failed)
        stderr().print(f"interrupted: {len(done)} of {len(jobs)} files done, {left} not; no partial file was left")
        raise typer.Exit(130)
    if failed:
        if len(jobs) > 1:
            stderr().print(f"{len(failed)} of {len(jobs)} files failed", style="red")
        raise typer.Exit(1)


@contextlib.contextmanager
def heard_warnings() -> Iterator[list[str]]:
    """What audio files gave to know, as text; it is printed on stderr at the end."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AudioWarning)
        try:
            yield texts
        finally:
            texts += [str(item.message) for item in caught if issubclass(item.category, AudioWarning)]
    for text in texts:
        stderr().print(f"warning: {text}", style="yellow", markup=False)
    for item in caught:
        if not issubclass(item.category, AudioWarning):
            warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)


def describe(error: BaseException) -> str:
    """One line for an exception, with the file of an ``OSError``."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError) and not str(error):
        return "out of memory"
    return str(error) or type(error).__name__


def _text(path: object | None) -> str | None:
    return None if path is None else str(path)
