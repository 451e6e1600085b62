"""``bench``: times of every stage on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from secousti_native._opening import PRECISIONS
from secousti_native.benchmark import run as benchmark
from secousti_native.cli import batch, options
from secousti_native.cli.console import fail, print_json, print_pairs, print_table


def bench(
    models: Annotated[list[str] | None, typer.Argument(help="Model names or files.", metavar="[MODEL...]")] = None,
    device: options.DeviceOption = options.Device.cpu,
    precision: Annotated[
        str | None,
        typer.Option(
            help=f"Some of {', '.join(PRECISIONS)}, with commas; or all. [default: the model's; bf16 on cuda]",
            metavar="NAMES",
        ),
    ] = None,
    threads: options.Threads = 1,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of audio for each measurement.")] = 10.0,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also time PyTorch and ONNX Runtime at the first model's sizes.")
    ] = False,
    offline: Annotated[float, typer.Option(min=0.0, help="Also encode so many minutes of audio in one call.")] = 0.0,
    groups: Annotated[
        bool, typer.Option("--groups", help="Also time groups of streams: how many one machine holds in real time.")
    ] = False,
    opening: Annotated[
        list[str] | None, typer.Option(help="Also time opening this file; may be given again.", metavar="FILE")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--everything", help="As --precision all --baselines --groups --offline 10: some 15 minutes."),
    ] = False,
    json: options.Json = False,
) -> None:
    """Milliseconds a step (p50, p99) and real-time factor of encoder, decoder and vocoder, beside roofline bounds."""
    if everything:
        precision, baselines, groups, offline = "all", True, True, offline or 10.0
    precisions = PRECISIONS if precision == "all" else tuple(precision.split(",")) if precision else (None,)
    try:
        report = benchmark.run(
            models or ["default", "default-21"], threads, seconds, baselines, precisions, offline, groups,
            opening or [], device.value,
        )  # fmt: skip
    except batch.EXPECTED as error:
        raise fail(batch.describe(error)) from None
    if json:
        print_json(report)
        return
    print_pairs(report["machine"])
    print_table(report["models"])
    if report["opening"]:
        print_table(report["opening"])
    print_table(report["rows"])


def register(app: typer.Typer) -> None:
    app.command()(bench)
