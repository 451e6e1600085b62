"""Draws the figures of a model's card: training curves, and spectrograms of speech before and after.

    python recipes/model_figures.py docs/log/default_86.jsonl prompts --model default -o docs/images/default_86

writes `<out>_curves.png` from the log of a run and `<out>_pairs.png` from the first ten files of a folder of speech.
Needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np

from secousti_native import Codec, audio

mpl.use("Agg")
import matplotlib.pyplot as plt  # after the backend is chosen

CURVES = ("mel_l1", "contrastive", "contrastive_accuracy", "fsq", "distinct", "gradient_norm")
PAIRS = 10
SECONDS = 3.0


def curves(log: Path, out: Path) -> None:
    entries = [json.loads(line) for line in log.read_text(encoding="utf8").splitlines()]
    figure, axes = plt.subplots(2, 3, figsize=(10, 5), layout="constrained")
    for axis, name in zip(axes.flat, CURVES, strict=True):
        points = [(e["step"], e[name]) for e in entries if e["kind"] == "train" and name in e]
        axis.plot(*zip(*points, strict=True), linewidth=1, label="training (band deviations)")
        axis.set_title(name, fontsize=9)
    for source in sorted({k for e in entries for k in e if k.startswith("mel_l1/")}):
        points = [(e["step"], e[source]) for e in entries if e["kind"] == "valid" and source in e]
        axes[0, 0].plot(*zip(*points, strict=True), "o--", markersize=3, label=f"validation, {source[7:]} (nepers)")
    axes[0, 0].legend(fontsize=6)
    figure.savefig(out, dpi=110)


def pairs(codec: Codec, files: list[Path], out: Path) -> None:
    figure, axes = plt.subplots(len(files), 2, figsize=(10, 1.3 * len(files)), layout="constrained")
    for row, path in zip(axes, files, strict=True):
        speech = audio.load(path, codec.sample_rate)[0][: int(SECONDS * codec.sample_rate)]
        for axis, samples in zip(row, (speech, codec.decode(codec.encode(speech))), strict=True):
            mel = np.asarray(codec.stages.mel(np.ascontiguousarray(samples, np.float32)))
            axis.imshow(mel.T, origin="lower", aspect="auto", vmin=-9, vmax=1, interpolation="nearest")
            axis.set_axis_off()
        row[0].set_title(path.stem, fontsize=6, loc="left")
    figure.savefig(out, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("speech", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--out", "-o", type=Path, required=True)
    options = parser.parse_args()
    curves(options.log, options.out.with_name(options.out.name + "_curves.png"))
    files = sorted(p for p in options.speech.iterdir() if p.suffix in (".flac", ".wav"))[:PAIRS]
    pairs(Codec.from_pretrained(options.model), files, options.out.with_name(options.out.name + "_pairs.png"))


if __name__ == "__main__":
    main()
