"""The PyTorch reference model as CUDA graphs: what a step of our engine is compared with, in the same process.

Weights are random (times do not depend on them), every step has the same shapes, inputs already lie on the device and
results stay there: each of these favours the baseline.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from measure import Timing, measure

from secousti_native.reference.codec import SecoustiCodec
from secousti_native.reference.config import CodecConfig
from secousti_native.reference.hift import HiFT
from secousti_native.reference.streaming import DecoderStep, EncoderStep

#: float32 means TF32 matrix products, as PyTorch users run them.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def reference(config: dict[str, Any], precision: str, device: str = "cuda") -> tuple[CodecConfig, SecoustiCodec]:
    """The reference model of a configuration with fresh weights on the device."""
    torch.set_float32_matmul_precision("high")
    parsed = CodecConfig.from_dict(config)
    torch.manual_seed(0)
    return parsed, SecoustiCodec(parsed).eval().to(device=device, dtype=DTYPES[precision])


def encode_and_decode(
    config: dict[str, Any], precision: str, streams: int, steps: int, device: str = "cuda"
) -> dict[str, Timing]:
    """Seconds of each step of the semantic encoder (from mel) and of the decoder to mel."""
    parsed, codec = reference(config, precision, device)
    dtype = DTYPES[precision]
    mel = torch.randn(streams, parsed.token_stride, parsed.n_mels, dtype=dtype, device=device)
    tokens = torch.randint(0, parsed.cardinality, (streams,), device=device)
    g = torch.zeros(streams, parsed.dimension, dtype=dtype, device=device)
    timings = {}
    with torch.inference_mode():
        for stage in ("encode", "decode to mel"):
            module: Any = EncoderStep(codec, streams) if stage == "encode" else DecoderStep(codec, streams)
            module = module.to(device)
            inputs = (mel,) if stage == "encode" else (tokens, g)
            with graphed(lambda module=module, inputs=inputs: module(*inputs), device) as step:
                timings[stage] = measure(step, steps, warm_up=8)
            del module
            release()
    return timings


def vocode(config: dict[str, Any], streams: int, frames: int, steps: int, device: str = "cuda") -> Timing | None:
    """Seconds of eager HiFT, fed `frames` mel frames of each stream with the context that they need on both sides;
    None without a HiFT vocoder."""
    if config["vocoder"]["kind"] != "hift":
        return None
    parsed = CodecConfig.from_dict(config)
    vocoder = HiFT(parsed).eval().to(device)
    mel = torch.randn(streams, frames + 2 * 19, parsed.n_mels, device=device)
    with torch.inference_mode():
        return measure(lambda: (vocoder(mel), synchronise(device)), steps, warm_up=2)


@contextmanager
def graphed(body: Callable[[], object], device: str) -> Iterator[Callable[[], object]]:
    """`body` captured; yields a function that replays it and waits. On the CPU it just runs."""
    if device == "cpu":
        yield body
        return
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            body()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = body()

    def replay() -> object:
        graph.replay()
        torch.cuda.synchronize()
        return result

    yield replay


def synchronise(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def release() -> None:
    """Gives memory back to the device: the engine shares it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
