"""`secousti bench`: milliseconds a step and real-time factor of every streaming stage, on this machine.

A step is what a live host does: one token's worth of audio (or one token) a call. Steps are timed one by one after the
transformers' windows have filled, so that p50 and p99 are those of a long-running stream.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from secousti_native import __version__, _kernels
from secousti_native.codec import Codec

Row = dict[str, Any]
_ELEMENT_BYTES = {"fp32": 4, "bf16": 2, "int8": 1}  # of keys and values, and of weights; finest first
_STACKS = {"encode": ("semantic",), "decode to mel": ("connector", "decoder")}


#: Seconds of steps between two looks at what the core does, which take a millisecond: p99 of short steps is to be that
#: of steps that follow a step.
_PROBE_EVERY = 0.25


@dataclass(frozen=True)
class Timing:
    """Seconds of each step of a stage, the audio that a step stands for, and what the core did in between."""

    seconds: list[float]
    audio_seconds: float
    core_gops: list[float]  # float32 operations in registers, in 1e9 a second

    def row(self, model: str, stage: str, engine: str) -> Row:
        milliseconds = np.asarray(self.seconds) * 1e3
        return {
            "model": model,
            "stage": stage,
            "engine": engine,
            "audio_ms": round(self.audio_seconds * 1e3, 2),
            "p50_ms": round(float(np.percentile(milliseconds, 50)), 3),
            "p99_ms": round(float(np.percentile(milliseconds, 99)), 3),
            "real_time_factor": round(float(np.median(self.seconds)) / self.audio_seconds, 4),
            "core_gops": round(float(np.median(self.core_gops)), 1),
        }


def measure(
    step: Callable[[int], object], steps: int, warm_up: int, audio_seconds: float, at_most: float = math.inf
) -> Timing:
    """Times ``step(i)`` for each of ``steps`` steps, after ``warm_up`` untimed ones.

    Once there are eight it stops when they have taken ``at_most`` seconds. Between steps it looks now and then how many
    operations the core does in registers: fewer when another thread, of another machine of the same host perhaps, runs
    on the core's other half.
    """
    for i in range(warm_up):
        step(i)
    seconds: list[float] = []
    core_gops = [_core_gops()]
    due = _PROBE_EVERY
    for i in range(warm_up, warm_up + steps):
        start = time.perf_counter()
        step(i)
        seconds.append(time.perf_counter() - start)
        due -= seconds[-1]
        if due < 0:
            core_gops.append(_core_gops())
            due = _PROBE_EVERY
        if len(seconds) >= 8 and sum(seconds) > at_most:
            break
    return Timing(seconds, audio_seconds, core_gops)


def _core_gops() -> float:
    return _kernels.peak(_kernels.isas()[0], "fp32", repeats=1)


def voiced_signal(samples: int, sample_rate: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A voiced-like signal (harmonics of a gliding pitch, with noise): times do not depend on the content."""
    t = np.arange(samples) / sample_rate
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / sample_rate
    voice = sum(np.sin(k * pitch) / k for k in range(1, 12))
    noise = np.random.default_rng(seed).normal(size=samples)
    return (0.1 * voice + 0.01 * noise).astype(np.float32)


