"""``bench``: times of every stage on this machine."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from secousti_native.cli import batch, options
from secousti_native.cli.console import fail, print_json, print_pairs, print_table


def bench(
    models: Annotated[list[str] | None, typer.Argument(help="Model names or files.", metavar="[MODEL...]")] = None,
    threads: options.Threads = 1,
    precision: options.Precision = "fp32",
    seconds: Annotated[float, typer.Option(min=0.1, help="Of audio for each measurement.")] = 10.0,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also time the PyTorch reference of the same sizes, eager and compiled.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Milliseconds a frame (p50, p99) and real-time factor of encoder, decoder and vocoder."""
    try:
        # Named at run time: the benchmark needs packages that the other commands do not.
        report = importlib.import_module("secousti_native.bench").run(
            models or ["default", "default-21"], threads, seconds, baselines, precision
        )
    except batch.EXPECTED as error:
        raise fail(batch.describe(error)) from None
    if json:
        print_json(report)
        return
    print_pairs(report["machine"])
    print_table(report["rows"])


def register(app: typer.Typer) -> None:
    app.command()(bench)
