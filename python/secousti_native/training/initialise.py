"""Fresh weights from which training starts fast.

PyTorch's default shrinks a signal at every convolution: after a dozen of them, without one norm, outputs and gradients
are faint, and even the continuous autoencoder learns slowly. Here each convolution of the main path first passes on the
newest frame through an orthogonal matrix, and residual branches start small.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secousti_native.reference.codec import SecoustiCodec
from secousti_native.reference.seanet import CausalConv1d, CausalConvTranspose1d, ResidualUnit

NOISE = 0.3  # size of the other taps, relative to the default
BRANCH = 0.3  # gain of the last convolution of a residual unit


def _orthogonal(rows: int, columns: int, gain: float = 1.0) -> Tensor:
    """A random matrix whose rows are orthogonal, or its columns if they are fewer, all of length ``gain``."""
    matrix = torch.empty(rows, columns)
    nn.init.orthogonal_(matrix, gain)
    return matrix


@torch.no_grad()
def initialise(codec: SecoustiCodec) -> None:
    """Sets the weights of SEANet encoder and decoder and of the quantiser; draws from torch's global generator."""
    for stack in (codec.encoder.model, codec.decoder.model):
        for module in stack:
            if isinstance(module, CausalConv1d):
                _pass_on(module.layer)
            elif isinstance(module, CausalConvTranspose1d):
                _spread(module.layer, module.stride)
            elif isinstance(module, ResidualUnit):
                for part, gain in ((module.block[1], 1.0), (module.block[3], BRANCH)):
                    assert isinstance(part, CausalConv1d)
                    nn.init.orthogonal_(part.layer.weight, gain)
                    _no_bias(part.layer)
    digits, dimension = codec.fsq.project_in.weight.shape
    codec.fsq.project_in.weight.copy_(_orthogonal(digits, dimension))
    codec.fsq.project_out.weight.copy_(_orthogonal(dimension, digits, (dimension / digits) ** 0.5))
    codec.vae_semantic_transformer.dense_mu.weight.copy_(_orthogonal(dimension, dimension))
    for layer in (codec.fsq.project_in, codec.fsq.project_out, codec.vae_semantic_transformer.dense_mu):
        _no_bias(layer)


def _no_bias(layer: nn.Linear | nn.Conv1d | nn.ConvTranspose1d) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _pass_on(layer: nn.Conv1d) -> None:
    """The newest ``stride`` frames through an orthogonal matrix, the older ones through noise."""
    stride = layer.stride[0]
    layer.weight.mul_(NOISE)
    out, into, _ = layer.weight.shape
    layer.weight[..., -stride:] = _orthogonal(out, into * stride, max(1.0, out / (into * stride)) ** 0.5).view(
        out, into, stride
    )
    _no_bias(layer)


def _spread(layer: nn.ConvTranspose1d, stride: int) -> None:
    """A frame to its own ``stride`` outputs through an orthogonal matrix, to the next ones through noise."""
    layer.weight.mul_(NOISE)
    into, out, _ = layer.weight.shape
    gain = max(1.0, out * stride / into) ** 0.5
    layer.weight[..., :stride] = _orthogonal(into, out * stride, gain).view(into, out, stride)
    _no_bias(layer)
