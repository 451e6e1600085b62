"""The command line, ``secousti``. Needs typer and rich."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point: exit code 0 if all went well, 1 if some inputs failed, 2 for wrong usage, 130 after Ctrl-C."""
    try:
        from secousti_native.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"secousti: the command line needs {error.name}: pip install {error.name}")
    try:
        try:
            app(prog_name="secousti")
        finally:
            sys.stdout.flush()
    except OSError as error:  # what commands read and write they handle themselves: this is stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for the interpreter's last flush
        sys.exit(1 if isinstance(error, BrokenPipeError) else f"error: {error.filename or 'stdout'}: {error.strerror}")
