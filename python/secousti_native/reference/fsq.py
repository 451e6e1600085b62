"""Finite scalar quantisation (Mentzer et al. 2023) of eight ternary digits (specification section 4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .config import CodecConfig

BOUND = 0.999  # keeps the outermost level reachable by rounding, yet never past it


class FSQ(nn.Module):
    """Projects to one bounded number per digit, rounds it, and packs the digits into a token.

    With L levels (odd), c = round(0.999 (L - 1) / 2 tanh(y)), halves to even, and the digit is c + (L - 1) / 2; the
    first digit is the least significant. The decoder gets 2 c / (L - 1), which for three levels is c itself.
    """

    radius: Tensor
    place: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        digits = len(config.fsq_levels)
        self.project_in = nn.Linear(config.dimension, digits)
        self.project_out = nn.Linear(digits, config.dimension)
        self.register_buffer(
            "radius", torch.tensor([(level - 1) // 2 for level in config.fsq_levels]), persistent=False
        )
        places = [math.prod(config.fsq_levels[:i]) for i in range(digits)]
        self.register_buffer("place", torch.tensor(places), persistent=False)

    def project(self, mu: Tensor) -> Tensor:
        """Means ``[..., dimension]`` to unbounded digits y ``[..., digits]``, float32 even under autocast.

        Rounding is a threshold: half precision here would flip tokens.
        """
        with torch.autocast(mu.device.type, enabled=False):
            y: Tensor = self.project_in(mu.to(self.project_in.weight.dtype))
        return y

    def bound(self, y: Tensor) -> Tensor:
        """Digits before rounding, within +-0.999 (L - 1) / 2."""
        return BOUND * self.radius * y.tanh()

    def quantise(self, y: Tensor, straight_through: bool = False) -> Tensor:
        """Codes c ``[..., digits]`` as floats. ``straight_through`` gives the gradient of `bound` to them."""
        bounded = self.bound(y)
        codes = bounded.round()
        return bounded + (codes - bounded).detach() if straight_through else codes

    def embed(self, codes: Tensor) -> Tensor:
        """Codes ``[..., digits]`` to decoder inputs z_q ``[..., dimension]``."""
        z: Tensor = self.project_out(codes / self.radius)
        return z

    def pack(self, codes: Tensor) -> Tensor:
        """Codes ``[..., digits]`` to tokens, int64 ``[...]``."""
        return ((codes.round().long() + self.radius) * self.place).sum(-1)

    def unpack(self, tokens: Tensor) -> Tensor:
        """Tokens, any integer dtype ``[...]``, to codes ``[..., digits]`` in the dtype of the weights."""
        digits = tokens.long().unsqueeze(-1) // self.place % (2 * self.radius + 1)
        return (digits - self.radius).to(self.project_out.weight.dtype)

    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens ``[...]`` to decoder inputs z_q ``[..., dimension]``."""
        return self.embed(self.unpack(tokens))
