"""Optional packages, imported at first use."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from secousti_native.errors import MissingDependencyError


def require(module: str, purpose: str, install: str | None = None) -> Any:
    """Imports ``module``; `MissingDependencyError` says what to install if it is absent."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        package = install or module
        raise MissingDependencyError(f"{purpose} needs {package}: pip install {package}") from None


def available(module: str) -> bool:
    """Whether ``module`` can be imported; it is not."""
    return importlib.util.find_spec(module) is not None


def loaded(module: str) -> Any | None:
    """The module if something has imported it already: an object of its types cannot exist otherwise."""
    return sys.modules.get(module)
