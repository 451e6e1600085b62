"""Causal SEANet encoder and decoder between log-mel frames and token frames (specification sections 2 and 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import CodecConfig


class CausalConv1d(nn.Module):
    """Convolution over ``[B, C, T]`` that sees no frame ahead; T a whole number of strides gives T / stride frames."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.ModuleDict({"conv": nn.Conv1d(in_channels, out_channels, kernel, stride)})
        self.stride = stride
        self.left = kernel - stride

    @property
    def layer(self) -> nn.Conv1d:
        layer = self.conv["conv"]
        assert isinstance(layer, nn.Conv1d)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        right = -x.shape[-1] % self.stride  # fills up the last window
        layer: Tensor = self.layer(F.pad(x, (self.left, right)))
        return layer


class CausalConvTranspose1d(nn.Module):
    """Transposed convolution of kernel 2r and stride r over ``[B, C, T]`` giving r T frames."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.convtr = nn.ModuleDict({"convtr": nn.ConvTranspose1d(in_channels, out_channels, 2 * stride, stride)})
        self.stride = stride

    @property
    def layer(self) -> nn.ConvTranspose1d:
        layer = self.convtr["convtr"]
        assert isinstance(layer, nn.ConvTranspose1d)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y[..., : -self.stride]  # the tail belongs to frames that have not come yet


class ResidualUnit(nn.Module):
    """x + conv1x1(ELU(conv3(ELU(x)))), hidden width half of ``channels``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.block = nn.Sequential(nn.ELU(), CausalConv1d(channels, half, 3), nn.ELU(), CausalConv1d(half, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.block(x)
        return x + residual


class MelNormalisation(nn.Module):
    """Per-band mean and deviation of the log-mel, used in training; a model is exported with both folded away.

    Kept out of the state dict: published checkpoints have no such tensors.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_mels), persistent=False)
        self.register_buffer("deviation", torch.ones(n_mels), persistent=False)

    def normalise(self, mel: Tensor) -> Tensor:
        """Log-mel ``[..., n_mels]`` to zero mean and unit deviation per band."""
        return (mel - self.mean) / self.deviation

    def restore(self, mel: Tensor) -> Tensor:
        return mel * self.deviation + self.mean

    def pad(self, mel: Tensor, left: int, right: int) -> Tensor:
        """``mel [B, T, n_mels]`` padded with zeros, *then* normalised: ``[B, n_mels, left + T + right]``.

        This order is what makes folding exact: the exported convolution pads the raw log-mel with zeros.
        """
        return self.normalise(F.pad(mel, (0, 0, left, right))).transpose(1, 2)

    @torch.no_grad()
    def fold_into_input(self, conv: nn.Conv1d) -> None:
        """Makes ``conv`` take the raw log-mel."""
        assert conv.bias is not None
        weight = conv.weight.double() / self.deviation.double()[:, None]
        conv.bias.copy_(conv.bias.double() - torch.einsum("oik,i->o", weight, self.mean.double()))
        conv.weight.copy_(weight)

    @torch.no_grad()
    def fold_into_output(self, conv: nn.Conv1d) -> None:
        """Makes ``conv`` give the raw log-mel."""
        assert conv.bias is not None
        deviation = self.deviation.double()
        conv.bias.copy_(conv.bias.double() * deviation + self.mean.double())
        conv.weight.copy_(conv.weight.double() * deviation[:, None, None])

    @torch.no_grad()
    def unfold_from_input(self, conv: nn.Conv1d) -> None:
        """Undoes `fold_into_input`."""
        assert conv.bias is not None
        weight = conv.weight.double()
        conv.bias.copy_(conv.bias.double() + torch.einsum("oik,i->o", weight, self.mean.double()))
        conv.weight.copy_(weight * self.deviation.double()[:, None])

    @torch.no_grad()
    def unfold_from_output(self, conv: nn.Conv1d) -> None:
        """Undoes `fold_into_output`."""
        assert conv.bias is not None
        deviation = self.deviation.double()
        conv.bias.copy_((conv.bias.double() - self.mean.double()) / deviation)
        conv.weight.copy_(conv.weight.double() / deviation[:, None, None])


class SEANetEncoder(nn.Module):
    """Log-mel ``[B, T, n_mels]`` to ``[B, ceil(T / (r1 r2)), dimension]``."""

    def __init__(self, config: CodecConfig, normalisation: MelNormalisation | None = None) -> None:
        super().__init__()
        n, (r1, r2) = config.n_filters, config.ratios
        self.model = nn.Sequential(
            CausalConv1d(config.n_mels, n, 7),
            ResidualUnit(n),
            nn.ELU(),
            CausalConv1d(n, 2 * n, 2 * r2, r2),
            ResidualUnit(2 * n),
            nn.ELU(),
            CausalConv1d(2 * n, 4 * n, 2 * r1, r1),
            nn.ELU(),
            CausalConv1d(4 * n, config.dimension, 3),
        )
        self.normalisation = normalisation or MelNormalisation(config.n_mels)

    @property
    def first(self) -> CausalConv1d:
        first = self.model[0]
        assert isinstance(first, CausalConv1d)
        return first

    def forward(self, mel: Tensor) -> Tensor:
        x: Tensor = self.first.layer(self.normalisation.pad(mel, self.first.left, 0))
        for module in list(self.model)[1:]:
            x = module(x)
        return x.transpose(1, 2)


class SEANetDecoder(nn.Module):
    """Decoder states ``[B, N, dimension]`` to log-mel ``[B, N r1 r2, n_mels]``."""

    def __init__(self, config: CodecConfig, normalisation: MelNormalisation | None = None) -> None:
        super().__init__()
        n, (r1, r2) = config.n_filters, config.ratios
        self.model = nn.Sequential(
            CausalConv1d(config.dimension, 4 * n, 7),
            nn.ELU(),
            CausalConvTranspose1d(4 * n, 2 * n, r1),
            ResidualUnit(2 * n),
            nn.ELU(),
            CausalConvTranspose1d(2 * n, n, r2),
            ResidualUnit(n),
            nn.ELU(),
            CausalConv1d(n, config.n_mels, 3),
        )
        self.normalisation = normalisation or MelNormalisation(config.n_mels)

    @property
    def last(self) -> CausalConv1d:
        last = self.model[-1]
        assert isinstance(last, CausalConv1d)
        return last

    def forward(self, states: Tensor) -> Tensor:
        x: Tensor = self.model(states.transpose(1, 2))
        return self.normalisation.restore(x.transpose(1, 2))
