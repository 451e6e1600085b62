"""Paralinguistic encoder: one vector per utterance for speaker, emotion and recording (specification section 5)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import PARALINGUISTIC_CHANNELS, PARALINGUISTIC_HIDDEN, PARALINGUISTIC_SQUEEZE, CodecConfig
from .seanet import MelNormalisation


class ColumnConv(nn.Conv1d):
    """Conv1d of size 3 that also loads the published 3x3 kernel.

    Published models run a 2-D convolution on an image of width 1 padded to 3, of which the outer columns are zero:
    only the centre column of the kernel meets data.
    """

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        weight = state_dict.get(prefix + "weight")
        if isinstance(weight, Tensor) and weight.dim() == 4 and weight.shape[2:] == (3, 3):
            state_dict[prefix + "weight"] = weight[..., 1]
        super()._load_from_state_dict(state_dict, prefix, *rest)


class SqueezeExcitation(nn.Module):
    """x sigmoid(F2 relu(F1 mean_T x)) + x."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        first, second = nn.Linear(channels, squeeze, bias=False), nn.Linear(squeeze, channels, bias=False)
        self.fc = nn.Sequential(first, nn.ReLU(), second, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.fc(x.mean(-1))
        return x * gate.unsqueeze(-1) + x


class ParalinguisticEncoder(nn.Module):
    """Prompt log-mel ``[B, P, n_mels]`` to G ``[B, dimension]``; P is at most ``config.prompt_frames`` as published."""

    def __init__(self, config: CodecConfig, normalisation: MelNormalisation | None = None) -> None:
        super().__init__()
        channels = config.n_mels
        for i, width in enumerate(PARALINGUISTIC_CHANNELS, 1):
            self.add_module(f"conv2d_{i}", ColumnConv(channels, width, 3, padding=1))
            self.add_module(f"batchnorm_{i}", nn.BatchNorm1d(width))
            channels = width
        self.senet = SqueezeExcitation(channels, PARALINGUISTIC_SQUEEZE)
        self.gru = nn.GRU(channels, PARALINGUISTIC_HIDDEN, batch_first=True)
        self.dense_mu = nn.Linear(PARALINGUISTIC_HIDDEN, config.dimension)
        self.dense_var = nn.Linear(PARALINGUISTIC_HIDDEN, config.dimension)
        self.normalisation = normalisation or MelNormalisation(config.n_mels)

    @property
    def first(self) -> nn.Conv1d:
        first = self.get_submodule("conv2d_1")
        assert isinstance(first, nn.Conv1d)
        return first

    def hidden(self, mel: Tensor) -> Tensor:
        """Last hidden state ``[B, 64]``."""
        x = F.conv1d(self.normalisation.pad(mel, 1, 1), self.first.weight, self.first.bias)
        for i in range(1, len(PARALINGUISTIC_CHANNELS) + 1):
            x = x if i == 1 else self.get_submodule(f"conv2d_{i}")(x)
            x = self.get_submodule(f"batchnorm_{i}")(x).relu()
        x = self.senet(x).transpose(1, 2)
        with torch.autocast(x.device.type, enabled=False):  # hundreds of recurrent steps: rounding would add up
            _, state = self.gru(x.to(self.gru.weight_hh_l0.dtype))
        last: Tensor = state[-1]
        return last

    @torch.no_grad()
    def restart_batch_norms(self, mel: Tensor) -> None:
        """Gives batch norms that do nothing (folded away in a model file) the statistics of ``mel [B, P, n_mels]``.

        The function stays as it is, and training mode, which normalises by the batch, keeps close to it.
        """
        x = F.conv1d(self.normalisation.pad(mel, 1, 1), self.first.weight, self.first.bias)
        for i in range(1, len(PARALINGUISTIC_CHANNELS) + 1):
            x = x if i == 1 else self.get_submodule(f"conv2d_{i}")(x)
            norm = self.get_submodule(f"batchnorm_{i}")
            assert isinstance(norm, nn.BatchNorm1d) and norm.running_mean is not None and norm.running_var is not None
            mean, variance = x.mean((0, 2)), x.var((0, 2), correction=0)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.copy_(mean)
            x = x.relu()

    def forward(self, mel: Tensor) -> Tensor:
        mu: Tensor = self.dense_mu(self.hidden(mel))
        return mu

    def posterior(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance ``[B, dimension]``, for training."""
        hidden = self.hidden(mel)
        return self.dense_mu(hidden), self.dense_var(hidden)
