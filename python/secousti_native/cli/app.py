"""The application: one file a command group."""

from __future__ import annotations

from typing import Annotated

import typer

from secousti_native import __version__
from secousti_native.cli import bench, codec, convert, evaluate, info, stream, train, voice

app = typer.Typer(
    name="secousti",
    help="Speech to one stream of tokens and back: the SecoustiCodec, natively on the CPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"secousti {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for _group in (codec, voice, info, convert, stream, bench, evaluate, train):
    _group.register(app)
