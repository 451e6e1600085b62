"""The bytes of a path, pipe, file-like object or buffer, at any position and as often as wanted."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

#: What audio is read from: a path, a binary file-like object, or the bytes of a file.
Readable: TypeAlias = Any

#: A part of a `Virtual` file: bytes of its own, or (offset, length) in the source.
Part: TypeAlias = bytes | tuple[int, int]

# A pipe's content goes to a temporary file beyond this.
_IN_MEMORY = 1 << 25


class Source:
    """A source's bytes. Pipes and other streams are read to their end first, into a temporary file if they are long.

    Raises ``OSError`` for a file that cannot be opened, ``TypeError`` for what is none.
    """

    def __init__(self, readable: Readable) -> None:
        self.name = "audio"
        self._owned = True
        self._base = 0
        self._file: BinaryIO = self._open(readable)
        self._file.seek(0, os.SEEK_END)
        self.size = self._file.tell() - self._base

    def _open(self, readable: Readable) -> BinaryIO:
        if isinstance(readable, bytes | bytearray | memoryview):
            return io.BytesIO(readable)
        if isinstance(readable, str | os.PathLike):
            self.name = os.fsdecode(readable)
            file: BinaryIO = Path(readable).open("rb")  # noqa: SIM115
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file
            with file:
                return _spool(file)
        if not hasattr(readable, "read"):
            raise TypeError(f"expected a path, bytes or a binary file, got {type(readable).__name__}")
        if isinstance(readable, io.TextIOBase):
            raise TypeError("expected a binary file, got one opened as text; open it with 'rb'")
        name = getattr(readable, "name", None)
        if isinstance(name, str):
            self.name = name
        if _can_seek(readable):
            self._owned = False
            self._base = readable.tell()
            return readable  # type: ignore[no-any-return]
        return _spool(readable)

    def read_at(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``offset``; fewer only at the end."""
        if not 0 <= offset < self.size or count <= 0:
            return b""
        self._file.seek(self._base + offset)
        data = self._file.read(count)
        while data and len(data) < count and (more := self._file.read(count - len(data))):
            data += more  # an unbuffered file may give less than there is
        return data

    def close(self) -> None:
        """Closes what this opened; another's file is left at its end."""
        if self._owned:
            self._file.close()
        else:
            self._file.seek(0, os.SEEK_END)


def _can_seek(file: Any) -> bool:
    try:
        if not file.seekable():
            return False
        file.seek(file.tell())
    except (AttributeError, OSError):
        return False
    return True


def _spool(file: Any) -> BinaryIO:
    spool = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
    try:
        shutil.copyfileobj(file, spool, 1 << 18)
    except TypeError:
        spool.close()
        raise TypeError("expected a binary file: its read() gives no bytes") from None
    except BaseException:
        spool.close()
        raise
    return spool  # type: ignore[return-value]


class Virtual(io.RawIOBase):
    """A read-only file made of ``parts``, for decoders that call back.

    An exception inside such a call would be lost: it is kept in ``failure`` and the file ends there.
    """

    def __init__(self, source: Source, parts: Sequence[Part]) -> None:
        self._source = source
        self._parts: list[tuple[int, int, Part]] = []  # first and last position, content
        at = 0
        for part in parts:
            length = len(part) if isinstance(part, bytes) else part[1]
            if length > 0:
                self._parts.append((at, at + length, part))
                at += length
        self.size = at
        self._at = 0
        self._index = 0
        self.failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        filled = 0
        try:
            while filled < len(view) and (data := self._next(len(view) - filled)):
                view[filled : filled + len(data)] = data
                filled += len(data)
        except (OSError, ValueError) as error:
            self.failure = error
        return filled

    def _next(self, count: int) -> bytes:
        while self._index > 0 and self._at < self._parts[self._index][0]:
            self._index -= 1
        while self._index < len(self._parts) - 1 and self._at >= self._parts[self._index][1]:
            self._index += 1
        if self._at >= self.size:
            return b""
        first, last, part = self._parts[self._index]
        inside, count = self._at - first, min(count, last - self._at)
        data = self._source.read_at(part[0] + inside, count) if isinstance(part, tuple) else part[inside:][:count]
        self._at += len(data)
        return data
