"""Converts trained checkpoints to the models that the package embeds as its defaults.

    python recipes/make_default_assets.py --model default-86=one.safetensors --model default-21=other.safetensors

Each checkpoint is a safetensors file with published tensor names and a config in its metadata, or a published `.pt`.
The result goes to `python/secousti_native/assets/<name with underscores>.safetensors`, in half precision, and what it
computes for four seconds of speech, in PyTorch at float32, to `tests/data/<name with underscores>_check.npz`: the
native engine is held to that on every processor. Needs the package with its torch extra.
"""

from __future__ import annotations

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "python" / "secousti_native" / "assets"
DATA = ROOT / "tests" / "data"
MAX_BYTES = 24_000_000  # the wheel carries two models
CHECK_SECONDS = 4


def record_check(model: Path, out: Path) -> None:
    """Writes the results of every stage for the start of the test speech."""
    import numpy as np
    import soundfile
    import soxr
    import torch

    from secousti_native.reference.load import load_codec
    from secousti_native.reference.mel import LogMel

    codec = load_codec(model)
    speech, rate = soundfile.read(DATA / "speech.flac", dtype="float32")
    pcm = soxr.resample(speech, rate, codec.config.sample_rate)[: CHECK_SECONDS * codec.config.sample_rate]
    pcm = np.round(np.clip(pcm, -1, 1) * 32767).astype(np.int16)
    with torch.no_grad():
        mel = LogMel(codec.config)(torch.from_numpy(pcm.astype(np.float32) / 32768))[None]
        encoded = codec.encode_mel(mel)
        voice = codec.voice(mel)
        results = {
            "mel": mel[0],
            "semantic_mu": encoded["semantic_mu"][0],
            "tokens": encoded["tokens"][0].int(),
            "paralinguistic": voice[0],
            "mel_from_tokens": codec.decode_tokens(encoded["tokens"], voice)[0],
        }
    np.savez_compressed(out, pcm=pcm, **{name: value.numpy() for name, value in results.items()})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=CHECKPOINT", help="once per model")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder to write to")
    parser.add_argument("--checks", type=Path, default=DATA, help="folder for the recorded results")
    parser.add_argument("--dtype", default="float16", choices=["float32", "float16", "bfloat16"])
    arguments = parser.parse_args()
    from secousti_native.convert import convert_checkpoint

    for model in arguments.model:
        name, separator, checkpoint = model.partition("=")
        if not (name and separator and checkpoint):
            parser.error(f"--model {model}: expected NAME=CHECKPOINT")
        out = arguments.assets / f"{name.replace('-', '_')}.safetensors"
        staged = out.with_suffix(".staged")
        # Rounded, the tokens of these models change by more than the precisions promise; the rest loses nothing at
        # int8. Both were measured: docs/guide/precision.md says how to do it again for other weights.
        report = convert_checkpoint(
            checkpoint, staged, dtype=arguments.dtype, name=name, token_precision="fp32", default_precision="int8"
        )
        if report.bytes > MAX_BYTES:
            staged.unlink()
            parser.error(f"{out.name}: {report.bytes:,} bytes, more than {MAX_BYTES:,}")
        staged.replace(out)
        record_check(out, arguments.checks / f"{out.stem}_check.npz")
        rate = report.config.frame_rate
        print(f"{out.name}: {report.parameters:,} parameters, {report.bytes:,} bytes, {rate:.2f} Hz")
        for dropped in report.dropped:
            print(f"  dropped {dropped}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
