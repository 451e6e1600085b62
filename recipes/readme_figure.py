"""Draws the README's picture: mel spectrograms of the test speech and of what the default model makes of it.

    python recipes/readme_figure.py docs/images/speech.png

Needs matplotlib.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from secousti_native import Codec, audio

mpl.use("Agg")
import matplotlib.pyplot as plt  # after the backend is chosen

SPEECH = Path(__file__).resolve().parent.parent / "tests" / "data" / "speech.flac"
SECONDS = 4.0


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} OUT.png")
    codec = Codec.from_pretrained()
    speech = audio.load(SPEECH, codec.sample_rate)[0][: int(SECONDS * codec.sample_rate)]
    encoded = codec.encode(speech)
    figure, axes = plt.subplots(2, 1, figsize=(8, 3.2), sharex=True, layout="constrained")
    titles = ("original", f"decoded from {encoded.bit_rate / 1000:.1f} kbit/s")
    for axis, title, samples in zip(axes, titles, (speech, codec.decode(encoded)), strict=True):
        mel = np.asarray(codec.stages.mel(np.ascontiguousarray(samples, np.float32)))
        extent = (0, len(samples) / codec.sample_rate, 0, mel.shape[1])
        axis.imshow(mel.T, origin="lower", aspect="auto", extent=extent, vmin=-9, vmax=1, interpolation="nearest")
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_yticks([])
    axes[-1].set_xlabel("seconds; 80 mel bands to 8 kHz", fontsize=8)
    figure.savefig(sys.argv[1], dpi=80)


if __name__ == "__main__":
    main()
