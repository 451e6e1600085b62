"""Decoding with libsndfile (the package soundfile)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from secousti_native._arrays import Floats
from secousti_native._files import deferred_ctrl_c
from secousti_native._optional import require
from secousti_native._reading.report import Report
from secousti_native._reading.sources import Virtual

#: Sample rate in Hz and samples [samples, channels], float32 and writable.
Block: TypeAlias = tuple[int, Floats]

#: What libsndfile says of a file that does not tell its length.
UNKNOWN_FRAMES = 2**63 - 1
_BLOCK_SAMPLES = 1 << 16  # of all channels together
_ATTEMPTS = 100  # to go on behind damage


class UnreadableError(Exception):
    """The decoder does not know the format; the text is its reason."""


class SndFile:
    """An opened file. `UnreadableError` if libsndfile cannot open it."""

    def __init__(self, file: Virtual) -> None:
        self._soundfile = require("soundfile", "reading audio files")
        self._virtual = file
        try:
            with deferred_ctrl_c():
                self._file: Any = self._soundfile.SoundFile(file)
        except self._soundfile.LibsndfileError as error:
            if file.failure is not None:
                raise file.failure from None
            raise UnreadableError(str(error.error_string).strip(" .")) from None
        self._file.seekable = lambda: False  # else soundfile seeks, which some codecs cannot, and trusts the length
        self.rate, self.channels = int(self._file.samplerate), int(self._file.channels)
        frames = int(self._file.frames)
        self.frames = frames if 0 <= frames < UNKNOWN_FRAMES else 0
        self.is_float = self._file.subtype in ("FLOAT", "DOUBLE")

    def blocks(self, report: Report, expected: int = 0) -> Iterator[Block]:
        """All samples. Damage if there are fewer than ``expected``, or if some cannot be decoded."""
        count, errors = 0, 0
        while True:
            out = np.full((max(1, _BLOCK_SAMPLES // self.channels), self.channels), np.nan, np.float32)
            got, error = self._read(out)
            if error is not None:  # what was decoded before it is there, and nobody tells how much
                missing = np.isnan(out[:, 0])
                got = int(np.argmax(missing)) if missing.any() else len(out)
                errors += 1
            count += got
            if error is not None:
                report.damage(f"{error.removeprefix('Error : ').strip(' .')} after {count} samples")
            if got:
                yield self.rate, out[:got]
            elif error is None or errors > _ATTEMPTS:
                break
        if count < expected:
            report.damage(f"only {count} of {expected} samples can be read")

    def _read(self, out: Floats) -> tuple[int, str | None]:
        """Fills the front of ``out``; how many samples of it, and the error, if there was one."""
        got, text = 0, None
        try:
            with deferred_ctrl_c():  # an exception inside libsndfile's callbacks would be lost, and samples with it
                got = len(self._file.read(out=out, always_2d=True))
        except self._soundfile.LibsndfileError as error:
            text = str(error.error_string)
        if self._virtual.failure is not None:
            raise self._virtual.failure
        return got, text

    def close(self) -> None:
        self._file.close()
