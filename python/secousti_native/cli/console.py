"""What commands print: results on stdout (one JSON document with --json), progress and errors on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

# Wide enough for every table where no terminal sets the width.
_FILE_WIDTH = 240

_LABELS = {
    "bit_rate": "bit/s",
    "bit_rate_with_header": "with header",
    "bit_rate_with_voice": "with voice",
    "real_time_factor": "real-time factor",
    "encode_real_time_factor": "encode RTF",
    "decode_real_time_factor": "decode RTF",
    "pesq_wb": "PESQ-WB",
    "stoi": "STOI",
}


def stdout() -> Console:
    return Console(file=sys.stdout, highlight=False, emoji=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)


def stderr() -> Console:
    return Console(file=sys.stderr, highlight=False, emoji=False, soft_wrap=True)


def label(name: str) -> str:
    """What people read for a key of the JSON output."""
    return _LABELS.get(name, name.replace("_", " "))


def fail(message: str, code: int = 1) -> typer.Exit:
    """Prints an error; the caller raises the result."""
    stderr().print(f"error: {message}", style="red", markup=False)
    return typer.Exit(code)


def print_json(document: Any) -> None:
    _write_json(document, indent=2)


def print_json_line(document: Any) -> None:
    _write_json(document, indent=None)


def _write_json(document: Any, indent: int | None) -> None:
    """As text, or escaped where stdout cannot take it, such as file names that are not UTF-8."""
    text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=indent, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> None:
    """One column a key; numbers to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    names = list(columns) if columns is not None else list(rows[0])
    for name in names:
        numeric = all(isinstance(row.get(name), int | float | None) for row in rows)
        table.add_column(label(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(row.get(name))) for name in names))
    stdout().print(table)


def print_pairs(pairs: dict[str, Any]) -> None:
    """``name  value`` lines, nested objects indented."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")

    def add(values: dict[str, Any], indent: str) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                table.add_row(Text(indent + label(name)), "")
                add(value, indent + "  ")
            else:
                table.add_row(Text(indent + label(name)), Text(cell(value)))

    add(pairs, "")
    stdout().print(table)


def cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(cell(v) for v in value) or "-"
    return str(value)


class Bar(Protocol):
    """Shows that work goes on."""

    def start(self, label: str, total: float | None) -> None:
        """A new file of ``total`` units; None if nobody knows."""

    def show(self, done: float) -> None:
        """So many of them are done."""


class _Silent:
    def start(self, label: str, total: float | None) -> None:
        pass

    def show(self, done: float) -> None:
        pass


class _Rich:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    def start(self, label: str, total: float | None) -> None:
        self._progress.reset(self._task, description=label, total=total)

    def show(self, done: float) -> None:
        self._progress.update(self._task, completed=done)


@contextlib.contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Bar]:
    """A bar on stderr where that is a terminal."""
    console = stderr()
    if quiet or not console.is_terminal:
        yield _Silent()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        yield _Rich(progress)
