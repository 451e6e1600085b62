#!/usr/bin/env python3
"""Registers, spills and shared memory of every CUDA kernel, and the bytes and floor times of one step.

Compiles csrc/kernels/cuda/*.cu with `-Xptxas -v` for all targets (needs nvcc, no GPU) and prints a table; exits with 1
if a kernel spills. With --floors, prints what a step of the published 86 Hz model must move at least, computed
from its shapes, and the time that takes at the memory bandwidth given.
"""

from __future__ import annotations

import argparse
import itertools
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
        for name in sorted({usage.name for usage in usages}):
            of_targets = [next(u for u in usages if (u.name, u.target) == (name, target)) for target in TARGETS]
            columns = [
                " ".join(f"{getattr(usage, value):>{width}}" for usage in of_targets)
                for value, width in (("registers", 4), ("stack", 4), ("spills", 4), ("shared", 5))
            ]
            print(f"{source.stem + ': ' + name:<72} {' '.join(columns)}")
            kernels += 1
            spilling += any(usage.spills > 0 for usage in of_targets)
    print(f"{kernels} kernels, {spilling} with spills")
    return spilling


@dataclass
class Floor:
    """The least that one launch moves through device memory, and its multiply-adds."""

    name: str
    launches: int
    bytes: float
    macs: float


def transformer_floors(streams: int, element: int) -> list[Floor]:
    """One streaming transformer of the published size: 8 layers, d 512, 8 heads of 64, FFN 2048, context 250. Weights,
    keys and values have `element` bytes."""
    layers, d, feedforward, context = 8, 512, 2048, 250

    def product(name: str, outputs: int, depth: int) -> Floor:
        weights = outputs * depth
        moved = weights * element + 4 * streams * (depth + outputs)
        return Floor(name, layers, moved, weights * streams)

    ring = 2 * context * d * element * streams
    return [
        product("norm + q, k, v", 3 * d, d),
        Floor("attention step", layers, ring + 4 * 4 * d * streams, 2 * context * d * streams),
        product("output projection", d, d),
        product("norm + expand + GELU", feedforward, d),
        product("contract", d, feedforward),
    ]


def seanet_floors(streams: int, weight_bytes: int) -> list[Floor]:
    """The SEANet encoder of the 86 Hz model (ratios 1, 1): a frame is a token."""
    shapes = [
        ("conv 80-64 k7", 80, 64, 7), ("res conv 64-32 k3", 64, 32, 3), ("res conv 32-64 k1", 32, 64, 1),
        ("conv 64-128 k2", 64, 128, 2), ("res conv 128-64 k3", 128, 64, 3), ("res conv 64-128 k1", 64, 128, 1),
        ("conv 128-256 k2", 128, 256, 2), ("conv 256-512 k3", 256, 512, 3),
    ]  # fmt: skip
    return [
        Floor(
            name,
            1,
            inputs * outputs * kernel * weight_bytes + 4 * streams * (inputs * (kernel + 1) + outputs),
            inputs * outputs * kernel * streams,
        )
        for name, inputs, outputs, kernel in shapes
    ]


def print_floors(bandwidth: float) -> None:
    print(f"\nfloors of one 86 Hz step at {bandwidth / 1e12:.1f} TB/s (transformer as said, fp32 convolutions)")
    for precision, streams in itertools.product(("bf16", "int8"), (1, 64, 256, 1024)):
        total = 0.0
        print(f"{f'{precision}, {streams} streams':<30} {'launches':>8} {'MB':>9} {'MMAC':>9} {'us':>8}")
        for floor in [*seanet_floors(streams, 4), *transformer_floors(streams, 2 if precision == "bf16" else 1)]:
            time = floor.launches * floor.bytes / bandwidth * 1e6
            total += time
            print(
                f"  {floor.name:<28} {floor.launches:>8} {floor.launches * floor.bytes / 1e6:>9.2f}"
                f" {floor.launches * floor.macs / 1e6:>9.1f} {time:>8.2f}"
            )
        print(f"  {'encoder step':<28} {'':>8} {'':>9} {'':>9} {total:>8.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--floors", action="store_true", help="print the floors of a step too")
    parser.add_argument("--only-floors", action="store_true", help="compile nothing")
    parser.add_argument("--bandwidth", type=float, default=3.0e12, help="bytes per second of device memory")
    options = parser.parse_args()
    spilling = 0
    if not options.only_floors:
        if shutil.which("nvcc") is None:
            print("kernel_report: nvcc is not installed (the CUDA toolkit has it)", file=sys.stderr)
            return 2
        spilling = print_usage(options.jobs)
    if options.floors or options.only_floors:
        print_floors(options.bandwidth)
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main())
