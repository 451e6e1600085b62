"""The report of `secousti bench`: every streaming stage, whole inputs, opening and memory.

A step is what a live host does: one token's worth of audio (or one token) a call. Steps are timed one by one after the
transformers' windows have filled, so that p50 and p99 are those of a long-running stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secousti_native.benchmark.baselines import onnx_rows, torch_rows
from secousti_native.benchmark.groups import group_rows
from secousti_native.benchmark.roofline import with_bound
from secousti_native.benchmark.timing import Row, core_gops, machine, measure, voiced_signal
from secousti_native.codec import Codec


def run(
    models: list[str],
    threads: int = 1,
    seconds: float = 10.0,
    baselines: bool = False,
    precisions: Sequence[str | None] = (None,),
    offline_minutes: float = 0.0,
    groups: bool = False,
    opening: Sequence[str] = (),
    device: str = "cpu",
) -> dict[str, Any]:
    """Measures every model at every precision; None is the model's default.

    ``baselines`` adds the PyTorch reference of the first model's sizes, eager and compiled, and ONNX Runtime where it
    is installed; ``offline_minutes`` adds encoding that much audio in one call; ``groups`` adds groups of streams;
    ``opening`` are files of which only the time to open them is measured.

    Returns:
        "machine": facts; "models": times to open them and memory; "opening": rows of those files; "rows": one for each
        precision, stage and engine; "minutes": what the run took. A row's ``roofline_ms`` is what its step cannot be
        faster than, ``core_share`` the part of the core that it had: what the core did in registers before the row and
        four times a second (the median), over the most that it did for any row.
    """
    began = time.perf_counter()
    rows: list[Row] = []
    opened: list[Row] = []
    opening_rows = [open_file_row(path, precision, device) for path in opening for precision in precisions]
    for model in models:
        for precision in precisions:
            codec = Codec.from_pretrained(model, threads=threads, precision=precision, device=device)
            opened.append(open_row(model, codec))
            measured = [*native_rows(codec, seconds), *offline_rows(codec, offline_minutes)]
            rows += [row | {"precision": codec.precision} for row in with_bound(measured, codec)]
            if groups:
                rows += [row | {"precision": codec.precision} for row in group_rows(codec, seconds)]
        if baselines and model == models[0]:
            rows += torch_rows(codec, threads, seconds) + onnx_rows(codec, threads, seconds)
    facts = machine(threads, list(dict.fromkeys(row["precision"] for row in [*opened, *opening_rows])), device)
    most = max(core_gops(), *(row["core_gops"] for row in rows))
    for row in rows:
        row["core_share"] = round(row.pop("core_gops") / most, 2)
    minutes = round((time.perf_counter() - began) / 60, 1)
    return {"machine": facts, "models": opened, "opening": opening_rows, "rows": rows, "minutes": minutes}


def open_row(model: str, codec: Codec) -> Row:
    """Milliseconds to open the file again, megabytes of weights, of a stream's state and of a stream in all."""
    encoder, decoder = codec.encoder(), codec.decoder()
    return {
        "model": codec.name,
        "precision": codec.precision,
        "vocoder": codec.info["vocoder"],
        "token_rate": round(codec.frame_rate, 2),
        "open_ms": open_milliseconds(model, codec.precision, codec.device),
        "weights_mb": round(codec.info["memory_bytes"] / 1e6, 1),
        "encoder_stream_mb": round(len(encoder.snapshot()) / 1e6, 2),
        "decoder_stream_mb": round(len(decoder.snapshot()) / 1e6, 2),
        "lone_encoder_mb": round(encoder.memory_bytes / 1e6, 2),
        "lone_decoder_mb": round(decoder.memory_bytes / 1e6, 2),
    }


def open_file_row(path: str, precision: str | None, device: str = "cpu") -> Row:
    """Milliseconds to open one file, whatever precision its weights are stored at."""
    info = Codec.from_pretrained(path, precision=precision, device=device).info
    return {
        "file": Path(path).name,
        "precision": info["precision"],
        "parameters": info["parameters"],
        "open_ms": open_milliseconds(path, info["precision"], device),
    }


def open_milliseconds(model: str, precision: str, device: str = "cpu") -> float:
    """Median of a few times, from the system's cache of files."""
    opening = measure(lambda _: Codec.from_pretrained(model, precision=precision, device=device), 7, 1, 1.0)
    return round(float(np.median(opening.seconds)) * 1e3, 1)


def native_rows(codec: Codec, seconds: float) -> Iterator[Row]:
    """The engine's streams, one token a step, then whole inputs offline."""
    info = codec.info
    hop, size, rate = info["hop_length"], info["frame_size"], info["sample_rate"]
    step_seconds = size / rate
    window = codec.config["context"] + 8
    # Whole passes over ten seconds of signal keep memory small.
    pcm = voiced_signal(size * max(8, round(10 / step_seconds)), rate)
    blocks = pcm.reshape(-1, size)
    encoded = codec.encode(pcm)
    tokens = np.asarray(encoded.tokens).reshape(-1, 1)
    mel = np.asarray(codec.stages.mel(pcm))
    frames = size // hop

    def timed(
        stage: str, step: Callable[[int], object], audio_seconds: float = step_seconds, warm_up: int = window
    ) -> Row:
        steps = max(8, round(seconds / audio_seconds))
        return measure(step, steps, warm_up, audio_seconds).row(codec.name, stage)

    encoder = codec.encoder()
    yield timed("encode", lambda i: encoder.push(blocks[i % len(blocks)]))
    to_mel = codec.decoder(encoded.voice)
    yield timed("decode to mel", lambda i: to_mel.push_to_mel(tokens[i % len(tokens)]))
    if info["has_vocoder"]:
        for chunk in sorted({frames, 4, 16}):
            chunks = [mel[i : i + chunk] for i in range(0, len(mel) - chunk + 1, chunk)]
            vocode = _vocoder_step(codec, chunks)
            yield timed(f"vocoder {info['vocoder']}, {chunk} mel frames", vocode, chunk * hop / rate, warm_up=32)
        coder, decoder = codec.encoder(), codec.decoder(encoded.voice)
        yield timed("full duplex", lambda i: decoder.push(coder.push(blocks[i % len(blocks)])))
    audio_seconds = len(pcm) / rate
    passes = max(3, round(seconds / audio_seconds))
    offline = measure(lambda _: codec.stages.encode_mel(mel), passes, 1, audio_seconds)
    yield offline.row(codec.name, "encode mel offline")
    offline = measure(lambda _: codec.stages.decode_tokens(encoded.tokens, encoded.voice), passes, 1,
                      audio_seconds)  # fmt: skip
    yield offline.row(codec.name, "decode to mel offline")


def offline_rows(codec: Codec, minutes: float) -> Iterator[Row]:
    """Encoding so many minutes of audio in one call, mel front end and voice included."""
    if minutes > 0:
        pcm = voiced_signal(round(minutes * 60 * codec.sample_rate), codec.sample_rate)
        encoding = measure(lambda _: codec.encode(pcm), 1, 0, len(pcm) / codec.sample_rate)
        yield encoding.row(codec.name, f"encode {minutes:g} min of audio")


def _vocoder_step(codec: Codec, chunks: list[Any]) -> Callable[[int], object]:
    stream = codec.decoder()
    return lambda i: stream.push_from_mel(chunks[i % len(chunks)])