def run(
    models: list[str],
    threads: int = 1,
    seconds: float = 10.0,
    baselines: bool = False,
    precisions: Sequence[str | None] = (None,),
    offline_minutes: float = 0.0,
    groups: bool = False,
    opening: Sequence[str] = (),
) -> dict[str, Any]:
    """Measures every model at every precision; None is the model's default.

    ``baselines`` adds the PyTorch reference of the first model's sizes, eager and compiled, and ONNX Runtime where it
    is installed; ``offline_minutes`` adds encoding that much audio in one call; ``groups`` adds groups of streams;
    ``opening`` are files of which only the time to open them is measured.

    Returns {"machine": facts, "models": load times and memory, "opening": rows of those files, "rows": one for each
    precision, stage and engine, "minutes": what the run took}. A row's ``core_share`` is the part of the core that it
    had: what the core did in registers meanwhile (the median), over the most that it did for any row; looked at before
    the row and four times a second.
    """
    began = time.perf_counter()
    rows: list[Row] = []
    opened: list[Row] = []
    opening_rows = [open_file_row(path, precision) for path in opening for precision in precisions]
    for model in models:
        for precision in precisions:
            codec = Codec.from_pretrained(model, threads=threads, precision=precision)
            opened.append(open_row(model, codec))
            measured = [*native_rows(codec, seconds), *offline_rows(codec, offline_minutes)]
            rows += [row | {"precision": codec.precision} for row in with_floor(measured, codec)]
            if groups:
                # Imports this module, so not at the top.
                group_rows = importlib.import_module("secousti_native.bench_groups").group_rows
                rows += [row | {"precision": codec.precision} for row in group_rows(codec, seconds)]
        if baselines and model == models[0]:
            rows += torch_rows(codec, threads, seconds) + onnx_rows(codec, threads, seconds)
    facts = machine(threads, list(dict.fromkeys(row["precision"] for row in [*opened, *opening_rows])))
    most = max(_core_gops(), *(row["core_gops"] for row in rows))
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
        "open_ms": open_milliseconds(model, codec.precision),
        "weights_mb": round(codec.info["memory_bytes"] / 1e6, 1),
        "encoder_stream_mb": round(len(encoder.snapshot()) / 1e6, 2),
        "decoder_stream_mb": round(len(decoder.snapshot()) / 1e6, 2),
        "lone_encoder_mb": round(encoder.memory_bytes / 1e6, 2),
        "lone_decoder_mb": round(decoder.memory_bytes / 1e6, 2),
    }


def open_file_row(path: str, precision: str | None) -> Row:
    """Milliseconds to open one file, whatever precision its weights are stored at."""
    info = Codec.from_pretrained(path, precision=precision).info
    return {
        "file": Path(path).name,
        "precision": info["precision"],
        "parameters": info["parameters"],
        "open_ms": open_milliseconds(path, info["precision"]),
    }


def open_milliseconds(model: str, precision: str) -> float:
    """Median of a few times, from the system's cache of files."""
    opening = measure(lambda _: Codec.from_pretrained(model, precision=precision), 7, 1, 1.0)
    return round(float(np.median(opening.seconds)) * 1e3, 1)


