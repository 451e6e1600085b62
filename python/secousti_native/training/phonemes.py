"""Phoneme encoder: the other side of the contrastive loss, thrown away after training."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def expand(phones: Tensor, segment: Tensor) -> Tensor:
    """Phone vectors ``[B, Q, D]`` repeated by their durations: frame t gets row ``segment[b, t]`` of ``[B, T]``.

    Frames of segment -1 get row 0; mask them.
    """
    return phones.gather(1, segment.clamp_min(0).unsqueeze(-1).expand(-1, -1, phones.shape[-1]))


class PhonemeEncoder(nn.Module):
    """Phone ids ``[B, Q]`` (-1 on padding) to vectors ``[B, Q, dimension]`` that know their neighbours.

    Bidirectional: it is used in training only. ``scale`` is the learnt factor of the contrastive logits.
    """

    log_scale: Tensor

    def __init__(self, symbols: int, dimension: int, layers: int = 2, width: int = 192, heads: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols + 1, width, padding_idx=0)
        self.neighbours = nn.Conv1d(width, width, 5, padding=2)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.out = nn.Linear(width, dimension)
        self.log_scale = nn.Parameter(torch.tensor(2.7))

    def forward(self, phones: Tensor) -> Tensor:
        x = self.embedding(phones + 1)
        x = x + self.neighbours(x.transpose(1, 2)).transpose(1, 2)
        padding = phones < 0
        padding = padding & ~padding.all(1, keepdim=True)  # a row of nothing but padding would give NaN
        y: Tensor = self.out(self.transformer(x, src_key_padding_mask=padding))
        return y

    def scale(self) -> Tensor:
        return self.log_scale.clamp(max=4.6).exp()
