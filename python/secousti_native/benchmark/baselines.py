"""The same stages in PyTorch and ONNX Runtime, where those are installed."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from secousti_native.benchmark.roofline import STACKS
from secousti_native.benchmark.timing import Row, measure
from secousti_native.codec import Codec


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
    for stage, stacks in STACKS.items():
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
