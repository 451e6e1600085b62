"""Runs one piece of work on many files: a failing file is reported and the rest goes on."""

from __future__ import annotations

import contextlib
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer

from secousti_native._files import remove_leftovers
from secousti_native.cli.console import Bar, stderr
from secousti_native.cli.files import Job
from secousti_native.cli.progress import BatchBar, batch_bar, hours
from secousti_native.cli.results import Results, Show
from secousti_native.errors import AudioWarning

#: What can be wrong with one input or one output; anything else is a bug and shows its traceback.
EXPECTED = (OSError, ValueError, TypeError, RuntimeError, ImportError, MemoryError)


def run(
    jobs: Sequence[Job],
    work: Callable[[Job, Bar], dict[str, Any]],
    *,
    show: Show,
    columns: Sequence[str],
    finished: Callable[[Job], bool] | None = None,
) -> None:
    """Prints a row (or JSON) of what ``work`` returns for each job, as it comes, and a summary.

    Jobs for which ``finished`` says so are passed over. Exits with 1 if some jobs failed, with 130 after Ctrl-C and
    128 + N after another signal that asks to end; what was finished until then is kept and reported.
    """
    results = Results(show, [str(job.source) for job in jobs], columns)
    if finished is not None:
        remove_leftovers(job.output for job in jobs if job.output is not None)
    interrupted = False
    on_screen = show is Show.text
    with _signals() as arrived, batch_bar(jobs, quiet=not on_screen) as bar:
        try:
            for job in jobs:
                _one(job, work, finished, results, bar)
        except KeyboardInterrupt:
            interrupted = True
    counts = {"done": len(results.done), "skipped": len(results.skipped), "failed": len(results.failed)}
    left = len(jobs) - sum(counts.values())
    factor = round(bar.elapsed / bar.seconds, 4) if bar.seconds else None
    summary = counts | {"left": left, "seconds": round(bar.seconds, 3), "elapsed_seconds": round(bar.elapsed, 3)}
    sentence = f"{counts['done']} files done, {counts['skipped']} skipped, {counts['failed']} failed"
    sentence += f"; {hours(bar.seconds)} of audio in {bar.elapsed:.0f} s"
    sentence += f", real-time factor {factor:.3g}" if factor is not None else ""
    error = results.end({"interrupted": interrupted, "summary": summary | {"real_time_factor": factor}}, sentence)
    if error is not None:
        stderr().print(f"error: stdout: {error.strerror}", style="red", markup=False)
    if interrupted:
        finished_files = counts["done"] + counts["skipped"]
        stderr().print(
            f"interrupted: {finished_files} of {len(jobs)} files done, {left} not; no partial file was left",
            markup=False,
        )
        raise typer.Exit(128 + (arrived[0] if arrived else signal.SIGINT))
    if results.failed and len(jobs) > 1:
        stderr().print(f"{counts['failed']} of {len(jobs)} files failed", style="red")
    if results.failed or error is not None:
        raise typer.Exit(1)


def _one(
    job: Job,
    work: Callable[[Job, Bar], dict[str, Any]],
    finished: Callable[[Job], bool] | None,
    results: Results,
    bar: BatchBar,
) -> None:
    names = {"input": str(job.source), "output": None if job.output is None else str(job.output)}
    row: dict[str, Any] | None = None
    try:
        if finished is None or not finished(job):
            if job.output is not None:
                job.source.stat()  # no folder for what is not there
                job.output.parent.mkdir(parents=True, exist_ok=True)
            with heard_warnings() as heard:
                row = names | work(job, bar)
            row |= {"warnings": heard} if heard else {}
    except Exception as error:  # one file's failure, a bug even, never costs another's result
        expected = isinstance(error, EXPECTED)
        text = describe(error) if expected else f"internal error: {type(error).__name__}: {error}"
        if not expected:
            traceback.print_exc()
        named = text if text.startswith(names["input"] or "") else f"{job.source}: {text}"
        stderr().print(named, style="red", markup=False)
        bar.end(0.0)
        results.fail({"input": names["input"], "error": text})
        return
    if row is None:
        bar.end(0.0, skipped=True)
        results.skip(names)
    else:
        bar.end(row.get("seconds") or 0.0)
        results.add(row)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """SIGTERM and SIGHUP end the work as Ctrl-C does; the list says which came."""
    arrived: list[int] = []
    caught = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # Not where Ctrl-C is ignored, and not what a caller ignores (nohup) or handles itself.
    usable = threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT))
    caught = [number for number in caught if usable and signal.getsignal(number) is signal.SIG_DFL]

    def as_ctrl_c(number: int, _: object) -> None:
        arrived.append(number)
        signal.raise_signal(signal.SIGINT)  # whose handler knows where it must wait

    for number in caught:
        signal.signal(number, as_ctrl_c)
    try:
        yield arrived
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


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
