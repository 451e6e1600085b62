"""Exceptions of the package. Everything else that goes wrong raises the fitting built-in exception.

``ValueError`` and ``TypeError`` for arguments, ``OSError`` (and its subclasses) for files that cannot be opened, read
or written, ``MemoryError``, and ``RuntimeError`` for calls that do not fit a stream's state.
"""

from __future__ import annotations


class SecoustiError(Exception):
    """Base of the package's own exceptions."""


class ModelFormatError(SecoustiError, ValueError):
    """A model file is damaged, of another format, or its tensors do not fit its configuration."""


class ContainerError(SecoustiError, ValueError):
    """A ``.sec`` file is damaged or of another format; see also `Encoded.load` for reading what is intact."""


class SnapshotError(SecoustiError, ValueError):
    """A stream snapshot is damaged, or was taken with another model."""


class UnsupportedError(SecoustiError, RuntimeError):
    """The model or this build lacks the feature: precision, device, instruction set, branch or vocoder."""


class MissingDependencyError(SecoustiError, ImportError):
    """An optional package is not installed; the message says what to install."""


class AudioWarning(UserWarning):
    """Something about an audio file that its user should know; the file was read nevertheless."""
