"""Where an open model comes from, so that it can travel to another process and be opened there again."""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from dataclasses import dataclass, replace
from pathlib import Path

from secousti_native import _core
from secousti_native._interrupts import interruptible
from secousti_native.errors import ModelFormatError

_ASSETS = Path(__file__).parent / "assets"
EMBEDDED = {"default": "default_86.safetensors", "default-21": "default_21.safetensors"}


def embedded_path(name: str) -> Path:
    return _ASSETS / EMBEDDED[name]


@dataclass(frozen=True)
class Options:
    """How the engine opens a model; see `Codec.from_pretrained`."""

    isa: str | None = None
    precision: str | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Source:
    """An embedded model's name, the absolute path of a model file, or the bytes of one, and the options."""

    model: str | bytes
    options: Options
    state: tuple[int, int] | None = None
    """Of a file, when it was opened: size and time of its last change."""
    digest: bytes | None = None
    """Of the content, once it travels."""

    @classmethod
    def of(cls, model: str | bytes | Path, options: Options) -> Source:
        """``model``: name, path (made absolute, the working directory may change) or bytes."""
        if not isinstance(model, bytes):
            model = str(model) if model in EMBEDDED else os.path.abspath(model)  # noqa: PTH100
        return cls(model, options).here()

    @property
    def path(self) -> Path:
        assert isinstance(self.model, str)
        return embedded_path(self.model) if self.model in EMBEDDED else Path(self.model)

    def open(self) -> _core.Model:
        """Opens the model. Ctrl-C ends it."""
        isa, precision, device = self.options.isa, self.options.precision, self.options.device
        if isinstance(self.model, bytes):
            data = self.model
            core = interruptible(lambda: _core.Model.from_memory(data, isa, precision, device))
        else:
            name = os.fsencode(self.path)
            core = interruptible(lambda: _core.Model(name, isa, precision, device))
        with _lock[0]:
            _opened.setdefault(self._key(), core)
        return core

    def travelling(self, precision: str) -> Source:
        """What goes into a pickle: with the precision that was taken, and a digest of the content.

        ``OSError`` if the file is gone, `ModelFormatError` if it is another by now.
        """
        if isinstance(self.model, bytes):
            digest = _digest_of(self.model)
        elif _state(self.path) == self.state:
            digest = _digest(self.path)
        else:
            raise ModelFormatError(f"{self.path}: has changed since the codec was opened; open the codec anew")
        source = replace(self, options=replace(self.options, precision=precision), digest=digest)
        with _lock[0]:  # the model that is opened from it in this process is this one
            core = _opened.get(self._key())
            if core is not None:
                _opened.setdefault(source._key(), core)
        return source

    def here(self) -> Source:
        """The same with the state of this machine's file."""
        return self if isinstance(self.model, bytes) else replace(self, state=_state(self.path))

    def reopen(self) -> _core.Model:
        """The model in this process, shared with others of the same source and options.

        ``OSError`` if the file is not here, `ModelFormatError` if it has another content.
        """
        try:
            here = self.here()
        except OSError as error:
            what = "the codec was opened from this file, which is not here; put it there, or open the codec here"
            raise type(error)(error.errno, what, os.fspath(self.path)) from None
        with _lock[0]:
            core = _opened.get(here._key())
        if not isinstance(here.model, bytes) and _digest(here.path) != self.digest:
            raise ModelFormatError(
                f"{here.path}: holds another model than when the codec was pickled; pickle the codec anew"
            )
        return here.open() if core is None else core

    def _key(self) -> tuple[object, ...]:
        # The environment decides where the options leave the instruction set open.
        isa = self.options.isa or os.environ.get("SECOUSTI_ISA")
        content = _digest_of(self.model) if isinstance(self.model, bytes) else self.model
        return content, self.state, isa, self.options.precision, self.options.device


_lock = [threading.Lock()]
_opened: weakref.WeakValueDictionary[tuple[object, ...], _core.Model] = weakref.WeakValueDictionary()
_digests: dict[tuple[str, tuple[int, int]], bytes] = {}


def _new_lock() -> None:
    """A thread of the parent may have held the lock when the process was forked."""
    _lock[0] = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _digest(path: Path) -> bytes:
    """Of a file's content; read once for each of its states."""
    key = os.fspath(path), _state(path)
    if key not in _digests:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        _digests[key] = digest.digest()
    return _digests[key]


def _digest_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
