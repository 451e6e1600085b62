"""The command line, ``secousti``. Needs typer and rich."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point: exit code 0 if all went well, 1 if some inputs failed, 2 for wrong usage, 130 after Ctrl-C."""
    try:
        from secousti_native.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"secousti: the command line needs {error.name}: pip install {error.name}")
    app(prog_name="secousti")
