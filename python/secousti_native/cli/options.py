"""Options that several commands share."""

from __future__ import annotations

import os
from enum import Enum
from typing import Annotated, TypeAlias

import typer

from secousti_native._opening import PRECISIONS
from secousti_native.cli.batch import EXPECTED, describe
from secousti_native.cli.console import fail
from secousti_native.cli.results import Show
from secousti_native.codec import Codec

#: Of one stream, in the engine.
MAX_THREADS = 256


class Device(str, Enum):
    """Where a model works; never anywhere else than asked for."""

    cpu = "cpu"
    cuda = "cuda"


Model: TypeAlias = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="default (86 Hz), default-21 (21.5 Hz), a model file, a PyTorch checkpoint, or hf://owner/name/file. "
        "+hift or +FILE at its end is its vocoder.",
        metavar="MODEL",
    ),
]
DeviceOption: TypeAlias = Annotated[
    Device, typer.Option("--device", help="Where the model works: the CPU or the first CUDA device.")
]
Precision: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help=f"Of the transformers' weights: {', '.join(PRECISIONS)}. [default: the model's; bf16 on cuda]",
        metavar="NAME",
    ),
]
Threads: TypeAlias = Annotated[
    int, typer.Option("--threads", "-t", min=1, max=1024, help="Of the CPU, for one file; no more than it has.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
JsonLines: TypeAlias = Annotated[
    bool, typer.Option("--jsonl", help="Print a line of JSON for each file as it is done, and a summary.")
]
SkipExisting: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        help="Go on with a batch: pass over results that are whole and of the same model; make the others again.",
    ),
]
Force: TypeAlias = Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing files.")]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", min=0, help="Of the vocoder's noise.")]
LookAhead: TypeAlias = Annotated[
    int | None,
    typer.Option("--look-ahead", min=0, max=3, help="Of the spectral vocoder, in mel frames. [default: the model's]"),
]
Damaged: TypeAlias = Annotated[
    bool, typer.Option("--damaged", help="Take what is left of audio files that are cut or damaged.")
]
Channel: TypeAlias = Annotated[
    int | None, typer.Option("--channel", min=0, help="Of audio files, from 0. [default: the mean of all]")
]
Output: TypeAlias = Annotated[
    str,
    typer.Option(
        "--output", "-o", help="A file for one input file, a folder for more or if it ends in /.", metavar="OUT"
    ),
]


def show(json: bool, json_lines: bool) -> Show:
    """How results are told. Usage error if both were asked for."""
    if json and json_lines:
        raise typer.BadParameter("not together with --json", param_hint="--jsonl")
    return Show.json if json else Show.json_lines if json_lines else Show.text


def open_codec(model: str, device: Device, precision: str | None, threads: int) -> Codec:
    """The model, or an error on one line and exit code 1. Threads without a CPU would only wait for each other."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = min(threads, usable, MAX_THREADS)
    try:
        return Codec.from_pretrained(model, device=device.value, precision=precision, threads=threads)
    except EXPECTED as error:
        raise fail(f"cannot open model {model}: {describe(error)}") from None
