"""Checkpoints as they come: tensors by name, and a model's sizes from their shapes.

Published and training checkpoints, safetensors files with the published names, and model files that are already
converted. Needs torch and safetensors.
"""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import safetensors
import torch
from torch import Tensor

from ..errors import ModelFormatError
from .codec import SecoustiCodec
from .config import CodecConfig, LayerCounts, VocoderConfig

State: TypeAlias = Mapping[str, Tensor]
Source: TypeAlias = str | os.PathLike[str] | State

#: Beginning of the names of a vocoder's tensors in a model file.
VOCODER_PREFIX = "vocoder."
#: Beginning of the names of convolutions that a batch norm was folded into.
FOLDED_PREFIX = "paralinguistic_encoder.conv_"
#: Added to a batch norm's variance, as in the published model.
BATCH_NORM_EPSILON = 1e-5
#: Ending of the name of an int8 matrix's scales.
SCALE_SUFFIX = ".scale"
#: Ending of the name of a direction under weight norm.
DIRECTION_SUFFIX = ".parametrizations.weight.original1"
#: Beginning of the names of each transformer's layers.
TRANSFORMERS = {
    "acoustic": "encoder_transformer.transformer.layers.",
    "semantic": "vae_semantic_transformer.semantic_transformer.transformer.layers.",
    "connector": "semantic_connector.semantic_transformer.transformer.layers.",
    "decoder": "decoder_transformer.transformer.layers.",
}
#: Keys of the trainer's own checkpoints.
_TRAINING = {"codec", "average", "normalisation"}


class ConversionError(ModelFormatError):
    """A checkpoint that cannot be converted; the message names the file and every tensor at fault."""


