"""Logs of a run: `log.jsonl` always, a progress bar on a terminal, TensorBoard where it is installed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from secousti_native.training.validate import Example


class Monitor:
    """One line of JSON for each logged step and validation; only process 0 writes."""

    def __init__(self, folder: Path, rank: int, steps: int, progress: bool) -> None:
        self.active = rank == 0
        self.console = Console()
        self.bar: Progress | None = None
        self.board: Any = None
        if not self.active:
            return
        self.log = (folder / "log.jsonl").open("a", encoding="utf8")
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"))
        except ImportError:
            pass
        if progress and self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=self.console)
            self.task = self.bar.add_task("training", total=steps)

    def __enter__(self) -> Monitor:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()
        if self.board:
            self.board.close()
        if self.active:
            self.log.close()

    def advance(self, step: int) -> None:
        if self.bar:
            self.bar.update(self.task, completed=step)

    def train(self, step: int, seconds: float, values: dict[str, float]) -> None:
        self._write("train", step, seconds, values)

    def valid(self, step: int, seconds: float, values: dict[str, float], examples: list[Example]) -> None:
        self._write("valid", step, seconds, values)
        if self.active:
            text = "  ".join(f"{k} {v:.4g}" for k, v in values.items())
            self.console.print(f"step {step} ({seconds / 3600:.2f} h): {text}", soft_wrap=True, highlight=False)
        if self.board:
            for example in examples:
                for name, mel in (("original", example.original), ("restored", example.restored)):
                    image = ((mel.T.flip(0) + 11.5) / 13.5).clamp(0, 1)
                    self.board.add_image(f"{example.source}/{name}", image, step, dataformats="HW")

    def _write(self, kind: str, step: int, seconds: float, values: dict[str, float]) -> None:
        if not self.active:
            return
        entry = {"kind": kind, "step": step, "seconds": round(seconds, 2), "time": round(time.time(), 1), **values}
        self.log.write(json.dumps(entry) + "\n")
        self.log.flush()
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)
