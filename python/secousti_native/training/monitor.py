"""Logs of a run: `log.jsonl` always, a progress bar on a terminal, TensorBoard where it is installed.

TensorBoard also gets speech, through the native engine's `spectral` vocoder, where the engine is built.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from secousti_native.training.listening import vocoder

if TYPE_CHECKING:
    from secousti_native.codec import Codec
    from secousti_native.training.validate import Example


class Monitor:
    """One line of JSON for each logged step and validation; only process 0 writes.

    ``mel_fields`` are the sizes of the mel front end, by their names in the codec's config.
    """

    def __init__(
        self, folder: Path, rank: int, steps: int, progress: bool, mel_fields: Mapping[str, float] | None = None
    ) -> None:
        self.active = rank == 0
        self.console = Console()
        self.bar: Progress | None = None
        self.board: Any = None
        self.vocoder: Codec | None = None
        self.heard: set[str] = set()
        if not self.active:
            return
        self.log = (folder / "log.jsonl").open("a", encoding="utf8")
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"))
            self.vocoder = vocoder(mel_fields or {})
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
                self._show(f"{example.source}/restored", example.restored, step)
                original = f"{example.source}/original"
                if original not in self.heard:  # it never changes
                    self._show(original, example.original, step)
                    self.heard.add(original)

    def _show(self, tag: str, mel: torch.Tensor, step: int) -> None:
        self.board.add_image(tag, ((mel.T.flip(0) + 11.5) / 13.5).clamp(0, 1), step, dataformats="HW")
        if self.vocoder is not None:
            sound = torch.as_tensor(self.vocoder.stages.vocode(mel.numpy()))
            self.board.add_audio(tag, sound[None], step, self.vocoder.sample_rate)

    def _write(self, kind: str, step: int, seconds: float, values: dict[str, float]) -> None:
        if not self.active:
            return
        entry = {"kind": kind, "step": step, "seconds": round(seconds, 2), "time": round(time.time(), 1), **values}
        self.log.write(json.dumps(entry) + "\n")
        self.log.flush()
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)
