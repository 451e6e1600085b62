"""Channels to one, checked, and blocks to one array."""

from __future__ import annotations

import numpy as np

from secousti_native._arrays import Floats, check_finite

#: More channels than any file has that speech is recorded in.
MAX_CHANNELS = 64

# Peak of floats, nominally 1, from which they must be scaled as integers.
_MAX_PEAK = 64.0
# Channels cancel out if their mean has less than this share of the power that it has of unrelated channels.
_CANCELLED = 0.1


def check_scale(values: Floats, name: str) -> None:
    """``ValueError`` for samples far beyond [-1, 1], which are integers in an array of floats."""
    peak = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    if peak > _MAX_PEAK:
        bits = 16 if peak <= 2.0**15 else 32
        raise ValueError(
            f"{name}: samples reach {peak:.6g}, but floats are nominally in [-1, 1]: these look like {bits}-bit "
            f"integers; divide by {2 ** (bits - 1)}, or pass them as int{bits}"
        )


class Mixer:
    """The mean of [samples, channels] blocks, or one of the channels.

    Its checks are of the blocks so far: position and share of power do not depend on how they are cut.
    """

    def __init__(self, name: str, channel: int | None = None) -> None:
        self._name, self._channel = name, channel
        self._count = 0
        self._channels = 1
        self._mixed = self._single = 0.0  # energy of the mean, mean of the energies

    def __call__(self, values: Floats) -> Floats:
        """Float32 [samples] of [samples, channels]. ``ValueError`` for NaN, infinity and samples scaled as integers."""
        self._check(values)
        channels = values.shape[1]
        if self._channel is not None and self._channel < channels:
            return np.ascontiguousarray(values[:, self._channel])
        if channels == 1:
            return np.ascontiguousarray(values[:, 0])
        total = np.zeros(len(values), np.float64)
        for i in range(channels):
            total += values[:, i]
            self._single += float(np.square(values[:, i], dtype=np.float64).sum()) / channels
        total /= channels
        self._mixed += float(np.square(total).sum())
        self._channels = channels
        return total.astype(np.float32)

    def _check(self, values: Floats) -> None:
        try:
            check_finite(values, "sample")
        except ValueError:
            row = int(np.argmin(np.isfinite(values).all(axis=1)))
            column = int(np.argmin(np.isfinite(values[row])))
            of = f" of channel {column}" if values.shape[1] > 1 else ""
            raise ValueError(
                f"{self._name}: sample[{self._count + row}]{of} is {values[row, column]}; all values must be finite"
            ) from None
        check_scale(values, self._name)
        self._count += len(values)

    def finish(self) -> None:
        """``ValueError`` if there was nothing, or if the channels cancelled each other out."""
        if self._count == 0:
            raise ValueError(f"{self._name}: holds no audio samples")
        if self._mixed * self._channels < _CANCELLED * self._single:
            lost = "entirely" if self._mixed == 0.0 else f"by {10 * np.log10(self._single / self._mixed):.0f} dB"
            raise ValueError(
                f"{self._name}: its {self._channels} channels are out of phase and cancel {lost} when they are mixed "
                "down; take one of them (channel=0, on the command line --channel 0)"
            )


class Collector:
    """Blocks to one float32 array, without holding them twice."""

    def __init__(self, expected: int) -> None:
        # What is expected is a header's word: it is not given more than a little memory at once.
        self._data = np.empty(min(max(expected, 1 << 12), 1 << 22), np.float32)
        self._count = 0

    def add(self, block: Floats) -> None:
        needed = self._count + len(block)
        if needed > len(self._data):
            # In place: large arrays are moved by the operating system, not copied.
            self._data.resize(max(needed, len(self._data) + len(self._data) // 4), refcheck=False)
        self._data[self._count : needed] = block
        self._count = needed

    def result(self) -> Floats:
        """Everything so far. The collector is done."""
        self._data.resize(self._count, refcheck=False)
        return self._data
