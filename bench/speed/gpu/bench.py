"""Every row of docs/measured/cuda.md's speed table, ours and PyTorch's CUDA graphs in one process.

bench/speed/gpu/verify.sh runs it.

python bench/speed/gpu/bench.py MODEL_FOLDER --json report.json [--smoke] [--rehearse]

The table comes last on standard output; the JSON is written anew after every row, so that a run that is cut short keeps
what it measured. `--rehearse` runs the script without a GPU, ours on `--device` (in a build with SECOUSTI_CUDA=EMULATED
that may be "cuda") and PyTorch on the CPU, on the smallest sizes: its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import engine
import torch
import torch_graphs
from measure import Timing

Row = dict[str, Any]

#: Milliseconds of issue "CUDA backend" for bf16: encode, decode to mel.
TARGETS = {1: (0.12, 0.22), 256: (0.7, 1.3), 1024: (1.9, 3.8)}


class Report:
    """Rows in the order measured, on disk after each."""

    def __init__(self, path: Path | None, device: str) -> None:
        self.path = path
        self.rows: list[Row] = []
        self.errors: list[str] = []
        self.machine = machine(device)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        print(line(row), flush=True)
        self.write()

    def attempt(self, what: str, body: Callable[[], Iterator[Row]]) -> None:
        """Rows of one measurement; its failure is reported and loses no other."""
        start = time.perf_counter()
        try:
            for row in body():
                self.add(row)
        except Exception as error:
            traceback.print_exc()
            self.errors.append(f"{what}: {type(error).__name__}: {error}")
            self.write()
        torch_graphs.release()
        print(f"# {what}: {time.perf_counter() - start:.1f} s", flush=True)

    def write(self) -> None:
        if self.path is not None:
            document = {"machine": self.machine, "rows": self.rows, "errors": self.errors}
            self.path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def machine(torch_device: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"date": date.today().isoformat(), "torch": torch.__version__, "host": platform.machine()}
    if torch_device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "device": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "copy_gb_s": round(copy_bandwidth(), 0),
        }
    return facts


def copy_bandwidth() -> float:
    """GB/s of a large device-to-device copy, read and written bytes together: the ceiling of everything here."""
    source = torch.randn(2**28, device="cuda")
    target = torch.empty_like(source)
    milliseconds = []
    for _ in range(12):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        target.copy_(source)
        end.record()
        end.synchronize()
        milliseconds.append(begin.elapsed_time(end))
    return 2 * source.numel() * 4 / (sorted(milliseconds)[len(milliseconds) // 2] * 1e6)


def row(stage: str, engine_name: str, precision: str, streams: int, timing: Timing, **more: object) -> Row:
    return {
        "stage": stage,
        "engine": engine_name,
        "precision": precision,
        "streams": streams,
        "p50_ms": round(timing.milliseconds(50), 4),
        "p99_ms": round(timing.milliseconds(99), 4),
        "steps": len(timing.seconds),
        **more,
    }


def line(r: Row) -> str:
    extra = "  ".join(f"{k} {v}" for k, v in r.items() if k not in
                      {"stage", "engine", "precision", "streams", "p50_ms", "p99_ms", "steps"})  # fmt: skip
    return (f"{r['stage']:<28} {r['engine']:<22} {r['precision']:<5} {r['streams']:>5} streams  "
            f"p50 {r['p50_ms']:>9.4f} ms  p99 {r['p99_ms']:>9.4f} ms  {extra}")  # fmt: skip


def steps(arguments: argparse.Namespace, model: Path, report: Report) -> None:
    """Encode and decode to mel, step by step, for each number of streams and precision."""
    for precision in ("bf16", "fp32") if arguments.rehearse else ("bf16", "fp32", "int8"):
        for streams in arguments.streams:

            def ours(precision: str = precision, streams: int = streams) -> Iterator[Row]:
                for stage, memory, timing in engine.encode_and_decode(
                    model, precision, streams, arguments.steps, arguments.device
                ):
                    target = TARGETS.get(streams, (None, None))[stage != "encode"] if precision == "bf16" else None
                    yield row(stage, f"secousti, {memory} arrays", precision, streams, timing, target_ms=target)

            def theirs(precision: str = precision, streams: int = streams) -> Iterator[Row]:
                count = max(8, min(arguments.steps, 3000 // max(1, streams // 8)))
                timings = torch_graphs.encode_and_decode(
                    engine.config_of(model), precision, streams, count, arguments.torch_device
                )
                for stage, timing in timings.items():
                    yield row(stage, "PyTorch CUDA graph", precision, streams, timing)

            report.attempt(f"secousti {precision} {streams}", ours)
            if not arguments.no_baseline and precision != "int8":
                report.attempt(f"PyTorch {precision} {streams}", theirs)


def vocoder(arguments: argparse.Namespace, model: Path, report: Report) -> None:
    """The vocoder alone: one stream live, and many for throughput."""
    for streams, frames in ((1, 4),) if arguments.rehearse else ((1, 4), (1, 32), (64, 16)):

        def ours(streams: int = streams, frames: int = frames) -> Iterator[Row]:
            count = max(2, arguments.steps // 8)
            timing, audio_seconds = engine.vocode(model, streams, frames, count, arguments.device)
            speed = round(audio_seconds / (timing.milliseconds(50) / 1e3), 1)
            yield row(f"vocoder, {frames} mel frames", "secousti", "bf16", streams, timing, times_real_time=speed)

        def theirs(streams: int = streams, frames: int = frames) -> Iterator[Row]:
            timing = torch_graphs.vocode(
                engine.config_of(model), streams, frames, max(4, arguments.steps // 8), arguments.torch_device
            )
            if timing is not None:
                yield row(f"vocoder, {frames} mel frames", "PyTorch eager", "fp32", streams, timing)

        report.attempt(f"secousti vocoder {streams}x{frames}", ours)
        if not arguments.no_baseline:
            report.attempt(f"PyTorch vocoder {streams}x{frames}", theirs)


def duplex(arguments: argparse.Namespace, model: Path, report: Report) -> None:
    """Encode and decode to mel in turn: how many live streams one device serves."""

    for precision in ("bf16",) if arguments.rehearse else ("bf16", "int8"):

        def body(precision: str = precision) -> Iterator[Row]:
            for streams in arguments.duplex:
                timing, period = engine.duplex(model, precision, streams, arguments.steps, arguments.device)
                live = {"period_ms": round(period * 1e3, 2), "real_time": timing.milliseconds(99) < period * 1e3}
                yield row("full duplex to mel", "secousti", precision, streams, timing, **live)

        report.attempt(f"full duplex {precision}", body)


def offline(arguments: argparse.Namespace, model: Path, report: Report) -> None:
    """A corpus of clips in one call, `Codec.encode_many`, from host memory."""
    for precision in ("bf16",) if arguments.rehearse else ("bf16", "int8"):

        def body(precision: str = precision) -> Iterator[Row]:
            for streams in arguments.offline:
                timing, audio_seconds = engine.corpus(
                    model, precision, streams, arguments.clip_seconds, arguments.device
                )
                speed = round(audio_seconds / (timing.milliseconds(50) / 1e3), 0)
                yield row("offline encode of a corpus", "secousti", precision, streams, timing, times_real_time=speed)

        report.attempt(f"offline encode {precision}", body)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="folder of bench/speed/cpu/golden_models.py")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU")
    parser.add_argument("--smoke", action="store_true", help="a few timings only")
    parser.add_argument("--no-baseline", action="store_true", help="without PyTorch")
    parser.add_argument("--streams", type=int, nargs="+", default=None)
    parser.add_argument("--steps", type=int, default=None)
    arguments = parser.parse_args()
    arguments.streams = arguments.streams or ([1, 256] if arguments.smoke else [1, 64, 256, 1024])
    arguments.steps = arguments.steps or (60 if arguments.smoke else 400)
    arguments.duplex = [64] if arguments.smoke else [1024, 1536, 2048]
    arguments.offline = [64] if arguments.smoke else [1024]
    arguments.clip_seconds = 2.0 if arguments.smoke else 10.0
    arguments.torch_device = "cpu" if arguments.rehearse else "cuda"
    if arguments.rehearse:
        arguments.streams, arguments.steps = [1], 2
        arguments.duplex, arguments.offline, arguments.clip_seconds = [1], [1], 0.02

    report = Report(arguments.json, arguments.torch_device)
    model = arguments.models / "86_hz.safetensors"
    for part in (steps, duplex, vocoder, offline):
        part(arguments, model, report)
    print(
        "\n".join(
            ["=== table", json.dumps(report.machine), *map(line, report.rows), *(f"FAILED {e}" for e in report.errors)]
        )
    )
    return 1 if report.errors else 0


if __name__ == "__main__":
    sys.exit(main())
