"""Refuses a sub-interpreter: the bindings work in the main one alone, and elsewhere their import would never end."""

from __future__ import annotations

import importlib
import sys


def in_main_interpreter() -> bool:
    try:
        interpreters = importlib.import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    except ImportError:  # a Python without sub-interpreters
        return True
    return bool(interpreters.get_current() == interpreters.get_main())


if not in_main_interpreter():
    raise ImportError(
        "secousti_native works in the main interpreter only; use processes instead of sub-interpreters (under "
        "mod_wsgi: WSGIApplicationGroup %{GLOBAL})"
    )
