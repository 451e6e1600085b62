"""``secousti train``: handed to the training package, which needs torch and is imported only when it is asked for."""

from __future__ import annotations

import typer

from secousti_native._optional import require
from secousti_native.cli import batch
from secousti_native.cli.console import fail


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command("train", context_settings=settings)(train)


def train(context: typer.Context) -> None:
    """Train a codec on your own speech: manifest, prepare, run, log, export, synthesise."""
    try:
        require("torch", "training")
        from secousti_native.training.cli import app as training

        training(args=context.args, prog_name="secousti train")
    except ImportError as error:
        raise fail(batch.describe(error)) from None
