"""Runs one stage: batches, updates, validation, checkpoints, logs; on a CPU, a GPU, or several under torchrun."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.distributed import destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel

from secousti_native.reference.config import ConfigError
from secousti_native.training.batches import Sampler
from secousti_native.training.config import TrainConfig, to_dict
from secousti_native.training.listening import Listening
from secousti_native.training.monitor import Monitor
from secousti_native.training.optim import Optimisers, WeightAverage, rate_factor
from secousti_native.training.prepare import Cache
from secousti_native.training.processor import fast_bfloat16
from secousti_native.training.start import BEST, STATE, initial_codec, kept_tensors, load_checkpoint, widened
from secousti_native.training.system import TrainingSystem
from secousti_native.training.validate import validate

CONFIG = "config.json"


def save_atomically(value: object, path: Path) -> None:
    """A crash while writing leaves the old file whole."""
    partial = path.with_suffix(".partial")
    torch.save(value, partial)
    partial.replace(path)


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Within the block, Ctrl-C and SIGTERM only set what the yielded function returns; a second Ctrl-C interrupts."""
    asked: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and asked:
            raise KeyboardInterrupt
        asked.append(number)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, action in previous.items():
            signal.signal(number, action)


class Trainer:
    """One stage in the folder ``run``. A folder with a state is continued from it, bit for bit as if never stopped."""

    def __init__(self, config: TrainConfig, run: Path, progress: bool = False) -> None:
        self.config, self.run_folder, self.progress = config, run, progress
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if config.threads:
            torch.set_num_threads(config.threads)
        local = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
        self.cache = Cache(Path(config.data.cache))
        torch.manual_seed(config.seed)
        codec = initial_codec(config)
        self.cache.check(codec.config)
        statistics = torch.from_numpy(self.cache.mean), torch.from_numpy(self.cache.deviation)
        if not config.init:
            codec.set_mel_normalisation(*statistics)
        elif not codec.normalisation.mean.any():  # not the trainer's own: it computes on raw mels
            codec.unfold(*statistics)
        self.codec_config = codec.config
        self.kept = kept_tensors(config)
        self.system = TrainingSystem(codec, len(self.cache.symbols), config).to(self.device)
        self._take_over(config)
        self.optimisers = Optimisers(self.system, config.optimiser)
        self.average = WeightAverage(self.system, config.optimiser.ema)
        self.sampler = Sampler(
            self.cache,
            batch=config.data.batch,
            crop=config.data.crop,
            prompt_frames=codec.config.prompt_frames,
            seed=config.seed,
            rank=self.rank,
            source_weights=config.data.source_weights,
            device=self.device,
        )
        if Path(config.init).suffix == ".safetensors" and "paralinguistic_encoder" in config.modules:
            codec.paralinguistic_encoder.restart_batch_norms(self.sampler(0).prompt)
            self.average = WeightAverage(self.system, config.optimiser.ema)
        self.bfloat16 = config.bfloat16 and fast_bfloat16(self.device)
        self.listening = Listening(Path(config.data.cache), self.cache.mel_fields) if self.rank == 0 else None
        self.step, self.seconds, self.best = 0, 0.0, -float("inf")
        self._frames = 0  # since the last logged step
        state = run / STATE
        if state.exists():
            self._load(torch.load(state, map_location="cpu", weights_only=True))

    def _take_over(self, config: TrainConfig) -> None:
        """From another machine's file also the parts that only training has, where they fit."""
        if Path(config.init).suffix == ".pt" and not Path(config.init).is_dir():
            own, handed = self.system.state_dict(), widened(load_checkpoint(Path(config.init)).get("average", {}))
            fitting = {k: v for k, v in handed.items() if k in own and own[k].shape == v.shape}
            self.system.load_state_dict(own | fitting)

    def _load(self, state: dict[str, Any]) -> None:
        if state["codec"] != self.codec_config.to_dict():
            raise ConfigError(f"{self.run_folder}: its state belongs to a codec of other sizes; choose another folder")
        self.system.load_state_dict(state["system"])
        self.system.codec.set_mel_normalisation(*(m.to(self.device) for m in state["normalisation"]))
        self.optimisers.load_state_dict(state["optimisers"])
        self.average.state = {k: v.to(self.device) for k, v in state["average"].items()}
        self.kept = state.get("kept", self.kept)
        self.step, self.seconds, self.best = state["step"], state["seconds"], state.get("merit", self.best)

    def _weights(self) -> dict[str, Any]:
        """What export and later stages need."""
        norm = self.system.codec.normalisation
        return {
            "codec": self.codec_config.to_dict(),
            "config": to_dict(self.config),
            "normalisation": [norm.mean.cpu(), norm.deviation.cpu()],
            "kept": self.kept,
            "average": {k: v.cpu() for k, v in self.average.state.items()},
            "step": self.step,
            "seconds": self.seconds,
            "merit": self.best,
        }

    def save(self) -> None:
        if self.rank == 0:
            system = {k: v.cpu() for k, v in self.system.state_dict().items()}
            whole = self._weights() | {"system": system, "optimisers": self.optimisers.state_dict()}
            save_atomically(whole, self.run_folder / STATE)

    def run(self, until: int | None = None) -> int:
        """Trains to the last step (or to step ``until``), or until asked to stop; saves; returns the step reached."""
        self.run_folder.mkdir(parents=True, exist_ok=True)
        if self.rank == 0:
            (self.run_folder / CONFIG).write_text(json.dumps(to_dict(self.config), indent=1), encoding="utf8")
        if self.world > 1:
            init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        try:
            fields = self.cache.mel_fields
            with Monitor(self.run_folder, self.rank, self.config.steps, self.progress, fields) as monitor:
                self._loop(monitor, min(self.config.steps, until or self.config.steps))
        finally:
            if self.world > 1:
                destroy_process_group()
        return self.step

    def _loop(self, monitor: Monitor, last: int) -> None:
        config = self.config
        model: torch.nn.Module = DistributedDataParallel(self.system) if self.world > 1 else self.system
        self.system.train()
        with stop_requests() as stop, ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.sampler, self.step)
            ending = self._spent() >= 1
            cpu = -time.process_time()  # of steps alone, since the last logged one
            while self.step < last and not ending:
                began = time.perf_counter()
                batch = coming.result()
                coming = ahead.submit(self.sampler, self.step + 1)
                terms = self._train_step(model, batch)
                self.step += 1
                self._frames += batch.mel.shape[0] * batch.mel.shape[1]
                if self.step % config.log_every == 0 or self.step == 1:
                    values = {k: float(v.detach()) for k, v in terms.items()}
                    cpu += time.process_time()
                    values["frames_per_cpu_second"] = self._frames / max(cpu, 1e-9)
                    monitor.train(self.step, self.seconds, values)
                    cpu, self._frames = -time.process_time(), 0
                asked = self._agree(stop(), time.perf_counter() - began)
                out_of_time = self._spent() >= 1
                if self.step % config.valid_every == 0 or self.step == config.steps or out_of_time:
                    began = time.perf_counter()
                    cpu += time.process_time()
                    self.save()  # first: validation also runs the vocoder and writes images
                    self._validate(monitor)
                    cpu -= time.process_time()
                    self._agree(False, time.perf_counter() - began)
                monitor.advance(self.step)
                ending = asked or out_of_time
                if self.step % config.save_every == 0 or self.step == last or ending:
                    self.save()

    def _train_step(self, model: torch.nn.Module, batch: Any) -> dict[str, Tensor]:
        config = self.config
        generator = torch.Generator(self.device).manual_seed(
            (config.seed * 1_000_003 + self.step) * self.world + self.rank
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            terms: dict[str, Tensor] = model(batch, self.step, generator)
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        factor = rate_factor(self.step, config.steps, config.optimiser, self._spent())
        terms["gradient_norm"] = self.optimisers.step(factor)
        self.average.update(self.system, self.step)
        return terms

    def _spent(self) -> float:
        """Share of the run's hours that has passed; 0 when they are not limited."""
        return self.seconds / (3600 * self.config.hours) if self.config.hours else 0.0

    def _agree(self, asked: bool, seconds: float) -> bool:
        """Adds the slowest process's ``seconds`` to the run's; true on every process if any was asked to stop."""
        if self.world > 1:
            shared = torch.tensor([float(asked), seconds], device=self.device, dtype=torch.float64)
            torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
            asked, seconds = bool(shared[0]), float(shared[1])
        self.seconds += seconds
        return asked

    def _validate(self, monitor: Monitor) -> None:
        if self.rank != 0:
            return
        own = {k: v.clone() for k, v in self.system.state_dict().items()}
        self.system.load_state_dict(self.average.state)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            metrics, examples = validate(self.system, self.cache, self.device)
            if self.listening is not None:
                metrics |= self.listening(self.system, self.device)
        self.system.load_state_dict(own)
        # Without clips to listen to, the mel difference has to do.
        merit = metrics.get("score", -metrics["mel_l1"]) if metrics else -float("inf")
        if merit > self.best:
            self.best = merit
            save_atomically(self._weights(), self.run_folder / BEST)
        monitor.valid(self.step, self.seconds, metrics, examples)