def load_checkpoint(source: Source) -> tuple[State, CodecConfig | None]:
    """The tensors of a checkpoint as they are, and its config if it carries one.

    ``source`` is a published ``.pt`` (``{"model": state_dict}`` or a plain state dict; its pickle code is never run), a
    safetensors file with the published names, a model file that is already converted, one of the trainer's own
    checkpoints (its averaged weights, with all folded away that is not in the published layout), or a state dict in
    memory. Raises `ConversionError` for a file that is no checkpoint, `OSError` for one that cannot be read.
    """
    if isinstance(source, Mapping):
        return _state_dict(source, "state dict"), None
    path = Path(source)
    with path.open("rb") as file:
        head = file.read(9)
    if head[8:] == b"{" and head[:2] != b"PK":  # safetensors: a length, then a JSON header
        return _load_safetensors(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConversionError(f"{path}: not a checkpoint of plain tensors, its code was not run ({reason})") from None
    except OSError:
        raise
    except Exception as error:  # a damaged file makes the unpickler fail in any way
        raise ConversionError(f"{path}: not a readable checkpoint ({error})") from None
    if isinstance(content, Mapping) and content.keys() >= _TRAINING:
        try:
            codec = codec_from_checkpoint(content).folded()
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ConversionError(f"{path}: a damaged checkpoint of a training run ({error})") from None
        return codec.state_dict(), codec.config.replace(default_precision=CodecConfig.default_precision)
    return _state_dict(content, str(path)), None


def codec_from_checkpoint(checkpoint: Mapping[str, Any]) -> SecoustiCodec:
    """The averaged weights of one of the trainer's own checkpoints, its mel normalisation set."""
    codec = SecoustiCodec(CodecConfig.from_dict(checkpoint["codec"]))
    prefix = "codec."
    codec.load_state_dict({k[len(prefix) :]: v for k, v in checkpoint["average"].items() if k.startswith(prefix)})
    codec.set_mel_normalisation(*checkpoint["normalisation"])
    return codec


def _load_safetensors(path: Path) -> tuple[State, CodecConfig | None]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except safetensors.SafetensorError as error:
        raise ConversionError(f"{path}: not a readable safetensors file ({error})") from None
    return _dequantised(state), CodecConfig.from_json(metadata["config"]) if "config" in metadata else None


def _state_dict(content: object, label: str) -> State:
    """Unwraps ``{"model": state_dict}``; raises `ConversionError` unless names map to tensors."""
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not content:
        raise ConversionError(f"{label}: holds no state dict")
    odd = [str(key) for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if odd:
        raise ConversionError(f"{label}: not a state dict, no tensors: {', '.join(odd)}")
    return content


# Sizes from shapes.


def _vote(state: State, places: Iterable[tuple[str, int]], default: int) -> int:
    """The size that most of the tensors ``(name, axis)`` have: one misshapen tensor must not decide for the others."""
    sizes = Counter(state[name].shape[axis] for name, axis in places if name in state and state[name].dim() > axis)
    return sizes.most_common(1)[0][0] if sizes else default


def _count(state: State, prefix: str) -> int:
    """One more than the largest number that follows ``prefix`` in a tensor's name.

    Numbers as large as the count of tensors are nonsense, which would build a model of that many layers.
    """
    numbers = (key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix))
    sane = (int(number) for number in numbers if number.isascii() and number.isdecimal() and len(number) < 7)
    return max((number + 1 for number in sane if number < len(state)), default=0)


def infer_config(state: State) -> CodecConfig:
    """The config of a codec with published tensor names, from shapes alone; 21.5 and 86 Hz differ in kernel sizes."""
    counts = {branch: _count(state, prefix) for branch, prefix in TRANSFORMERS.items()}
    layers = [f"{prefix}{i}." for branch, prefix in TRANSFORMERS.items() for i in range(counts[branch])]
    least = {branch: count if branch == "acoustic" else max(count, 1) for branch, count in counts.items()}
    filters = [("encoder.model.0.conv.conv.weight", 0), ("encoder.model.1.block.3.conv.conv.weight", 0)]
    filters += [("encoder.model.4.block.1.conv.conv.weight", 0), ("decoder.model.8.conv.conv.weight", 1)]
    mels = [("encoder.model.0.conv.conv.weight", 1), ("decoder.model.8.conv.conv.weight", 0)]
    outer = [("encoder.model.3.conv.conv.weight", 2), ("decoder.model.5.convtr.convtr.weight", 2)]
    inner = [("encoder.model.6.conv.conv.weight", 2), ("decoder.model.2.convtr.convtr.weight", 2)]
    digits = [("fsq.project_in.weight", 0), ("fsq.project_out.weight", 1), ("fsq.project_in.bias", 0)]
    return CodecConfig(
        n_mels=_vote(state, mels, CodecConfig.n_mels),
        ratios=(max(1, _vote(state, inner, 2) // 2), max(1, _vote(state, outer, 2) // 2)),
        n_filters=_vote(state, filters, CodecConfig.n_filters),
        dimension=_vote(state, [(layer + "norm1.weight", 0) for layer in layers], CodecConfig.dimension),
        feedforward=_vote(state, [(layer + "linear1.weight", 0) for layer in layers], CodecConfig.feedforward),
        layers=LayerCounts(**least),
        fsq_levels=(3,) * _vote(state, digits, 8),
    )


def infer_vocoder(state: State, hop_length: int) -> VocoderConfig:
    """The config of a HiFT checkpoint from shapes alone; upsampling kernels are twice their rate, dilations odd."""
    default = VocoderConfig(kind="hift")
    stages = _count(state, "ups.") or len(default.upsample_rates)
    kernels = tuple(_vote(state, [(f"ups.{i}{DIRECTION_SUFFIX}", 2)], 16) for i in range(stages))
    rates = tuple(max(1, kernel // 2) for kernel in kernels)
    per_stage = max(1, _count(state, "resblocks.") // stages)
    f0_layers = (_count(state, "f0_predictor.condnet.") + 1) // 2  # activations stand between them
    f0 = [f"f0_predictor.condnet.{2 * i}{DIRECTION_SUFFIX}" for i in range(f0_layers)]
    total = 1
    for rate in rates:
        total *= rate

    def size(name: str, axis: int, fallback: int) -> int:
        return _vote(state, [(name, axis)], fallback)

    def block_kernels(name: str, count: int, fallback: Sequence[int]) -> tuple[int, ...]:
        filled = [*fallback, *[3] * count]
        return tuple(size(f"{name}.{i}.convs1.0{DIRECTION_SUFFIX}", 2, filled[i]) for i in range(count))

    return replace(
        default,
        channels=size(f"conv_pre{DIRECTION_SUFFIX}", 0, default.channels),
        upsample_rates=rates,
        upsample_kernels=kernels,
        istft_n_fft=size("conv_post.bias", 0, default.istft_n_fft + 2) - 2,
        istft_hop=max(1, hop_length // total),
        resblock_kernels=block_kernels("resblocks", per_stage, default.resblock_kernels),
        resblock_dilations=tuple(2 * i + 1 for i in range(_count(state, "resblocks.0.convs1.") or 3)),
        source_resblock_kernels=block_kernels("source_resblocks", stages, default.source_resblock_kernels),
        harmonics=size("m_source.l_linear.weight", 1, default.harmonics),
        f0_channels=size("f0_predictor.classifier.weight", 1, default.f0_channels),
        f0_layers=f0_layers or default.f0_layers,
        f0_kernel=_vote(state, [(name, 2) for name in f0], default.f0_kernel),
    )


def is_native(state: State) -> bool:
    """Whether the tensors are those of a converted model, not of a published checkpoint."""
    return any(name.startswith(FOLDED_PREFIX) for name in state)


def is_training_only(name: str) -> bool:
    """Whether inference has no use for a tensor of the published layout."""
    return ".dense_var." in name or name.endswith(".num_batches_tracked")


def _dequantised(state: State) -> State:
    """Matrices of integers with scales back to float32; everything else as it is."""

    def is_quantised(name: str, value: Tensor) -> bool:
        scale = state.get(name + SCALE_SUFFIX)
        return value.dtype == torch.int8 and scale is not None and value.dim() == 2 and scale.shape == value.shape[:1]

    scales = {name + SCALE_SUFFIX for name, value in state.items() if is_quantised(name, value)}
    return {
        name: value.float() * state[name + SCALE_SUFFIX].float()[:, None] if name + SCALE_SUFFIX in scales else value
        for name, value in state.items()
        if name not in scales
    }
