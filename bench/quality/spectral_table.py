"""Quality, latency and cost of the spectral vocoder: look-ahead x iterations, from true mels of a folder of speech.

    python bench/quality/spectral_table.py FOLDER [--clips 24] [--seconds 10] [--iterations 4 8 16 32] > table.md

Every figure comes from the native implementation through the Python API. Iterations other than the built-in choice are
set in the configuration of a temporary copy of the model. Needs the `eval` extra.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secousti_native import Codec, audio, quality
from secousti_native.benchmark.timing import processor_name

Floats = npt.NDArray[np.float32]
LOOK_AHEADS = (0, 1, 2, 3)


@dataclass(frozen=True)
class Row:
    look_ahead: int
    iterations: str
    pesq: float
    worst_pesq: float
    stoi: float
    latency_ms: float
    microseconds: float
    real_time_factor: float


def replace_vocoder(model: Path, vocoder: dict[str, Any], target: Path) -> None:
    """Copies a model file with another vocoder object in its configuration."""
    data = model.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    config = json.loads(header["__metadata__"]["config"])
    config["vocoder"] = vocoder
    header["__metadata__"]["config"] = json.dumps(config)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # keeps the tensors aligned
    target.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


@contextmanager
def codec_with(model: Path, iterations: int | None) -> Iterator[Codec]:
    """The codec with the spectral vocoder at so many iterations a frame; None: its own choice."""
    vocoder: dict[str, Any] = {"kind": "spectral"}
    if iterations is not None:
        vocoder["iterations"] = iterations
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        replace_vocoder(model, vocoder, path)
        yield Codec.from_pretrained(path, threads=1, precision="fp32")


def load_clips(folder: Path, count: int, seconds: float, sample_rate: int) -> list[Floats]:
    """The starts of the `count` longest files of the folder, in order of size."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: -path.stat().st_size)
    clips: list[Floats] = []
    for path in files[:count]:
        pcm, _ = audio.load(path, sample_rate)
        clips.append(pcm[: int(seconds * sample_rate)])
    if not clips:
        raise SystemExit(f"{folder}: holds no files")
    return clips


def judge(pair: tuple[Floats, Floats, int]) -> tuple[float, float]:
    reference, result, sample_rate = pair
    pesq = quality.pesq_wb(reference, result, sample_rate)
    return (float("nan") if pesq is None else pesq), quality.stoi(reference, result, sample_rate)


def measure(codec: Codec, clips: Sequence[Floats], look_ahead: int, iterations: str, pool: ProcessPoolExecutor) -> Row:
    mels = [codec.stages.mel(clip) for clip in clips]
    pairs: list[tuple[Floats, Floats, int]] = []
    costs: list[float] = []
    for clip, mel in zip(clips, mels, strict=True):
        start = time.thread_time()
        result = codec.stages.vocode(mel, look_ahead=look_ahead)
        costs.append((time.thread_time() - start) / len(mel))
        pairs.append((clip[: len(result)], result, codec.sample_rate))
    scores = np.array(list(pool.map(judge, pairs)))
    config = codec.config
    hop, n_fft = config["hop_length"], config["n_fft"]
    cost = float(np.median(costs))
    return Row(
        look_ahead=look_ahead,
        iterations=iterations,
        pesq=float(scores[:, 0].mean()),
        worst_pesq=float(scores[:, 0].min()),
        stoi=float(scores[:, 1].mean()),
        latency_ms=1000.0 * ((n_fft + hop) // 2 + look_ahead * hop) / codec.sample_rate,
        microseconds=1e6 * cost,
        real_time_factor=cost * codec.sample_rate / hop,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="speech files that libsndfile reads, searched recursively")
    parser.add_argument("--model", type=Path, help="model file; the embedded default if missing")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each clip")
    parser.add_argument("--iterations", type=int, nargs="*", default=[4, 8, 16, 32])
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that compute PESQ and STOI")
    args = parser.parse_args()
    model: Path = args.model or Path(audio.__file__).parent / "assets" / "default_86.safetensors"

    with ProcessPoolExecutor(args.jobs) as pool:
        rows: list[Row] = []
        for iterations in [None, *args.iterations]:
            with codec_with(model, iterations) as codec:
                clips = load_clips(args.folder, args.clips, args.seconds, codec.sample_rate)
                label = "default" if iterations is None else str(iterations)
                for look_ahead in LOOK_AHEADS:
                    rows.append(measure(codec, clips, look_ahead, label, pool))
                    print(rows[-1], file=sys.stderr)
                isa = codec.info["isa"]
    seconds = sum(map(len, clips)) / codec.sample_rate
    print(f"{len(clips)} clips, {seconds:.0f} s; {processor_name()}, {isa}, one thread; {time.strftime('%Y-%m-%d')}\n")
    print("| look-ahead | iterations | PESQ-WB | worst clip | STOI | latency ms | us a frame | real-time factor |")
    print("|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: row.look_ahead):
        print(
            f"| {row.look_ahead} | {row.iterations} | {row.pesq:.2f} | {row.worst_pesq:.2f} | {row.stoi:.3f} "
            f"| {row.latency_ms:.1f} | {row.microseconds:.0f} | {row.real_time_factor:.4f} |"
        )


if __name__ == "__main__":
    main()
