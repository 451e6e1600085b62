"""Long work that Ctrl-C can end: in pieces, or in a thread that the caller waits for."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

Result = TypeVar("Result")

#: Computing time of a piece. Pieces that take less than half of it double, those that take twice as long are halved.
PIECE_SECONDS = 0.1


#: Of calls that the engine works on.
_running: set[threading.Event] = set()


@atexit.register
def _finish() -> None:
    """Waits at the interpreter's end for calls that Ctrl-C has ended the waiting for; a second Ctrl-C ends that, too.

    A call that came back into an interpreter that is being torn down would abort the process.
    """
    try:
        for done in tuple(_running):
            while not done.wait(PIECE_SECONDS):
                pass
    except KeyboardInterrupt:
        os._exit(130)


def pieces(total: int, first: int) -> Iterator[tuple[int, int]]:
    """Pieces [begin, end) of ``total`` units; the first, and the smallest, has ``first``."""
    begin, size = 0, first
    while begin < total:
        end = min(total, begin + size)
        started = time.perf_counter()
        yield begin, end
        elapsed = time.perf_counter() - started
        if elapsed < PIECE_SECONDS / 2:
            size *= 2
        elif elapsed > 2 * PIECE_SECONDS:
            size = max(first, size // 2)
        begin = end


class Interruptible:
    """Calls of the engine, which knows no signals, that Ctrl-C ends the waiting for.

    The engine then ends its work in the background, and nobody takes the result. The next call waits until it has.
    """

    def __init__(self) -> None:
        self._done: threading.Event | None = None

    def wait(self) -> None:
        """Until the work of an ended call is done."""
        done = self._done
        while done is not None and not done.wait(PIECE_SECONDS):  # with a limit: without, Windows hears no Ctrl-C
            pass
        self._done = None

    def __call__(self, call: Callable[[], Result]) -> Result:
        if threading.current_thread() is not threading.main_thread():
            return call()  # signals arrive on the main thread
        results: list[Result] = []
        errors: list[BaseException] = []
        done = threading.Event()

        def work() -> None:
            try:
                results.append(call())
            except BaseException as error:
                errors.append(error)
            finally:
                _running.discard(done)
                done.set()

        worker = threading.Thread(target=work, name="secousti", daemon=True)
        self.wait()
        self._done = done
        _running.add(done)
        try:
            worker.start()
        except BaseException:
            if not worker.is_alive():
                _running.discard(done)
                done.set()
            raise
        self.wait()
        if errors:
            raise errors[0]
        return results[0]


def interruptible(call: Callable[[], Result], long: bool = True) -> Result:
    """``call()``, so that Ctrl-C ends it at once. Without ``long``, for what takes no time, as it is."""
    return Interruptible()(call) if long else call()
