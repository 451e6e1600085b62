"""How far a batch is, on stderr where that is a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from secousti_native.cli.console import stderr
from secousti_native.cli.files import Job


class BatchBar:
    """A `Bar` for the file in work, and the batch around it. Files count by their size, for the time that is left."""

    def __init__(self, jobs: Sequence[Job], progress: Progress | None = None) -> None:
        sizes = [_size(job) for job in jobs]
        # Pipes have no size: then every file counts the same.
        self._sizes = sizes if all(sizes) else [1] * len(jobs)
        self._progress = progress
        self._task = TaskID(0) if progress is None else progress.add_task("", total=sum(self._sizes))
        self._left = sum(self._sizes)
        self._done = 0
        self._at = 0
        self._total: float | None = None
        self._label = ""
        self._started = time.monotonic()
        self.seconds = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the batch began."""
        return time.monotonic() - self._started

    def start(self, label: str, total: float | None) -> None:
        """The next file's work is known: ``total`` units; None if nobody knows."""
        self._label, self._total = label, total
        self.show(0.0)

    def show(self, done: float) -> None:
        """So many of them are done."""
        share = min(1.0, done / self._total) if self._total else 0.0
        self._update(self._done + share * self._size)

    def end(self, seconds: float, skipped: bool = False) -> None:
        """A file has ended, with so many seconds of audio. One that was skipped took no time and is not counted."""
        if skipped:
            self._left -= self._size
        else:
            self._done += self._size
        self.seconds += seconds
        self._at += 1
        self._total = None
        self._update(self._done)

    @property
    def _size(self) -> int:
        return self._sizes[self._at] if self._at < len(self._sizes) else 0

    def _update(self, completed: float) -> None:
        if self._progress is None:
            return
        speed = f", real-time factor {self.elapsed / self.seconds:.3g}" if self.seconds else ""
        text = f"{self._label}  {self._at} of {len(self._sizes)} files, {hours(self.seconds)}{speed}"
        self._progress.update(self._task, completed=completed, total=self._left, description=text)


def hours(seconds: float) -> str:
    """Of audio, as people read it."""
    return f"{seconds / 3600.0:.2f} h" if seconds >= 360.0 else f"{seconds:.0f} s"


@contextlib.contextmanager
def batch_bar(jobs: Sequence[Job], quiet: bool) -> Iterator[BatchBar]:
    console = stderr()
    if quiet or not console.is_terminal:
        yield BatchBar(jobs)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    # Results that go to the terminal too are printed above the bar; those that go elsewhere, there.
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True,
                  redirect_stdout=sys.stdout.isatty()) as progress:  # fmt: skip
        yield BatchBar(jobs, progress)


def _size(job: Job) -> int:
    try:
        return job.source.stat().st_size
    except OSError:
        return 1  # it will be reported as failed
