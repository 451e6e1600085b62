"""Latency from audio in to tokens out and from tokens in to audio out, over an hour of speech on one core.

    python bench/speed/cpu/first_packet.py default build/golden/86_hz.safetensors --precision int8 --minutes 60

A token's latency is algorithmic, the samples that must have arrived before it can exist, plus the time that the push
which gives it takes. Each is measured as a live host meets it: one token's worth of audio, or one token, a push. The
first packet of a stream is the same from a fresh stream on: what waits for the first token, then the time of the pushes
until it is there. Speech is read from the given files (any that soundfile reads) and repeated until it is long enough.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from secousti_native import Codec
from secousti_native.benchmark.timing import machine

REPOSITORY = Path(__file__).resolve().parents[3]
Audio = np.ndarray[Any, np.dtype[np.float32]]


def read_speech(files: list[Path], rate: int) -> Audio:
    """Mono, at the codec's rate, one file after the other."""
    parts = []
    for file in files:
        samples, file_rate = soundfile.read(file, dtype="float32", always_2d=True)
        parts.append(soxr.resample(samples.mean(axis=1), file_rate, rate).astype(np.float32))
    return np.concatenate(parts)


def blocks(speech: Audio, size: int, minutes: float, rate: int) -> Iterator[Audio]:
    """`minutes` of speech in blocks of `size` samples, from the beginning again at the end."""
    whole = speech[: len(speech) // size * size].reshape(-1, size)
    for i in range(round(minutes * 60 * rate / size)):
        yield whole[i % len(whole)]


def quantiles(seconds: list[float]) -> dict[str, float]:
    ms = np.asarray(seconds) * 1e3
    return {"p50": float(np.percentile(ms, 50)), "p99": float(np.percentile(ms, 99)), "max": float(ms.max())}


def rounded(values: dict[str, float], plus: float = 0.0) -> dict[str, float]:
    return {name: round(value + plus, 3) for name, value in values.items()}


def first_packets(codec: Codec, speech: Audio, voice: Audio | None, tries: int) -> tuple[list[float], list[float]]:
    """Seconds of computing until a fresh encoder gives its first token and a fresh decoder its first audio."""
    size = codec.frame_size
    tokens = codec.encode(speech[: 400 * size]).tokens
    encoding, decoding = [], []
    for i in range(tries):
        encoder, decoder = codec.encoder(), codec.decoder(voice)
        start, at = time.perf_counter(), i * size % (len(speech) // 2)
        while len(encoder.push(speech[at : at + size])) == 0:
            at += size
        encoding.append(time.perf_counter() - start)
        start, at = time.perf_counter(), i % 200
        while len(decoder.push(tokens[at : at + 1])) == 0:
            at += 1
        decoding.append(time.perf_counter() - start)
    return encoding, decoding


def measure(model: str, precision: str | None, speech_files: list[Path], minutes: float) -> dict[str, Any]:
    codec = Codec.from_pretrained(model, precision=precision)
    rate, size = codec.sample_rate, codec.frame_size
    speech = read_speech(speech_files, rate)
    voice = codec.encode(speech[: 10 * rate]).voice
    encoder, decoder = codec.encoder(), codec.decoder(voice)
    encoding, decoding = [], []
    for block in blocks(speech, size, minutes, rate):
        start = time.perf_counter()
        tokens = encoder.push(block)
        middle = time.perf_counter()
        encoding.append(middle - start)
        if len(tokens):
            middle = time.perf_counter()
            decoder.push(tokens)
            decoding.append(time.perf_counter() - middle)
    first_encoding, first_decoding = first_packets(codec, speech, voice, 50)
    encode_ms, decode_ms = codec.latency.encoder_ms, codec.latency.decoder_ms
    return {
        "model": codec.name,
        "precision": codec.precision,
        "vocoder": codec.info["vocoder"],
        "speech_minutes": minutes,
        "algorithmic_ms": {"pcm_to_token": round(encode_ms, 2), "token_to_pcm": round(decode_ms, 2)},
        "compute_ms": {"pcm_to_token": rounded(quantiles(encoding)), "token_to_pcm": rounded(quantiles(decoding))},
        "total_ms": {
            "pcm_to_token": rounded(quantiles(encoding), encode_ms),
            "token_to_pcm": rounded(quantiles(decoding), decode_ms),
        },
        "first_packet_compute_ms": {
            "pcm_to_token": rounded(quantiles(first_encoding)),
            "token_to_pcm": rounded(quantiles(first_decoding)),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--precision", help="default: each model's")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--speech", type=Path, action="append", help="audio file; may be given again")
    parser.add_argument("--core", type=int, help="run on this core alone")
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    files = arguments.speech or [REPOSITORY / "tests" / "data" / "speech.flac"]
    rows = [measure(model, arguments.precision, files, arguments.minutes) for model in arguments.models]
    print(json.dumps({"date": date.today().isoformat(), "machine": machine(1), "latency": rows}, indent=2))


if __name__ == "__main__":
    main()
