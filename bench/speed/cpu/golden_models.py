"""Writes the published layouts with stand-in weights, HiFT included, as model files for benchmarks.

python bench/speed/cpu/golden_models.py build/golden
secousti bench build/golden/86_hz.safetensors build/golden/21_5_hz.safetensors --baselines
"""

from __future__ import annotations

import sys
from pathlib import Path

from secousti_native.convert import convert_checkpoint

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "tests" / "python"))

from golden_weights import golden_tensors  # noqa: E402  (the tests' generator, which is no package)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} OUTPUT_FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    vocoder = golden_tensors("hift")
    for layout in ("86_hz", "21_5_hz"):
        path = folder / f"{layout}.safetensors"
        convert_checkpoint(golden_tensors(layout), path, vocoder=vocoder)
        print(path)
    # Stored as float16: what is kept at fp32 then takes two bytes.
    path = folder / "86_hz_float16.safetensors"
    convert_checkpoint(golden_tensors("86_hz"), path, vocoder=vocoder, dtype="float16", name="secousticodec-86-float16")
    print(path)
    # Stored at int8: for the time that opening takes.
    path = folder / "86_hz_int8.safetensors"
    convert_checkpoint(golden_tensors("86_hz"), path, vocoder=vocoder, precision="int8")
    print(path)


if __name__ == "__main__":
    main()
