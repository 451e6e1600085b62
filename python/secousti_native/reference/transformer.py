"""Causal transformer with a bounded window and rotary positions (specification section 3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import CodecConfig


def rotary_factors(positions: Tensor, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines, float32 ``[*positions.shape, head_dim / 2]``, of angles computed in float64.

    Integer ``positions`` count frames since the start of the stream; float64 keeps the angle exact to 1e-6 rad
    at position 2^31, where a float32 product would be off by hundreds of radians.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float64, device=positions.device) / head_dim
    angles = positions.double().unsqueeze(-1) * base**-exponents
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, factors: tuple[Tensor, Tensor]) -> Tensor:
    """Rotates the interleaved pairs (2i, 2i + 1) of ``x [..., T, head_dim]``; the result has the dtype of ``x``."""
    cos, sin = factors
    even, odd = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention of ``q [B, H, Tq, head_dim]`` to ``k, v [B, H, Tk, head_dim]`` where ``mask`` (bool) is true."""
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        # Three plain bf16 operations run 2.7 times faster than the fused CPU kernel, forward and backward together.
        bias = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, -torch.inf)
        scores: Tensor = (q * q.shape[-1] ** -0.5) @ k.mT + bias
        return scores.softmax(-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def windowed_attention(q: Tensor, k: Tensor, v: Tensor, context: int) -> Tensor:
    """Attention ``[B, H, T, head_dim]`` in which query t sees the keys t - context + 1 to t.

    Queries go in blocks of about ``context``, so that memory and time grow with T x context, not T x T.
    """
    length = q.shape[-2]
    step = max(1, math.ceil(length / max(1, round(length / context))))
    blocks = []
    for start in range(0, length, step):
        stop = min(start + step, length)
        first = max(0, start - context + 1)
        age = torch.arange(start, stop, device=q.device)[:, None] - torch.arange(first, stop, device=q.device)
        mask = (age >= 0) & (age < context)
        blocks.append(attend(q[..., start:stop, :], k[..., first:stop, :], v[..., first:stop, :], mask))
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, -2)


class SelfAttention(nn.Module):
    """Multi-head attention whose input projection stacks q, k and v; no biases."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.heads, self.head_dim = config.dimension // config.head_dim, config.head_dim
        self.context = config.context
        self.in_proj_weight = nn.Parameter(torch.empty(3 * config.dimension, config.dimension))
        self.out_proj = nn.Linear(config.dimension, config.dimension, bias=False)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def project(self, x: Tensor, factors: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries, rotated keys and values, each ``[B, H, T, head_dim]``."""
        qkv = F.linear(x, self.in_proj_weight).view(*x.shape[:2], 3, self.heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return rotate(q, factors), rotate(k, factors), v

    def merge(self, heads: Tensor) -> Tensor:
        """Output projection of ``[B, H, T, head_dim]`` to ``[B, T, dimension]``."""
        out: Tensor = self.out_proj(heads.transpose(1, 2).flatten(-2))
        return out

    def forward(self, x: Tensor, factors: tuple[Tensor, Tensor]) -> Tensor:
        return self.merge(windowed_attention(*self.project(x, factors), self.context))


class LayerScale(nn.Module):
    """One learnt factor per channel, small at first so that a deep stack starts near the identity."""

    def __init__(self, dimension: int, initial: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((dimension,), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class TransformerLayer(nn.Module):
    """Pre-norm attention and feed-forward, each behind a layer scale."""

    def __init__(self, config: CodecConfig, layer_scale: float) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.norm1, self.norm2 = nn.LayerNorm(config.dimension), nn.LayerNorm(config.dimension)
        self.linear1 = nn.Linear(config.dimension, config.feedforward, bias=False)
        self.linear2 = nn.Linear(config.feedforward, config.dimension, bias=False)
        self.layer_scale_1 = LayerScale(config.dimension, layer_scale)
        self.layer_scale_2 = LayerScale(config.dimension, layer_scale)

    def feed_forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layer_scale_2(self.linear2(F.gelu(self.linear1(self.norm2(x)))))
        return out

    def forward(self, x: Tensor, factors: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.layer_scale_1(self.self_attn(self.norm1(x), factors))
        return self.feed_forward(x)


class StreamingTransformer(nn.Module):
    """Frames ``[B, T, dimension]`` to the same shape; frame t depends on frames <= t only. No final norm.

    ``first_position`` is the position of frame 0 in its stream: attention depends on differences of positions only,
    so it changes nothing but rounding.
    """

    def __init__(self, config: CodecConfig, layers: int, layer_scale: float = 0.01) -> None:
        super().__init__()
        self.config = config
        stack = nn.ModuleList(TransformerLayer(config, layer_scale) for _ in range(layers))
        self.transformer = nn.ModuleDict({"layers": stack})

    @property
    def layers(self) -> list[TransformerLayer]:
        stack = self.transformer["layers"]
        assert isinstance(stack, nn.ModuleList)
        return [layer for layer in stack if isinstance(layer, TransformerLayer)]

    def forward(self, x: Tensor, first_position: int = 0) -> Tensor:
        positions = torch.arange(first_position, first_position + x.shape[1], device=x.device)
        factors = rotary_factors(positions, self.config.head_dim, self.config.rope_base)
        for layer in self.layers:
            x = layer(x, factors)
        return x


class SemanticTransformer(nn.Module):
    """A transformer under the name that published checkpoints give it inside the semantic connector."""

    def __init__(self, config: CodecConfig, layers: int, layer_scale: float = 0.01) -> None:
        super().__init__()
        self.semantic_transformer = StreamingTransformer(config, layers, layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.semantic_transformer(x)
        return out


class VariationalSemanticTransformer(SemanticTransformer):
    """The semantic branch: `forward` gives the mean, `posterior` also the log variance (used in training only)."""

    def __init__(self, config: CodecConfig, layers: int, layer_scale: float = 0.01) -> None:
        super().__init__(config, layers, layer_scale)
        self.dense_mu = nn.Linear(config.dimension, config.dimension)
        self.dense_var = nn.Linear(config.dimension, config.dimension)

    def forward(self, x: Tensor) -> Tensor:
        mu: Tensor = self.dense_mu(super().forward(x))
        return mu

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance ``[B, N, dimension]``."""
        states = super().forward(x)
        return self.dense_mu(states), self.dense_var(states)
