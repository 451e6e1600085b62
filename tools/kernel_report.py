#!/usr/bin/env python3
"""Registers, spills and shared memory of every CUDA kernel, and what it takes at least, computed from its shapes.

Compiles csrc/kernels/cuda/*.cu with `-Xptxas -v` for all targets (needs nvcc, no GPU) and prints a table; exits with 1
if a kernel spills. With --bounds, prints what every kernel of the published 86 Hz model must move and multiply at
least, computed from its shapes, and the time that takes on a device with the rates given.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ROOT / "csrc" / "kernels" / "cuda"
#: As cmake/cuda.cmake.
FLAGS = ["-std=c++20", "--expt-relaxed-constexpr", "--fmad=false", "-Xptxas=-v"]
TARGETS = {
    "sm_80": "-gencode=arch=compute_80,code=[sm_80,compute_80]",
    "sm_90a": "-gencode=arch=compute_90a,code=sm_90a",
}

ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<target>\w+)'.*?\n"
    r"(?:.*?Function properties.*?\n)?"
    r"\s*(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads\s*\n"
    r".*?Used (?P<registers>\d+) registers(?P<rest>[^\n]*)"
)


@dataclass
class Usage:
    """What ptxas says of one kernel."""

    name: str
    target: str
    registers: int
    stack: int
    spills: int
    shared: int


def demangle(names: list[str]) -> list[str]:
    tool = shutil.which("cu++filt") or shutil.which("c++filt")
    if tool is None:
        return names
    text = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [short(line) for line in text.splitlines()]


def short(name: str) -> str:
    """`void simt::entry<K>(K::Args)` -> K, without namespaces."""
    inner = re.search(r"entry<(.*)>\s*\(", name)
    return re.sub(r"(\w+::)+", "", inner.group(1) if inner else name).strip()


def usage_of(source: Path, folder: Path) -> list[Usage]:
    command = ["nvcc", *FLAGS, f"-I{ROOT / 'csrc'}", *TARGETS.values(), "-c", str(source)]
    done = subprocess.run(
        [*command, "-o", str(folder / f"{source.stem}.o")], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{source.name}: nvcc failed\n{done.stderr}")
    found = list(ENTRY.finditer(done.stderr))
    compiled = done.stderr.count("Compiling entry function")
    if len(found) != compiled:
        raise SystemExit(f"{source.name}: read {len(found)} of {compiled} kernels in what ptxas says\n{done.stderr}")
    usages = []
    for match, name in zip(found, demangle([m["name"] for m in found]), strict=True):
        shared = re.search(r"(\d+) bytes smem", match["rest"])
        usages.append(
            Usage(
                name=name,
                target=match["target"],
                registers=int(match["registers"]),
                stack=int(match["stack"]),
                spills=int(match["stores"]) + int(match["loads"]),
                shared=int(shared.group(1)) if shared else 0,
            )
        )
    return usages


def print_usage(jobs: int) -> int:
    """Prints the table; returns how many kernels spill."""
    sources = sorted(KERNELS.glob("*.cu"))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(lambda source: usage_of(source, Path(folder)), sources))
    print(f"{' and '.join(TARGETS)}, static shared memory; dynamic shared memory is asked for at the launch")
    print(f"{'kernel':<72} {'registers':>9} {'stack':>9} {'spills':>9} {'shared':>11}")
    kernels = spilling = 0
    for source, usages in zip(sources, results, strict=True):
        by_key = {(usage.name, usage.target): usage for usage in usages}
        names = sorted({usage.name for usage in usages})
        if len(by_key) != len(usages) or len(by_key) != len(names) * len(TARGETS):
            raise SystemExit(
                f"{source.name}: not one report for each of {len(names)} kernels and {len(TARGETS)} targets"
            )
        for name in names:
            of_targets = [by_key[name, target] for target in TARGETS]
            columns = [
                " ".join(f"{getattr(usage, value):>{width}}" for usage in of_targets)
                for value, width in (("registers", 4), ("stack", 4), ("spills", 4), ("shared", 5))
            ]
            print(f"{source.stem + ': ' + name:<72} {' '.join(columns)}")
            kernels += 1
            spilling += any(usage.spills > 0 for usage in of_targets)
    # One source is the CUDA runtime alone; that all have no kernel means that ptxas no longer says what is read here.
    if kernels == 0:
        raise SystemExit("no kernel was found in what ptxas says")
    print(f"{kernels} kernels, {spilling} with spills")
    return spilling


@dataclass
class Bound:
    """What a kernel of one shape moves through device memory at least, its multiply-adds, and how often it runs."""

    name: str
    times: int
    bytes: float
    macs: float
    tensor_cores: bool = True

    def microseconds(self, machine: Machine) -> float:
        rate = machine.tensor_macs if self.tensor_cores else machine.fp32_macs
        return 1e6 * self.times * max(self.bytes / machine.bandwidth, self.macs / rate)


@dataclass
class Machine:
    """What a device does in a second."""

    bandwidth: float
    tensor_macs: float
    fp32_macs: float


ELEMENT = {"bf16": 2, "int8": 1}
#: A bf16 product multiplies activations as the sum of two bfloat16 terms.
TERMS = {"bf16": 2, "int8": 1}
#: The published sizes.
WIDTH, LAYERS, FEEDFORWARD, CONTEXT, LEVELS, N_FFT, HOP, N_MELS = 512, 8, 2048, 250, 8, 1024, 256, 80
#: A real FFT is 5/2 n log2 n operations.
FFT_MACS = 5 / 4 * N_FFT * math.log2(N_FFT)


def transformer_bounds(streams: int, precision: str) -> list[Bound]:
    """One streaming transformer; keys and values have the precision of its weights."""
    element, terms = ELEMENT[precision], TERMS[precision]

    def product(name: str, outputs: int, depth: int) -> Bound:
        weights = outputs * depth
        return Bound(name, LAYERS, weights * element + 4 * streams * (depth + outputs), terms * weights * streams)

    ring = 2 * CONTEXT * WIDTH * element * streams
    attention = Bound("attention step", LAYERS, ring + 16 * WIDTH * streams, 2 * CONTEXT * WIDTH * streams, False)
    return [
        product("norm + q, k, v", 3 * WIDTH, WIDTH),
        attention,
        product("output projection", WIDTH, WIDTH),
        product("norm + expand + GELU", FEEDFORWARD, WIDTH),
        product("contract", WIDTH, FEEDFORWARD),
    ]


def convolutions(shapes: list[tuple[str, int, int, int]], streams: int, weight_bytes: int) -> list[Bound]:
    """One frame a step: a row reads its window, writes the newest row of it and the output."""
    fp32 = weight_bytes == 4
    return [
        Bound(
            f"{name} {inputs}-{outputs} k{kernel}",
            1,
            inputs * outputs * kernel * weight_bytes + 4 * streams * (inputs * (kernel + 1) + outputs),
            inputs * outputs * kernel * streams * (1 if fp32 else 2),
            not fp32,
        )
        for name, inputs, outputs, kernel in shapes
    ]


def encoder_bounds(streams: int, precision: str) -> list[Bound]:
    """A step of the 86 Hz model (ratios 1, 1: a frame is a token). Its convolutions and mu stay float32."""
    shapes = [
        ("conv", N_MELS, 64, 7), ("res conv", 64, 32, 3), ("res conv", 32, 64, 1), ("conv", 64, 128, 2),
        ("res conv", 128, 64, 3), ("res conv", 64, 128, 1), ("conv", 128, 256, 2), ("conv", 256, WIDTH, 3),
    ]  # fmt: skip
    # A window in, the samples that stay and the mel row out.
    mel = Bound("log-mel", 1, 4 * streams * (2 * N_FFT - HOP + N_MELS), streams * FFT_MACS, False)
    quantiser = [("mu", WIDTH, WIDTH, 1), ("quantise, pack", WIDTH, LEVELS, 1)]
    return [
        mel,
        *convolutions(shapes, streams, 4),
        *transformer_bounds(streams, precision),
        *convolutions(quantiser, streams, 4),
    ]


def decoder_bounds(streams: int, precision: str) -> list[Bound]:
    """A step to mel: the connector's and the decoder's transformer, then convolutions, bf16 at either precision."""
    shapes = [
        ("conv", WIDTH, 256, 7), ("conv transposed", 256, 128, 2), ("res conv", 128, 64, 3), ("res conv", 64, 128, 1),
        ("conv transposed", 128, 64, 2), ("res conv", 64, 32, 3), ("res conv", 32, 64, 1), ("conv", 64, N_MELS, 3),
    ]  # fmt: skip
    both = [dataclasses.replace(f, times=2 * f.times) for f in transformer_bounds(streams, precision)]
    return [
        *convolutions([("unpack, project, add G", LEVELS, WIDTH, 1)], streams, 4),
        *both,
        *convolutions(shapes, streams, 2),
    ]


def hift_bounds(streams: int, frames: int) -> list[Bound]:
    """One call of the bf16 vocoder: `frames` mel frames of each stream."""

    def convolution(name: str, rate: int, inputs: int, outputs: int, taps: int, times: int = 1) -> Bound:
        rows, weights = streams * frames * rate, inputs * outputs * taps
        # Activated rows are bfloat16, in and out; sums are float32, in and out.
        return Bound(name, times, 2 * weights + rows * (2 * inputs + 10 * outputs), weights * rows)

    bounds = [convolution("conv pre k7", 1, N_MELS, 512, 7)]
    for inputs, times in ((N_MELS, 1), (512, 4)):  # the pitch predictor stays float32
        weights, rows = inputs * 512 * 3, streams * frames
        moved = 4 * weights + 4 * rows * (inputs + 512)
        bounds.append(Bound(f"pitch {inputs}-512 k3", times, moved, weights * rows, False))
    for rate, width, source in ((8, 256, 7), (64, 128, 11)):
        bounds.append(convolution(f"up {2 * width}-{width}", rate, 2 * width, width, 2))
        bounds.append(convolution(f"source 18-{width}", rate, 18, width, 16 if rate == 8 else 1))
        bounds.append(convolution(f"source blocks {width} k{source}", rate, width, width, source, 6))
        bounds += [convolution(f"blocks {width} k{kernel}", rate, width, width, kernel, 6) for kernel in (3, 7, 11)]
    return [*bounds, convolution("conv post k7", 64, 128, 18, 7)]


def spectral_bounds(streams: int) -> list[Bound]:
    """A mel frame of each stream at one frame of look-ahead: 16 iterations on two open frames, each there and back."""
    bytes_a_frame = 60e3  # state in and out, once: iterations stay in shared memory
    return [Bound("all iterations", 1, streams * bytes_a_frame, streams * 16 * 2 * 2 * FFT_MACS, False)]


def print_bounds(machine: Machine) -> None:
    print(
        f"\nbounds of the published 86 Hz model: bytes at {machine.bandwidth / 1e12:.1f} TB/s or multiply-adds at "
        f"{machine.tensor_macs / 1e12:.0f} (float32: {machine.fp32_macs / 1e12:.0f}) T/s, whichever takes longer"
    )
    tables = [
        (f"{what}, {precision}, {streams} streams", bounds(streams, precision))
        for what, bounds in (("encoder step", encoder_bounds), ("decoder step to mel", decoder_bounds))
        for precision, streams in itertools.product(ELEMENT, (1, 64, 256, 1024))
    ]
    tables += [(f"HiFT, bf16, {n} x {frames} mel frames", hift_bounds(n, frames)) for n, frames in ((1, 4), (64, 16))]
    tables += [(f"spectral, {n} x 1 mel frame", spectral_bounds(n)) for n in (1, 1024)]
    for title, bounds in tables:
        print(f"{title:<40} {'times':>8} {'MB':>9} {'MMAC':>9} {'us':>8}")
        for bound in bounds:
            print(
                f"  {bound.name:<38} {bound.times:>8} {bound.times * bound.bytes / 1e6:>9.2f}"
                f" {bound.times * bound.macs / 1e6:>9.1f} {bound.microseconds(machine):>8.2f}"
            )
        total = sum(bound.microseconds(machine) for bound in bounds)
        print(f"  {'in all':<38} {sum(f.times for f in bounds):>8} {'':>9} {'':>9} {total:>8.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--bounds", action="store_true", help="print the bounds of a step too")
    parser.add_argument("--only-bounds", action="store_true", help="compile nothing")
    parser.add_argument("--bandwidth", type=float, default=3.0e12, help="bytes per second of device memory")
    parser.add_argument("--tensor-macs", type=float, default=250e12, help="multiply-adds a second of tensor cores")
    parser.add_argument("--fp32-macs", type=float, default=30e12, help="multiply-adds a second in float32")
    options = parser.parse_args()
    spilling = 0
    if not options.only_bounds:
        if shutil.which("nvcc") is None:
            print("kernel_report: nvcc is not installed (the CUDA toolkit has it)", file=sys.stderr)
            return 2
        spilling = print_usage(options.jobs)
    if options.bounds or options.only_bounds:
        print_bounds(Machine(options.bandwidth, options.tensor_macs, options.fp32_macs))
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main())