def with_floor(rows: Iterable[Row], codec: Codec) -> Iterator[Row]:
    """Adds what a step cannot be faster than: the larger of bytes read over bandwidth and operations over peak.

    Both are measured here: the bandwidth with a block of that size, read again and again as a stream does (small models
    stay in a cache), the peak with multiply-adds of the precision that touch no memory. Small parts are left out.
    """
    config, info = codec.config, codec.info
    # Transformers multiply float32 activations unless they are int8; HiFT's are as narrow as its weights.
    matrix_peak = _kernels.peak(info["isa"], "int8" if codec.precision == "int8" else "fp32") * 1e6
    vocoder_peak = _kernels.peak(info["isa"], codec.precision) * 1e6
    for row in rows:
        stacks = _stacks_of(row["stage"])
        vocoder = info["vocoder"] == "hift" and row["stage"].startswith(("vocoder", "full duplex"))
        if not stacks and not vocoder:
            yield row
            continue
        frames = row["audio_ms"] / 1e3 * info["sample_rate"] / info["hop_length"]
        multiplies = frames / (info["frame_size"] // info["hop_length"]) * step_multiplies(config, stacks)
        size = step_bytes(config, stacks, codec.precision, info["half_weights"])
        floor = 2 * multiplies / matrix_peak
        if vocoder:
            vocoder_size, per_frame = hift_work(config, codec.precision)
            size, floor = size + vocoder_size, floor + 2 * frames * per_frame / vocoder_peak
        bandwidth = _kernels.read_bandwidth(max(1, size // 1_000_000), 20)
        row["read_gb_s"] = round(bandwidth, 1)
        row["floor_ms"] = round(max(floor, size / bandwidth / 1e6), 3)
        yield row


def _stacks_of(stage: str) -> tuple[str, ...]:
    """The transformers that a stage passes. The offline stage of the encoder gives its acoustic embedding as well."""
    own = next((stacks for name, stacks in _STACKS.items() if stage.startswith(name)), ())
    if stage == "full duplex":
        return tuple(stack for stacks in _STACKS.values() for stack in stacks)
    return (*own, "acoustic") if stage == "encode mel offline" else own


def step_bytes(
    config: dict[str, Any], stacks: tuple[str, ...], precision: str = "fp32", half_weights: bool = False
) -> int:
    """Bytes of weights, keys and values that one token passes in these transformers.

    With ``half_weights`` those at fp32 have two bytes, as their file.
    """
    d = config["dimension"]
    total = 0
    for stack in stacks:
        least = config.get("token_precision", "int8") if stack == "semantic" else "int8"
        element = _ELEMENT_BYTES[min(precision, least, key=list(_ELEMENT_BYTES).index)]
        weights, ring = 4 * d * d + 2 * d * config["feedforward"], 2 * config["context"] * d
        total += config["layers"][stack] * ((min(element, 2) if half_weights else element) * weights + element * ring)
    return total


def step_multiplies(config: dict[str, Any], stacks: tuple[str, ...]) -> int:
    """Multiply-adds of one token in these transformers."""
    d, layers = config["dimension"], sum(config["layers"][stack] for stack in stacks)
    return int(layers * (4 * d * d + 2 * d * config["feedforward"] + 2 * config["context"] * d))


def hift_work(config: dict[str, Any], precision: str) -> tuple[int, int]:
    """Bytes of weights that a push passes and multiply-adds of a mel frame, in HiFT's large convolutions."""
    v = config["vocoder"]
    width, rate = v["channels"], 1
    # The pitch predictor stays float32 at every precision.
    pitch = v["f0_kernel"] * v["f0_channels"] * (config["n_mels"] + (v["f0_layers"] - 1) * v["f0_channels"])
    size, multiplies = 4 * pitch, pitch
    for i, up in enumerate(v["upsample_rates"]):
        kernels = [*v["resblock_kernels"], v["source_resblock_kernels"][i]]
        upsampling = width * width // 2 * v["upsample_kernels"][i]
        width //= 2
        blocks = 2 * len(v["resblock_dilations"]) * sum(kernels) * width * width
        multiplies += rate * upsampling + rate * up * blocks
        size += _ELEMENT_BYTES[precision] * (upsampling + blocks)
        rate *= up
    return size, multiplies


def machine(threads: int, precisions: Sequence[str] = ("fp32",)) -> dict[str, Any]:
    """Where and when: what a number needs beside it."""
    codec = Codec.from_pretrained("default-21")
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "isa": codec.info["isa"],
        "peak_gops": {name: round(_kernels.peak(codec.info["isa"], name)) for name in precisions},
        "read_gb_s": round(_kernels.read_bandwidth(), 1),
        "system": f"{platform.system()} {platform.machine()}",
        "version": __version__,
        "date": date.today().isoformat(),
    }


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
        return measure(step, steps, warm_up, audio_seconds).row(codec.name, stage, "native")

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
    yield offline.row(codec.name, "encode mel offline", "native")
    offline = measure(lambda _: codec.stages.decode_tokens(encoded.tokens, encoded.voice), passes, 1,
                      audio_seconds)  # fmt: skip
    yield offline.row(codec.name, "decode to mel offline", "native")


def offline_rows(codec: Codec, minutes: float) -> Iterator[Row]:
    """Encoding so many minutes of audio in one call, mel front end and voice included."""
    if minutes > 0:
        pcm = voiced_signal(round(minutes * 60 * codec.sample_rate), codec.sample_rate)
        encoding = measure(lambda _: codec.encode(pcm), 1, 0, len(pcm) / codec.sample_rate)
        yield encoding.row(codec.name, f"encode {minutes:g} min of audio", "native")


def _vocoder_step(codec: Codec, chunks: list[Any]) -> Callable[[int], object]:
    stream = codec.decoder()
    return lambda i: stream.push_from_mel(chunks[i % len(chunks)])


def torch_rows(codec: Codec, threads: int, seconds: float) -> list[Row]:
    """The PyTorch reference model of the same sizes (random weights: times do not depend on them), step by step."""
    import torch  # the baselines alone need it

    from secousti_native.reference.codec import SecoustiCodec
    from secousti_native.reference.config import CodecConfig
    from secousti_native.reference.streaming import DecoderStep, EncoderStep

    torch.set_num_threads(threads)
    config = CodecConfig.from_dict(codec.config)
    reference = SecoustiCodec(config).eval()
    info = codec.info
    step_seconds = info["frame_size"] / info["sample_rate"]
    mel = torch.randn(1, info["frame_size"] // info["hop_length"], info["n_mels"])
    token, g = torch.tensor([1234 % info["cardinality"]]), torch.zeros(1, info["dimension"])
    # A baseline step can take ten times as long as ours: fewer of them give the same precision of the median.
    rows: list[Row] = []
    steps = max(8, min(200, round(seconds / step_seconds)))
    with torch.inference_mode():
        for engine in ("torch eager", "torch.compile"):
            encode: Any = EncoderStep(reference)
            decode: Any = DecoderStep(reference)
            if engine == "torch.compile":
                encode, decode = torch.compile(encode), torch.compile(decode)
            encoding = measure(partial(_call, encode, mel), steps, 16, step_seconds)
            rows.append(encoding.row(codec.name, "encode", engine))
            decoding = measure(partial(_call, decode, token, g), steps, 16, step_seconds)
            rows.append(decoding.row(codec.name, "decode to mel", engine))
        if info["vocoder"] == "hift":
            rows += _torch_hift(codec, config, seconds)
    return rows


def onnx_rows(codec: Codec, threads: int, seconds: float) -> list[Row]:
    """ONNX Runtime, float32 and dynamically quantised, on a step's transformers; nothing if it is not installed."""
    if not all(importlib.util.find_spec(package) for package in ("onnx", "onnxruntime")):
        return []
    step_module = importlib.import_module("secousti_native.reference.onnx_step")
    step_seconds = codec.info["frame_size"] / codec.info["sample_rate"]
    steps = max(8, min(200, round(seconds / step_seconds)))
    rows: list[Row] = []
    for stage, stacks in _STACKS.items():
        with tempfile.TemporaryDirectory() as folder:
            plain, quantised = Path(folder) / "step.onnx", Path(folder) / "int8.onnx"
            step_module.write_step(codec.config, sum(codec.config["layers"][stack] for stack in stacks), plain)
            step_module.quantise(plain, quantised)
            for path, engine in ((plain, "ONNX Runtime fp32"), (quantised, "ONNX Runtime int8")):
                step = step_module.load_step(path, threads)
                rows.append(measure(partial(_call, step), steps, 16, step_seconds).row(codec.name, stage, engine))
    return rows


def _call(module: Callable[..., object], *inputs: object) -> object:
    """`module` on its inputs; the step's number, which comes last, does not matter to it."""
    return module(*inputs[:-1])


def _torch_hift(codec: Codec, config: Any, seconds: float) -> list[Row]:
    """The offline vocoder fed chunks of 16 frames with the context on both sides that each needs."""
    import torch

    from secousti_native.reference.hift import HiFT

    info = codec.info
    vocoder: Any = HiFT(config).eval()
    mel = torch.randn(1, 16 + 2 * info["vocoder_look_ahead"], info["n_mels"])
    audio_seconds = 16 * info["hop_length"] / info["sample_rate"]
    steps = max(4, min(20, round(seconds / audio_seconds)))
    rows = []
    for engine, module in (("torch eager", vocoder), ("torch.compile", torch.compile(vocoder))):
        timing = measure(partial(_call, module, mel), steps, 2, audio_seconds)
        rows.append(timing.row(codec.name, "vocoder hift, 16 mel frames", engine))
    return rows


def processor_name() -> str:
    """With family and model, for hypervisors give processors of very different speed the same name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "model name" not in fields:
        return platform.processor() or platform.machine()
    kind = [f"{key} {fields[name]}" for key, name in (("family", "cpu family"), ("model", "model")) if name in fields]
    return f"{fields['model name']} ({', '.join(kind)})" if kind else fields["model name"]
