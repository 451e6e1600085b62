"""The roofline bound of a step: what it cannot be faster than, by bytes over bandwidth or operations over peak."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from secousti_native import _kernels
from secousti_native.benchmark.timing import Row
from secousti_native.codec import Codec

#: Transformers that a stage runs, by the beginning of its name.
STACKS = {"encode": ("semantic",), "decode to mel": ("connector", "decoder")}
FULL_DUPLEX = tuple(stack for stacks in STACKS.values() for stack in stacks)

_ELEMENT_BYTES = {"fp32": 4, "bf16": 2, "int8": 1}  # of keys and values, and of weights; finest first


def with_bound(rows: Iterable[Row], codec: Codec) -> Iterator[Row]:
    """Adds each row's roofline bound, ``roofline_ms``, and the bandwidth that it reckons with, ``read_gb_s``.

    Bandwidth and peak are measured here: the bandwidth with a block of the step's size that is read again and again, as
    a stream does (small models stay in a cache), the peak with multiply-adds of the precision that touch no memory.
    Small parts of a step are left out. Rows of a device get none: it is the processor that is measured.
    """
    if codec.device != "cpu":
        yield from rows
        return
    config, info = codec.config, codec.info
    matrix_peak = _matrix_peak(codec)
    vocoder_peak = _kernels.peak(info["isa"], codec.precision) * 1e9  # HiFT's activations are as narrow as its weights
    for row in rows:
        stacks = stacks_of(row["stage"])
        vocoder = info["vocoder"] == "hift" and row["stage"].startswith(("vocoder", "full duplex"))
        if not stacks and not vocoder:
            yield row
            continue
        frames = row["audio_ms"] / 1e3 * info["sample_rate"] / info["hop_length"]
        multiplies = frames / (info["frame_size"] // info["hop_length"]) * step_multiplies(config, stacks)
        size = step_bytes(config, stacks, codec.precision, info["half_weights"])
        seconds = 2 * multiplies / matrix_peak
        if vocoder:
            vocoder_size, per_frame = hift_work(config, codec.precision)
            size, seconds = size + vocoder_size, seconds + 2 * frames * per_frame / vocoder_peak
        bandwidth = _kernels.read_bandwidth(max(1, size // 1_000_000), 20)
        row["read_gb_s"] = round(bandwidth, 1)
        row["roofline_ms"] = round(1e3 * max(seconds, size / (bandwidth * 1e9)), 3)
        yield row


def group_bound(codec: Codec, size: int) -> float:
    """Milliseconds that the transformers of a full-duplex step of ``size`` streams need at least."""
    half = codec.info["half_weights"]
    weights = step_bytes(codec.config | {"context": 0}, FULL_DUPLEX, codec.precision, half)
    total = weights + size * (step_bytes(codec.config, FULL_DUPLEX, codec.precision, half) - weights)
    bandwidth = _kernels.read_bandwidth(min(512, max(1, total // 1_000_000)), 4) * 1e9
    peak = _matrix_peak(codec)
    return round(1e3 * max(total / bandwidth, size * 2 * step_multiplies(codec.config, FULL_DUPLEX) / peak), 3)


def _matrix_peak(codec: Codec) -> float:
    """Operations a second: transformers multiply float32 activations unless they are int8."""
    return _kernels.peak(codec.info["isa"], "int8" if codec.precision == "int8" else "fp32") * 1e9


def stacks_of(stage: str) -> tuple[str, ...]:
    """The transformers that a stage runs. Offline, the encoder gives its acoustic embedding as well."""
    if stage == "full duplex":
        return FULL_DUPLEX
    own = next((stacks for name, stacks in STACKS.items() if stage.startswith(name)), ())
    return (*own, "acoustic") if stage == "encode mel offline" else own


def step_bytes(
    config: dict[str, Any], stacks: tuple[str, ...], precision: str = "fp32", half_weights: bool = False
) -> int:
    """Bytes of weights, keys and values that one token reads in these transformers.

    With ``half_weights`` weights at fp32 have two bytes, as in their file.
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
    """Bytes of weights that a push reads, and multiply-adds of a mel frame, in HiFT's large convolutions."""
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
