"""The command line, ``secousti``. Needs typer and rich."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Entry point: exit code 0 if all went well, 1 if some inputs failed, 2 for wrong usage, 130 after Ctrl-C."""
    _open_standard_files()
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


def _open_standard_files() -> None:
    """Those that the caller had closed (``>&-``) lead nowhere. What cannot be printed is escaped, as on stderr."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # or the next file would be written to as if it were stdout
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
