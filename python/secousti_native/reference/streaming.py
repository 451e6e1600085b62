"""The codec one token frame at a time with caches, as PyTorch streaming code does it: the baseline for benchmarks.

State lives in buffers that `reset` clears, every step has the same shapes, and positions are tensors, so that
`torch.compile` traces a step once. Clear, not fast: the native engine is the fast one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .codec import SecoustiCodec
from .seanet import CausalConv1d, CausalConvTranspose1d, MelNormalisation, ResidualUnit
from .transformer import StreamingTransformer, TransformerLayer, rotary_factors


class _ConvStep(nn.Module):
    """A causal convolution that keeps the left context of the next call."""

    cache: Tensor

    def __init__(self, conv: CausalConv1d, batch: int) -> None:
        super().__init__()
        self.conv = conv.layer
        like = self.conv.weight
        self.register_buffer("cache", like.new_zeros(batch, self.conv.in_channels, conv.left), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        window = torch.cat((self.cache, x), -1)
        self.cache.copy_(window[..., window.shape[-1] - self.cache.shape[-1] :])
        out: Tensor = self.conv(window)
        return out


class _ConvTransposeStep(nn.Module):
    """A transposed convolution of kernel 2r and stride r that keeps the overlap with the next frame."""

    overlap: Tensor

    def __init__(self, convtr: CausalConvTranspose1d, batch: int) -> None:
        super().__init__()
        self.conv, self.stride = convtr.layer, convtr.stride
        like = self.conv.weight
        self.register_buffer("overlap", like.new_zeros(batch, self.conv.out_channels, self.stride), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        assert self.conv.bias is not None
        y = F.conv_transpose1d(x, self.conv.weight, stride=self.stride)
        head = y[..., : self.stride] + self.overlap
        self.overlap.copy_(y[..., -self.stride :])
        return torch.cat((head, y[..., self.stride : -self.stride]), -1) + self.conv.bias[:, None]


class _ResidualStep(nn.Module):
    def __init__(self, unit: ResidualUnit, batch: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*(_streaming(module, batch) for module in unit.block))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.block(x)
        return x + residual


def _streaming(module: nn.Module, batch: int) -> nn.Module:
    """The streaming counterpart of one SEANet module."""
    if isinstance(module, CausalConv1d):
        return _ConvStep(module, batch)
    if isinstance(module, CausalConvTranspose1d):
        return _ConvTransposeStep(module, batch)
    return _ResidualStep(module, batch) if isinstance(module, ResidualUnit) else module


class _LayerStep(nn.Module):
    """A transformer layer with a ring of ``context`` keys and values."""

    keys: Tensor
    values: Tensor

    def __init__(self, layer: TransformerLayer, batch: int, context: int) -> None:
        super().__init__()
        self.layer = layer
        attention = layer.self_attn
        ring = attention.in_proj_weight.new_zeros(batch, attention.heads, context, attention.head_dim)
        self.register_buffer("keys", ring, persistent=False)
        self.register_buffer("values", ring.clone(), persistent=False)

    def forward(self, x: Tensor, factors: tuple[Tensor, Tensor], slot: Tensor, mask: Tensor) -> Tensor:
        attention = self.layer.self_attn
        q, k, v = attention.project(self.layer.norm1(x), factors)
        self.keys.index_copy_(2, slot, k)
        self.values.index_copy_(2, slot, v)
        heads = F.scaled_dot_product_attention(q, self.keys, self.values, attn_mask=mask)
        return self.layer.feed_forward(x + self.layer.layer_scale_1(attention.merge(heads)))


class TransformerStep(nn.Module):
    """One frame ``[B, 1, dimension]`` a call; ``position`` is the place of the next frame in the stream."""

    position: Tensor
    slots: Tensor

    def __init__(self, transformer: StreamingTransformer, batch: int) -> None:
        super().__init__()
        self.config = transformer.config
        self.layers = nn.ModuleList(_LayerStep(layer, batch, self.config.context) for layer in transformer.layers)
        device = transformer.layers[0].norm1.weight.device
        self.register_buffer("position", torch.zeros(1, dtype=torch.int64, device=device), persistent=False)
        self.register_buffer("slots", torch.arange(self.config.context, device=device), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        context = self.config.context
        factors = rotary_factors(self.position, self.config.head_dim, self.config.rope_base)
        slot = self.position % context
        age = (slot - self.slots) % context  # how many frames ago a slot was written
        mask = (age <= self.position)[None]  # slots not written yet hold nothing
        for layer in self.layers:
            x = layer(x, factors, slot, mask)
        self.position.add_(1)
        return x


def _clear(module: nn.Module) -> None:
    """Zeroes every piece of stream state below ``module``."""
    for part in module.modules():
        for name in ("cache", "overlap", "keys", "values", "position"):
            state = part._buffers.get(name)
            if state is not None:
                state.zero_()


class EncoderStep(nn.Module):
    """Mel frames ``[B, token_stride, n_mels]`` to one token, int64 ``[B]``, a call.

    Shares the weights of ``codec``, which must be in eval mode; call under `torch.no_grad` or inference mode.
    """

    def __init__(self, codec: SecoustiCodec, batch: int = 1) -> None:
        super().__init__()
        self.normalisation: MelNormalisation = codec.normalisation
        self.seanet = nn.Sequential(*(_streaming(module, batch) for module in codec.encoder.model))
        self.transformer = TransformerStep(codec.vae_semantic_transformer.semantic_transformer, batch)
        self.dense_mu, self.fsq = codec.vae_semantic_transformer.dense_mu, codec.fsq
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Starts a new stream."""
        _clear(self)
        first = self.seanet[0]
        assert isinstance(first, _ConvStep)
        first.cache.copy_(self.normalisation.pad(first.cache.new_zeros(first.cache.shape).transpose(1, 2), 0, 0))

    def forward(self, mel: Tensor) -> Tensor:
        z = self.seanet(self.normalisation.pad(mel, 0, 0)).transpose(1, 2)
        y = self.fsq.project(self.dense_mu(self.transformer(z)))
        return self.fsq.pack(self.fsq.quantise(y)).squeeze(1)


class DecoderStep(nn.Module):
    """One token, an integer ``[B]``, and G ``[B, dimension]`` to mel frames ``[B, token_stride, n_mels]`` a call.

    Shares the weights of ``codec``; call under `torch.no_grad` or inference mode.
    """

    def __init__(self, codec: SecoustiCodec, batch: int = 1) -> None:
        super().__init__()
        self.normalisation: MelNormalisation = codec.normalisation
        self.fsq = codec.fsq
        self.connector = TransformerStep(codec.semantic_connector.semantic_transformer, batch)
        self.transformer = TransformerStep(codec.decoder_transformer, batch)
        self.seanet = nn.Sequential(*(_streaming(module, batch) for module in codec.decoder.model))

    @torch.no_grad()
    def reset(self) -> None:
        """Starts a new stream."""
        _clear(self)

    def forward(self, tokens: Tensor, g: Tensor) -> Tensor:
        frame = (self.fsq.decode(tokens) + g).unsqueeze(1)
        states = self.transformer(self.connector(frame))
        return self.normalisation.restore(self.seanet(states.transpose(1, 2)).transpose(1, 2))
