"""Optimisers, learning-rate schedules and the running average of the weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from secousti_native.reference.config import ConfigError
from secousti_native.training.config import OptimiserConfig
from secousti_native.training.processor import fast_bfloat16


def rate_factor(step: int, steps: int, config: OptimiserConfig, spent: float = 0.0) -> float:
    """Factor of the learning rates at ``step`` of ``steps``, or when the share ``spent`` of a run's time is further."""
    rise = min(1.0, (step + 1) / max(1, config.warmup))
    progress = min(1.0, max(step / steps, spent))
    if config.schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * progress))
    left = steps * (1 - progress)
    return rise * min(1.0, max(0.0, left / max(1, config.decay)))


class Muon(torch.optim.Optimizer):
    """torch.optim.Muon with ``adjust_lr_fn="original"``, for all matrices of one shape at once.

    A small model has dozens of equal matrices; one by one they cost a GPU over a thousand tiny kernels a step.
    """

    MOMENTUM, STEPS, COEFFICIENTS, EPSILON = 0.95, 5, (3.4445, -4.7750, 2.0315), 1e-7

    def __init__(self, matrices: list[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for shape, matrices in alike.items():
                gradients = [m.grad for m in matrices if m.grad is not None]
                for m in matrices:
                    if not self.state[m]:
                        self.state[m]["momentum_buffer"] = torch.zeros_like(m)
                momenta = [self.state[m]["momentum_buffer"] for m in matrices]
                torch._foreach_lerp_(momenta, gradients, 1 - self.MOMENTUM)
                update = torch.stack(torch._foreach_lerp(gradients, momenta, self.MOMENTUM))
                rate = group["lr"] * math.sqrt(max(1.0, shape[0] / shape[1]))
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(
                    matrices, list(self._orthogonal(update).to(matrices[0].dtype).unbind()), alpha=-rate
                )

    def _orthogonal(self, x: Tensor) -> Tensor:
        """About U V^T of each matrix ``[N, rows, columns]`` = U S V^T, by a quintic Newton-Schulz iteration."""
        a, b, c = self.COEFFICIENTS
        x = x.bfloat16() if fast_bfloat16(x.device) else x.float()
        tall = x.shape[-2] > x.shape[-1]
        x = x.mT if tall else x
        x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(self.EPSILON)
        for _ in range(self.STEPS):
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        return x.mT if tall else x


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
            rate = config.muon_rate
            muon = Muon(matrices, rate, config.weight_decay)
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
