"""Checkpoints and model files into the reference modules."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .checkpoint import (
    BATCH_NORM_EPSILON,
    FOLDED_PREFIX,
    VOCODER_PREFIX,
    ConversionError,
    Source,
    infer_config,
    infer_vocoder,
    is_native,
    is_training_only,
    load_checkpoint,
)
from .codec import SecoustiCodec
from .config import PARALINGUISTIC_CHANNELS, CodecConfig
from .hift import HiFT


def load_codec(source: Source, config: CodecConfig | None = None) -> SecoustiCodec:
    """The codec of a published checkpoint, a training checkpoint or a converted model, in float32 and eval mode.

    Sizes come from ``config``, else the file, else the tensors' shapes. Tensors that only training needs may be absent:
    they start fresh. The batch norms of a converted model become identities. Raises `ConversionError` that names
    missing tensors; `RuntimeError` (of torch) names misshapen ones.
    """
    state, described = load_checkpoint(source)
    tensors = {name: value.float() for name, value in state.items() if not name.startswith(VOCODER_PREFIX)}
    if is_native(tensors):
        tensors = _unfold(tensors)
    codec = SecoustiCodec(config or described or infer_config(tensors))
    _load(codec, tensors)
    return codec.eval()


def load_vocoder(source: Source, config: CodecConfig | None = None) -> HiFT:
    """The HiFT vocoder of a converted model or a published vocoder checkpoint, in float32 and eval mode."""
    state, described = load_checkpoint(source)
    if is_native(state):
        hift = HiFT(config or described or infer_config(state))
        prefix = VOCODER_PREFIX
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    else:
        config = config or CodecConfig()
        hift = HiFT(config.replace(vocoder=infer_vocoder(state, config.hop_length)), weight_norm=True)
    _load(hift, {name: value.float() for name, value in state.items()})
    return hift.eval()


def _unfold(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gives folded convolutions their published names and a batch norm that does nothing."""
    result = dict(tensors)
    for i, width in enumerate(PARALINGUISTIC_CHANNELS, 1):
        for part in ("weight", "bias"):
            folded = f"{FOLDED_PREFIX}{i}.{part}"
            if folded in result:
                result[f"paralinguistic_encoder.conv2d_{i}.{part}"] = result.pop(folded)
        norm = f"paralinguistic_encoder.batchnorm_{i}"
        result |= {f"{norm}.weight": torch.ones(width), f"{norm}.bias": torch.zeros(width)}
        result |= {f"{norm}.running_mean": torch.zeros(width)}
        result |= {f"{norm}.running_var": torch.full((width,), 1.0 - BATCH_NORM_EPSILON)}
    return result


def _load(module: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    missing = module.load_state_dict(tensors, strict=False).missing_keys
    needed = [name for name in missing if not is_training_only(name)]
    if needed:
        raise ConversionError(f"missing tensor(s): {', '.join(needed)}")
