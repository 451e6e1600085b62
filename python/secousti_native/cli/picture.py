"""A picture of what a codec made of a clip: both spectrograms, the level and the tokens. Needs matplotlib."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secousti_native._arrays import Floats, to_numpy
from secousti_native._files import write_atomically
from secousti_native._optional import require
from secousti_native.cli.console import fail
from secousti_native.encoded import Encoded
from secousti_native.errors import MissingDependencyError

ENDINGS = (".png", ".pdf", ".svg")
_WINDOW = 1024
_LEAST_HOP = 256
_MAX_COLUMNS = 2000  # more than a picture has pixels
_FLOOR = -90.0  # dB


def check() -> None:
    """Ends the program before any work if pictures cannot be drawn."""
    try:
        _figures()
    except MissingDependencyError as error:
        raise fail(f"{error}, or the extra eval: pip install 'secousti-native[eval]'") from None


def draw(path: Path, title: str, sample_rate: int, before: Floats, after: Floats, encoded: Encoded) -> None:
    """Writes ``path`` for audio [samples] ``before`` and ``after`` the codec, and the tokens between. OSError."""
    figure = _figures().Figure(figsize=(12.0, 10.0), layout="constrained")
    panels = figure.subplots(4, 1, sharex=True, height_ratios=(3, 3, 2, 2))
    seconds = max(len(before), len(after)) / sample_rate
    for axes, name, pcm in zip(panels, ("before", "after"), (before, after), strict=False):
        image = axes.imshow(
            spectrogram(pcm), origin="lower", aspect="auto", vmin=_FLOOR, vmax=0.0,
            extent=(0.0, len(pcm) / sample_rate, 0.0, sample_rate / 2000.0),
        )  # fmt: skip
        axes.set(ylabel=f"{name}, kHz")
    figure.colorbar(image, ax=list(panels[:2]), label="dB")
    for name, pcm in (("before", before), ("after", after)):
        levels = level(pcm)
        at = (np.arange(len(levels)) + 0.5) * (len(pcm) / sample_rate / max(1, len(levels)))
        panels[2].plot(at, levels, label=name, linewidth=0.8)
    panels[2].set(ylabel="level, dBFS")
    panels[2].legend(loc="lower right")
    tokens = to_numpy(encoded.tokens, "tokens")
    panels[3].plot(np.arange(len(tokens)) / encoded.frame_rate, tokens, ".", markersize=2)
    panels[3].set(ylabel=f"token of {encoded.cardinality}", xlabel="seconds", xlim=(0.0, seconds))
    # A dollar sign would begin a formula, and half a character of a file name cannot be drawn.
    figure.suptitle(title.replace("$", r"\$").encode(errors="replace").decode())
    data = io.BytesIO()
    figure.savefig(data, format=path.suffix[1:].lower(), dpi=120)
    write_atomically(path, data.getbuffer())


def spectrogram(pcm: Floats) -> npt.NDArray[np.float32]:
    """Magnitudes of audio [samples] in dB of a full-scale sine, float32 [bins, columns], at most 2000 columns."""
    hop = max(_LEAST_HOP, -(-len(pcm) // _MAX_COLUMNS))
    padded = np.pad(pcm, (_WINDOW // 2, _WINDOW))
    window = np.hanning(_WINDOW).astype(np.float32)
    begins = range(0, max(1, len(pcm)), hop)
    columns = [np.abs(np.fft.rfft(padded[begin : begin + _WINDOW] * window)) for begin in begins]
    return _decibels(np.stack(columns, axis=1) * (2.0 / window.sum()))


def level(pcm: Floats) -> npt.NDArray[np.float32]:
    """RMS of audio [samples] in dBFS, over pieces of some hundredths of a second: float32 [pieces]."""
    hop = max(_WINDOW, -(-len(pcm) // _MAX_COLUMNS))
    padded = np.pad(pcm, (0, -len(pcm) % hop)).reshape(-1, hop)
    return _decibels(np.sqrt(np.mean(np.square(padded, dtype=np.float64), axis=1)))


def _decibels(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    decibels: npt.NDArray[np.float32] = 20.0 * np.log10(np.maximum(values, 10.0 ** (_FLOOR / 20.0), dtype=np.float32))
    return decibels


def _figures() -> Any:
    return require("matplotlib.figure", "--plot", "matplotlib")
