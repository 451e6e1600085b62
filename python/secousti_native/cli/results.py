"""What becomes of the files of a batch, told as it comes: lines of a table, lines of JSON, or one JSON document."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from secousti_native.cli.console import cell, label, print_json, print_json_line, print_pairs, stdout

_NUMBER_WIDTH = 8
_LEFT = {"input", "voice", "notes"}


class Show(Enum):
    """How results are told."""

    text = 1
    json = 2
    json_lines = 3


class Results:
    """Of one batch. A stdout that nobody reads any more, or that is full, does not end the batch."""

    def __init__(self, show: Show, inputs: Sequence[str], columns: Sequence[str]) -> None:
        self.done: list[dict[str, Any]] = []
        self.skipped: list[dict[str, Any]] = []
        self.failed: list[dict[str, Any]] = []
        self._show, self._columns, self._many = show, ("input", *columns), len(inputs) > 1
        name_width = max((cell_len(Text(name).plain) for name in inputs), default=0)
        self._widths = [max(cell_len(label(name)), 0 if name in _LEFT else _NUMBER_WIDTH) for name in self._columns]
        self._widths[0] = max(self._widths[0], name_width)
        self._begun = False
        self._error: OSError | None = None

    def add(self, row: dict[str, Any]) -> None:
        """A file that is done."""
        self.done.append(row)
        self._line("done", row)

    def skip(self, row: dict[str, Any]) -> None:
        """A file whose result was there."""
        self.skipped.append(row)
        self._line("skipped", row)

    def fail(self, row: dict[str, Any]) -> None:
        """A file without a result; people read of it on stderr."""
        self.failed.append(row)
        if self._show is Show.json_lines:
            self._line("failed", row)

    def end(self, summary: dict[str, Any], sentence: str) -> OSError | None:
        """Prints what is to be said at the end. Returns why results could not be printed, None if they were."""
        if self._show is Show.json:
            document = {"results": self.done, "skipped": self.skipped, "failed": self.failed}
            self._print(lambda: print_json(document | summary))
        elif self._show is Show.json_lines:
            self._print(lambda: print_json_line({"status": "summary"} | summary))
        elif self._many:
            self._print(lambda: stdout().print(sentence, markup=False))
        return None if isinstance(self._error, BrokenPipeError) else self._error

    def _line(self, status: str, row: dict[str, Any]) -> None:
        if self._show is Show.json_lines:
            self._print(lambda: print_json_line({"status": status} | row))
        elif self._show is Show.text and self._many:
            self._print(lambda: self._table_line(status, row))
        elif self._show is Show.text:
            shown = {name: row.get(name) for name in ("input", "output", *self._columns[1:])}
            extra = {"skipped": True} if status == "skipped" else {}
            self._print(lambda: print_pairs({k: v for k, v in shown.items() if v is not None} | extra))

    def _table_line(self, status: str, row: dict[str, Any]) -> None:
        if not self._begun:
            self._begun = True
            self._write([label(name) for name in self._columns], "bold")
        values = [cell(row.get(name)) for name in self._columns]
        self._write([values[0], "finished before"] if status == "skipped" else values, "")

    def _write(self, values: Sequence[str], style: str) -> None:
        parts = []
        for name, width, value in zip(self._columns, self._widths, values, strict=False):
            blank = " " * (width - cell_len(value))
            parts.append(value + blank if name in _LEFT or len(values) < len(self._columns) else blank + value)
        stdout().print(Text("  ".join(parts).rstrip(), style), soft_wrap=True)

    def _print(self, printing: Callable[[], None]) -> None:
        if self._error is not None:
            return
        try:
            printing()
            sys.stdout.flush()
        except OSError as error:
            self._error = error
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
