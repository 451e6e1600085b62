"""What writing G in eight bits changes: the decoded log-mel with the exact and with the quantised voice vector.

python bench/quality/voice_code.py tests/data/speech.flac
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from secousti_native import Codec, _core
from secousti_native.audio import load

DECIBEL = 20 / np.log(10)  # of a natural logarithm of magnitude


def main() -> None:
    files = [Path(name) for name in sys.argv[1:]]
    if not files:
        sys.exit(f"usage: {sys.argv[0]} AUDIO...")
    print("| model | G, signal to noise (dB) | log-mel, mean difference (dB) | largest (dB) |\n|---|---|---|---|")
    for name in ("default", "default-21"):
        codec = Codec.from_pretrained(name, precision="fp32")
        noise, mean, largest = [], [], 0.0
        for file in files:
            encoded = codec.encode(*load(file))
            exact = np.asarray(encoded.voice)
            coded = _core.quantise_voice(exact)
            noise.append(10 * np.log10(np.sum(exact**2) / np.sum((coded - exact) ** 2)))
            mels = [np.asarray(codec.stages.decode_tokens(encoded.tokens, voice)) for voice in (exact, coded)]
            difference = np.abs(mels[0] - mels[1]) * DECIBEL
            mean.append(difference.mean())
            largest = max(largest, float(difference.max()))
        print(f"| {codec.name} | {np.mean(noise):.1f} | {np.mean(mean):.4f} | {largest:.3f} |")


if __name__ == "__main__":
    main()
