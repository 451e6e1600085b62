"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import stat
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = re.compile(r"\A\..+\.[0-9a-f]{12}\.tmp\Z", re.DOTALL)


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
    temporary = target.with_name(f"{_prefix(target.name)}{secrets.token_hex(6)}.tmp")
    permissions = stat.S_IMODE(mode) if mode is not None else 0o666
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, flags, permissions)
    except OSError as error:  # the user knows nothing of the temporary name
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        try:
            _lock(descriptor)
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


def remove_leftovers(paths: Iterable[str | os.PathLike[str]]) -> int:
    """Removes what killed processes had begun to write for ``paths``; returns how many files that were.

    A file that a living process writes is locked, and stays. So does everything where files cannot be locked.
    """
    prefixes: dict[Path, set[str]] = {}
    for path in paths:
        target = Path(os.path.realpath(path))
        prefixes.setdefault(target.parent, set()).add(_prefix(target.name))
    removed = 0
    for folder, wanted in prefixes.items():
        with contextlib.suppress(OSError):
            names = [entry.name for entry in os.scandir(folder) if _TEMPORARY.search(entry.name)]
            for name in names:
                if name[: -len("0123456789ab.tmp")] in wanted and _remove_unlocked(folder / name):
                    removed += 1
    return removed


def _prefix(name: str) -> str:
    """Of the temporary files for a file of that name. A file name may have 255 bytes, whatever the characters."""
    return f".{os.fsdecode(os.fsencode(name)[:200])}."


def _lock(descriptor: int) -> bool:
    """Until the descriptor is closed, by whatever death. False if another has the lock, or nobody can."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_unlocked(path: Path) -> bool:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR)
        try:
            if _lock(descriptor):
                path.unlink()
                return True
        finally:
            os.close(descriptor)
    return False


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
