"""``bench``: times of every stage on this machine."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from secousti_native.cli import batch, options
from secousti_native.cli.console import fail, print_json, print_pairs, print_table
from secousti_native.codec import PRECISIONS


def bench(
    models: Annotated[list[str] | None, typer.Argument(help="Model names or files.", metavar="[MODEL...]")] = None,
    threads: options.Threads = 1,
    precision: Annotated[
        str,
        typer.Option(help=f"Of the weights: some of {', '.join(PRECISIONS)}, with commas; or all.", metavar="NAMES"),
    ] = "fp32",
    seconds: Annotated[float, typer.Option(min=0.1, help="Of audio for each measurement.")] = 10.0,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also time the PyTorch reference and ONNX Runtime at the same sizes.")
    ] = False,
    offline: Annotated[float, typer.Option(min=0.0, help="Also encode so many minutes of audio in one call.")] = 0.0,
    groups: Annotated[
        bool, typer.Option("--groups", help="Also time groups of streams: how many one machine holds in real time.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Milliseconds a frame (p50, p99) and real-time factor of encoder, decoder and vocoder."""
    precisions = PRECISIONS if precision == "all" else tuple(precision.split(","))
    try:
        # Named at run time: the benchmark needs packages that the other commands do not.
        report = importlib.import_module("secousti_native.bench").run(
            models or ["default", "default-21"], threads, seconds, baselines, precisions, offline, groups
        )
    except batch.EXPECTED as error:
        raise fail(batch.describe(error)) from None
    if json:
        print_json(report)
        return
    print_pairs(report["machine"])
    print_table(report["models"])
    print_table(report["rows"])


def register(app: typer.Typer) -> None:
    app.command()(bench)
