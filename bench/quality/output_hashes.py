"""Hashes of everything that the engine computes, for a comparison before and after a change that must not move a bit.

    python bench/speed/cpu/golden_models.py build/golden
    python bench/quality/output_hashes.py build/golden/*.safetensors > before.txt
    # change the engine, install it
    python bench/quality/output_hashes.py build/golden/*.safetensors | diff before.txt -

A line a model, precision and instruction set: SHA-256 (first 12 digits) of mel, tokens, voice, decoded mel and samples,
whole and in awkward chunks. Equal inputs give equal lines on one machine type.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import soundfile

from secousti_native import Codec, _core, audio

SPEECH = Path(__file__).resolve().parents[2] / "tests" / "data" / "speech.flac"
PRECISIONS = ("fp32", "bf16", "int8")


def digest(*arrays: object) -> str:
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()[:12]


def in_chunks(push: object, values: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    assert callable(push)
    found, start = [], 0
    while start < len(values):
        size = sizes[len(found) % len(sizes)]
        found.append(np.asarray(push(values[start : start + size])))
        start += size
    return found


def line(codec: Codec, pcm: np.ndarray) -> str:
    encoded = codec.encode(pcm)
    tokens, voice = np.asarray(encoded.tokens), np.asarray(encoded.voice)
    encoder, decoder = codec.encoder(), codec.decoder(voice, seed=3)
    streamed = in_chunks(encoder.push, pcm, [441, 1, 7919, 256])
    streamed.append(np.asarray(encoder.flush()))
    sound = in_chunks(decoder.push, tokens, [1, 5, 2, 17])
    sound.append(np.asarray(decoder.flush()))
    parts = {
        "mel": digest(codec.stages.mel(pcm)),
        "tokens": digest(tokens),
        "streamed": digest(*streamed),
        "voice": digest(voice),
        "decoded": digest(codec.stages.decode_tokens(tokens, voice)),
        "samples": digest(codec.decode(encoded, seed=3)),
        "played": digest(*sound),
    }
    return " ".join(f"{name} {value}" for name, value in parts.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="model files beside the embedded ones")
    parser.add_argument("--seconds", type=float, default=4.0, help="of tests/data/speech.flac")
    arguments = parser.parse_args()
    speech, rate = soundfile.read(SPEECH, dtype="float32")
    pcm = audio.resample(speech[: int(arguments.seconds * rate)], rate, 22050)
    for model in ("default", "default-21", *arguments.models):
        for isa in _core.available_isas().split(","):
            for precision in PRECISIONS:
                codec = Codec.from_pretrained(model, precision=precision, isa=isa)
                print(f"{Path(model).stem} {isa} {precision}: {line(codec, pcm)}", flush=True)


if __name__ == "__main__":
    main()
