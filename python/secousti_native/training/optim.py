"""Optimisers, learning-rate schedules and the running average of the weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from secousti_native.reference.config import ConfigError
from secousti_native.training.config import OptimiserConfig


def rate_factor(step: int, steps: int, config: OptimiserConfig, spent: float = 0.0) -> float:
    """Factor of the learning rates at ``step`` of ``steps``, or when the share ``spent`` of a run's time is further."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    progress = min(1.0, max(step / steps, spent))
    if config.schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * progress))
    left = steps * (1 - progress)
    return rise * min(1.0, max(0.0, left / max(1, config.decay)))


class Optimisers:
    """Muon for the matrices of the codec's transformers (if chosen), AdamW for every other trained parameter."""

    def __init__(self, module: nn.Module, config: OptimiserConfig) -> None:
        self.config = config
        matrices: list[Tensor] = []
        decayed: list[Tensor] = []
        plain: list[Tensor] = []
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            if config.muon and parameter.ndim == 2 and ".transformer.layers." in name:
                matrices.append(parameter)
            else:
                (decayed if parameter.ndim > 1 else plain).append(parameter)
        self.parameters = matrices + decayed + plain
        if not self.parameters:
            raise ConfigError("trainable: no parameter is left to train")
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        betas = (config.beta1, config.beta2)
        self.all: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.AdamW([g for g in groups if g["params"]], lr=config.rate, betas=betas), config.rate)
        ]
        if matrices:
            if not hasattr(torch.optim, "Muon"):
                raise ConfigError(f"optimiser.muon: torch {torch.__version__} has no torch.optim.Muon (2.9 has)")
            rate = config.muon_rate
            muon = torch.optim.Muon(matrices, lr=rate, weight_decay=config.weight_decay, adjust_lr_fn="original")
            self.all.append((muon, rate))

    def step(self, factor: float) -> Tensor:
        """Clips, updates at ``factor`` times the configured rates, clears gradients; gives the norm before clipping."""
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        for optimiser, rate in self.all:
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            if norm.isfinite():  # one bad batch must not end a run of days
                optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> list[dict[str, Any]]:
        return [optimiser.state_dict() for optimiser, _ in self.all]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        for (optimiser, _), state in zip(self.all, states, strict=True):
            optimiser.load_state_dict(state)


class WeightAverage:
    """Exponential average of a module's floating-point state; young averages forget faster."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        floating: tuple[list[Tensor], list[Tensor]] = ([], [])
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                floating[0].append(self.state[name])
                floating[1].append(value)
            else:
                self.state[name].copy_(value)
        torch._foreach_lerp_(*floating, share)
