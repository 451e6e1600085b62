"""Converts trained checkpoints to the models that the package embeds as its defaults.

    python tools/make_default_assets.py --model default-86=first_86.safetensors --model default-21=first_21.safetensors

Each checkpoint is a safetensors file with published tensor names and a config in its metadata, or a published `.pt`.
The result goes to `python/secousti_native/assets/<name with underscores>.safetensors`, in half precision.
Needs the package with its torch extra.
"""

from __future__ import annotations

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "python" / "secousti_native" / "assets"
MAX_BYTES = 24_000_000  # the wheel carries two models


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=CHECKPOINT", help="once per model")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder to write to")
    parser.add_argument("--dtype", default="float16", choices=["float32", "float16", "bfloat16"])
    arguments = parser.parse_args()
    from secousti_native.convert import convert_checkpoint

    for model in arguments.model:
        name, separator, checkpoint = model.partition("=")
        if not (name and separator and checkpoint):
            parser.error(f"--model {model}: expected NAME=CHECKPOINT")
        out = arguments.assets / f"{name.replace('-', '_')}.safetensors"
        staged = out.with_suffix(".staged")
        report = convert_checkpoint(checkpoint, staged, dtype=arguments.dtype, name=name)
        if report.bytes > MAX_BYTES:
            staged.unlink()
            parser.error(f"{out.name}: {report.bytes:,} bytes, more than {MAX_BYTES:,}")
        staged.replace(out)
        rate = report.config.frame_rate
        print(f"{out.name}: {report.parameters:,} parameters, {report.bytes:,} bytes, {rate:.2f} Hz")
        for dropped in report.dropped:
            print(f"  dropped {dropped}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
