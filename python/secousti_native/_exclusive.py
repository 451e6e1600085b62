"""Objects with a state that is one thread's at a time and is copied by a method, not by `copy` or `pickle`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, NoReturn, SupportsIndex


class NotCopied:
    """`copy.copy`, `copy.deepcopy` and `pickle` refuse, and say what to do."""

    _instead: ClassVar[str]

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"{type(self).__name__}: cannot be copied or pickled; {self._instead}")


class Exclusive(NotCopied):
    """One call at a time."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        # Not a lock: Ctrl-C just after it is taken would leave it taken for good. A thread that is still written down
        # here when it comes again is one whose call was ended so.
        caller = threading.get_ident()
        if self._users.setdefault("thread", caller) != caller:
            raise RuntimeError("the stream is in use by another thread; give each thread its own")
        try:
            yield
        finally:
            self._users.pop("thread", None)
