"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType


def write_atomically(path: str | os.PathLike[str], *data: bytes | memoryview) -> None:
    """Writes ``data`` (pieces) to ``path``: a reader, a full disk, an error or Ctrl-C sees the old file or all of it.

    A device or pipe is written to directly. Raises ``OSError``.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays a link
    mode = _mode(target)
    if mode is not None and not stat.S_ISREG(mode):
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "is a directory", str(path))
        with target.open("wb", buffering=0) as file:
            for part in data:
                _write_all(file.fileno(), part)
        return
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(6)}.tmp")
    permissions = stat.S_IMODE(mode) if mode is not None else 0o666
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, flags, permissions)
    except OSError as error:  # the user knows nothing of the temporary name
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        try:
            for part in data:
                _write_all(descriptor, part)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def deferred_ctrl_c() -> Iterator[None]:
    """Ctrl-C waits until the block has ended: an exception raised inside a callback from C would be lost."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive on the main thread
        return
    arrived: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: arrived.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if arrived and callable(handler):
            handler(*arrived[0])


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _write_all(descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
