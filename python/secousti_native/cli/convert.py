"""``convert``: published checkpoints to model files."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from secousti_native._weights import sources
from secousti_native.cli import batch
from secousti_native.cli.console import fail, print_json, print_pairs
from secousti_native.cli.options import Force, Json


class Dtype(str, Enum):
    """Of the stored tensors; the engine widens them to float32."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class Precision(str, Enum):
    """Of the transformers' matrices in the file."""

    fp32 = "fp32"
    bf16 = "bf16"
    int8 = "int8"


def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="Checkpoint: .pt or .safetensors, or hf://owner/name[@revision]/file of the Hugging Face Hub.",
            metavar="CHECKPOINT",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model file.", metavar="MODEL")],
    vocoder: Annotated[
        str | None,
        typer.Option(
            help="HiFT checkpoint to put in; hift: hift.pt beside CHECKPOINT; spectral: takes another away. "
            "[default: as in CHECKPOINT, else spectral]",
            metavar="VOCODER",
        ),
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="Of the stored tensors.")] = Dtype.float32,
    precision: Annotated[
        Precision, typer.Option(help="Of the transformers' matrices: a file of bf16 or int8 is small and loads fast.")
    ] = Precision.fp32,
    token_precision: Annotated[
        Precision | None, typer.Option(help="The least that the transformer which leads to tokens is ever kept at.")
    ] = None,
    default_precision: Annotated[
        Precision | None,
        typer.Option(
            help="What it opens at when nobody asks: the fastest measured to keep its quality. "
            "[default: as in CHECKPOINT, unless its vocoder or token precision changes; else fp32]"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Converts a published checkpoint (`secousticodec_86_hz.pt`, ...) to the safetensors file that the engine loads.

    A file of the Hub is fetched first; `86` and `21.5` stand for the published ones. Pickled code is never run. Missing
    and misshapen tensors are all named; tensors that inference does not need are listed and dropped.
    """
    if output.exists() and not force:
        raise typer.BadParameter(f"{output} exists; -f overwrites", param_hint="--output")
    try:
        from secousti_native.convert import convert_checkpoint

        checkpoint, hift = sources(source, vocoder)
        tokens = token_precision.value if token_precision else None
        report = convert_checkpoint(
            checkpoint,
            output,
            hift,
            dtype=dtype.value,
            precision=precision.value,
            token_precision=tokens,
            default_precision=default_precision.value if default_precision else None,
            name=name,
        )
    except batch.EXPECTED as error:
        raise fail(batch.describe(error)) from None
    result = {
        "input": source,
        "output": str(report.path),
        "name": report.config.name,
        "token_rate_hz": report.config.frame_rate,
        "vocoder": report.config.vocoder.kind,
        "default_precision": report.config.default_precision,
        "parameters": report.parameters,
        "bytes": report.bytes,
        "dropped_tensors": list(report.dropped),
        "training_only_tensors_dropped": list(report.training_only) if json else len(report.training_only),
    }
    print_json(result) if json else print_pairs(result)


def register(app: typer.Typer) -> None:
    app.command()(convert)
