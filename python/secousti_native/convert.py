"""Published and trained checkpoints to the one safetensors file that the native engine loads.

Everything that inference can have done once is done here, in double precision: batch norm and 3x3 kernels of width 1
become plain 1-D convolutions, weight norm becomes plain weights, and training-only tensors go. Needs torch.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ._files import write_atomically
from .errors import MissingDependencyError

try:
    import safetensors  # noqa: F401 (to say now what is missing)
    import torch
except ImportError:
    install = 'converting a checkpoint needs PyTorch and safetensors: pip install "secousti-native[torch]"'
    raise MissingDependencyError(install) from None

from torch import Tensor

from .reference.checkpoint import (
    BATCH_NORM_EPSILON,
    DIRECTION_SUFFIX,
    FOLDED_PREFIX,
    SCALE_SUFFIX,
    TRANSFORMERS,
    VOCODER_PREFIX,
    ConversionError,
    Source,
    State,
    infer_config,
    infer_vocoder,
    is_native,
    is_training_only,
    load_checkpoint,
)
from .reference.codec import SecoustiCodec
from .reference.config import PRECISIONS, CodecConfig, VocoderConfig
from .reference.hift import HiFT

__all__ = ["ConversionError", "ConversionReport", "convert_checkpoint", "convert_to_bytes", "module_state"]

Shapes: TypeAlias = dict[str, tuple[int, ...]]

FORMAT, FORMAT_VERSION = "secousti", "1"
#: The vocoder without weights.
SPECTRAL = "spectral"
_SAFETENSORS = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int8: "I8"}
_ORDER = list(_SAFETENSORS)  # of the format: wide ones first, so that all are aligned
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_GAIN_SUFFIX = ".parametrizations.weight.original0"
_KERNEL = re.compile(r"paralinguistic_encoder\.conv2d_(\d+)\.weight")
_MATRICES = ("self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.weight")


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion did: ``path`` written, its ``config``, the number of ``parameters`` and of ``bytes``.

    ``dropped`` names the tensors that no part of the codec knows, ``training_only`` those that inference does not need.
    """

    path: Path
    config: CodecConfig
    parameters: int
    bytes: int
    dropped: tuple[str, ...]
    training_only: tuple[str, ...]


def convert_checkpoint(
    source: Source,
    out: str | os.PathLike[str],
    vocoder: Source | None = None,
    *,
    dtype: str = "float32",
    precision: str = "fp32",
    token_precision: str | None = None,
    default_precision: str | None = None,
    config: CodecConfig | None = None,
    name: str | None = None,
) -> ConversionReport:
    """Converts a codec, and optionally a HiFT vocoder, to a model file at ``out``.

    ``source`` is a published ``.pt`` (``{"model": state_dict}`` or a plain state dict; its pickle code is never run), a
    safetensors file with the published names, a model file that is already converted, or a state dict in memory. The
    config comes from ``config``, else the file's metadata, else the tensors' shapes, where a head has 64 channels
    and the context is 250 frames. Without ``vocoder`` the model keeps the vocoder it has, or gets ``spectral``;
    ``"spectral"`` takes another away.
    ``dtype`` is ``float32``, ``float16`` or ``bfloat16``, but folded batch norms stay float32. ``precision`` other than
    ``fp32`` stores the transformers' matrices as the engine keeps them when it opens the file at that precision: such a
    file loads faster, gives the same tokens at that precision, and opens at any other with rounded weights. ``int8`` is
    ``I8`` integers and ``<name>.scale``, a float32 for each output. ``token_precision`` is written to the config: the
    least that the transformer which leads to tokens is ever kept at. So is ``default_precision``, what the model opens
    at when nobody asks for another, which is for who has measured that the quality stays: without it a model file keeps
    its own, unless it gets another vocoder or ``token_precision``, and all else opens at fp32. The file appears whole
    or not at all.

    Raises `ConversionError` for a file that is no checkpoint and for missing, misshapen, or non-finite tensors, all of
    them named at once; `ConfigError` for sizes that make no codec; `OSError` if a file cannot be read or written.
    """
    model = _converted(source, vocoder, dtype, precision, token_precision, default_precision, config, name)
    path = Path(out)
    pieces = model.serialise()
    write_atomically(path, *pieces)
    size = sum(len(piece) for piece in pieces)
    return ConversionReport(path, model.config, model.parameters, size, model.dropped, model.training_only)


def convert_to_bytes(source: Source, vocoder: Source | None = None, *, config: CodecConfig | None = None) -> bytes:
    """The content of the model file that `convert_checkpoint` would write, fp32; the same checks and errors."""
    return b"".join(_converted(source, vocoder, config=config).serialise())


def module_state(module: torch.nn.Module) -> tuple[State, CodecConfig | None]:
    """The tensors of a trained codec or vocoder in the published layout, and a codec's config if it says it.

    ``module`` is a `SecoustiCodec`, whose mel normalisation is folded away; whatever holds one as ``codec``; or any
    module with the published names. Compiled and data-parallel modules are looked into.
    """
    for wrapper in ("_orig_mod", "module", "codec"):  # torch.compile, DistributedDataParallel, the trainer's system
        inner = getattr(module, wrapper, None)
        if isinstance(inner, torch.nn.Module) and not isinstance(module, SecoustiCodec):
            return module_state(inner)
    if isinstance(module, SecoustiCodec):
        codec = module.folded()
        state: State = codec.state_dict()
        return state, codec.config
    return module.state_dict(), None


@dataclass(frozen=True)
class _Converted:
    """What a model file holds."""

    tensors: dict[str, Tensor]
    config: CodecConfig
    parameters: int
    dropped: tuple[str, ...]
    training_only: tuple[str, ...]

    def serialise(self) -> list[bytes | memoryview]:
        metadata = {"format": FORMAT, "format_version": FORMAT_VERSION, "config": json.dumps(self.config.to_dict())}
        return _serialise(self.tensors, metadata)


def _converted(
    source: Source,
    vocoder: Source | None,
    dtype: str = "float32",
    precision: str = "fp32",
    token_precision: str | None = None,
    default_precision: str | None = None,
    config: CodecConfig | None = None,
    name: str | None = None,
) -> _Converted:
    if dtype not in DTYPES:
        raise ConversionError(f"dtype: {dtype!r} is not one of {', '.join(DTYPES)}")
    if precision not in PRECISIONS:
        raise ConversionError(f"precision: {precision!r} is not one of {', '.join(PRECISIONS)}")
    state, described = load_checkpoint(source)
    config = config or described or infer_config(state)
    if name is not None or config.name == CodecConfig.name:
        config = config.replace(name=name or f"secousticodec-{int(config.frame_rate)}")
    spectral = vocoder == SPECTRAL if isinstance(vocoder, str) else False
    revoiced = config.vocoder.kind != SPECTRAL if spectral else vocoder is not None
    if revoiced or token_precision not in (None, config.token_precision):  # another model was measured
        config = config.replace(default_precision=CodecConfig.default_precision)
    if spectral:
        config, vocoder = config.replace(vocoder=VocoderConfig()), None
    if token_precision is not None:
        config = config.replace(token_precision=token_precision)
    if default_precision is not None:
        config = config.replace(default_precision=default_precision)
    label = _label(source)

    native = is_native(state)
    with torch.device("meta"):  # shapes only: no memory, no time
        published = SecoustiCodec(config.replace(vocoder=VocoderConfig())).state_dict()
    expected = _shapes(fold(published) if native else published)
    tensors, dropped, training_only = _select(state, expected, label)
    tensors = dict(tensors) if native else fold(tensors)

    if vocoder is not None:
        hift, _ = load_checkpoint(vocoder)
        config = config.replace(vocoder=infer_vocoder(hift, config.hop_length))
        hift, extra, _ = _select(hift, _shapes(_meta_hift(config)), _label(vocoder))
        tensors |= {VOCODER_PREFIX + key: value for key, value in fold(hift).items()}
        dropped = [key for key in dropped if not key.startswith(VOCODER_PREFIX)] + extra
    elif config.vocoder.kind == "hift":
        shapes = {VOCODER_PREFIX + key: shape for key, shape in _shapes(fold(_meta_hift(config))).items()}
        kept, _, _ = _select(state, shapes, label)
        tensors |= kept
        dropped = [key for key in dropped if key not in kept]

    parameters = sum(value.numel() for value in tensors.values())
    tensors = {key: _cast(key, value, DTYPES[dtype], label) for key, value in sorted(tensors.items())}
    tensors = reduce_precision(tensors, config, precision)
    return _Converted(tensors, config, parameters, tuple(sorted(dropped)), tuple(sorted(training_only)))


def _label(source: Source) -> str:
    return "state dict" if isinstance(source, Mapping) else os.fspath(source)


def _meta_hift(config: CodecConfig) -> State:
    with torch.device("meta"):
        state: dict[str, Tensor] = HiFT(config, weight_norm=True).state_dict()
    return state


def _shapes(state: State) -> Shapes:
    return {key: tuple(value.shape) for key, value in state.items()}


# Checking.


def _fault(name: str, value: Tensor, expected: tuple[int, ...]) -> str | None:
    """What is wrong with a tensor, if anything."""
    shape = tuple(value.shape)
    if shape != expected and not (_KERNEL.fullmatch(name) and shape == (*expected, 3)):
        return f"shape {list(shape)}, expected {list(expected)}"
    if not value.is_floating_point():
        return f"{str(value.dtype).removeprefix('torch.')}, expected floating point"
    if not bool(torch.isfinite(value).all()):
        return "holds NaN or infinity"
    return None


def _select(state: State, expected: Shapes, label: str) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """The ``expected`` tensors, the names of unknown ones, and of those that only training needs.

    Raises `ConversionError` that lists every missing and every unfit tensor.
    """
    wanted = {name: shape for name, shape in expected.items() if not is_training_only(name)}
    missing = [name for name in wanted if name not in state]
    faults = [(name, _fault(name, state[name], shape)) for name, shape in wanted.items() if name in state]
    unfit = [f"{name}: {fault}" for name, fault in faults if fault is not None]
    if missing or unfit:
        parts = [f"{len(missing)} missing tensor(s)", *missing] if missing else []
        parts += [f"{len(unfit)} unfit tensor(s)", *unfit] if unfit else []
        raise ConversionError("\n  ".join([f"{label}: cannot be converted", *parts]))
    training_only = [name for name in state if is_training_only(name)]
    dropped = [name for name in state if name not in wanted and not is_training_only(name)]
    return {name: state[name].detach().cpu() for name in wanted}, dropped, training_only


# Folding.


def fold(state: State) -> dict[str, Tensor]:
    """Tensors of a published codec or HiFT vocoder to those of inference, with the names of the native model file.

    Folded tensors are float64; the others pass as they are.
    """
    folded = {key: value for key, value in state.items() if not is_training_only(key)}
    for key in list(folded):
        if key.endswith(_GAIN_SUFFIX):
            stem = key.removesuffix(_GAIN_SUFFIX)
            gain, direction = folded.pop(key).double(), folded.pop(stem + DIRECTION_SUFFIX).double()
            norm = direction.flatten(1).norm(dim=1).view_as(gain)
            folded[stem + ".weight"] = gain * direction / norm
        elif match := _KERNEL.fullmatch(key):
            number = match[1]
            conv, norm_name = f"paralinguistic_encoder.conv2d_{number}", f"paralinguistic_encoder.batchnorm_{number}"
            kernel, bias = folded.pop(key).double(), folded.pop(f"{conv}.bias").double()
            gain, shift, mean, variance = (
                folded.pop(f"{norm_name}.{part}").double() for part in ("weight", "bias", "running_mean", "running_var")
            )
            kernel = kernel[..., 1] if kernel.dim() == 4 else kernel  # the image is one pixel wide
            scale = gain / (variance + BATCH_NORM_EPSILON).sqrt()
            folded[f"{FOLDED_PREFIX}{number}.weight"] = kernel * scale[:, None, None]
            folded[f"{FOLDED_PREFIX}{number}.bias"] = (bias - mean) * scale + shift
    return folded


# Precision.


def is_matrix(name: str) -> bool:
    """Whether a tensor is a matrix of a transformer: what the engine keeps at reduced precision."""
    return any(name.startswith(prefix) for prefix in TRANSFORMERS.values()) and name.endswith(_MATRICES)


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Integers -127..127 and float32 scales of each row, as the engine rounds: q = round(w * 127 / max|w|).

    ``weight`` is ``[outputs, inputs]``; rows whose largest value is at most 1e-30 count as zero.
    """
    values = weight.float()
    top = values.abs().amax(dim=1)
    live = top > 1e-30
    limit = torch.full_like(top, 127.0)
    inverse = torch.where(live, limit / top, torch.zeros_like(top))
    integers = (values * inverse[:, None]).clamp(-127.0, 127.0).round().to(torch.int8)
    return integers, torch.where(live, top / limit, torch.zeros_like(top))


def reduce_precision(tensors: dict[str, Tensor], config: CodecConfig, precision: str) -> dict[str, Tensor]:
    """The tensors of a model file with the transformers' matrices stored at ``precision``."""
    reduced: dict[str, Tensor] = {}
    for name, value in tensors.items():
        semantic = name.startswith(TRANSFORMERS["semantic"])
        own = (config.semantic_precision(precision) if semantic else precision) if is_matrix(name) else "fp32"
        if own == "int8":
            reduced[name], reduced[name + SCALE_SUFFIX] = quantise(value)
        else:
            reduced[name] = value.bfloat16() if own == "bf16" else value
    return dict(sorted(reduced.items()))


def _cast(name: str, value: Tensor, dtype: torch.dtype, label: str) -> Tensor:
    if name.startswith(FOLDED_PREFIX):  # rounding products again costs accuracy and saves 1 % of space
        dtype = torch.float32
    cast = value.to(dtype).contiguous()
    if not bool(torch.isfinite(cast).all()):
        kind = str(dtype).removeprefix("torch.")
        raise ConversionError(f"{label}: {name} is not finite as {kind}")
    return cast


# Writing.


def _serialise(tensors: dict[str, Tensor], metadata: dict[str, str]) -> list[bytes | memoryview]:
    """A safetensors file in pieces, the tensors' own memory: ordered by size of dtype and name, metadata sorted.

    So a file depends on its content only; the safetensors package shuffles metadata and copies everything twice.
    """
    ordered = sorted(tensors.items(), key=lambda item: (_ORDER.index(item[1].dtype), item[0]))
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    pieces: list[bytes | memoryview] = []
    offset = 0
    for name, value in ordered:
        size = value.numel() * value.element_size()
        header[name] = {
            "dtype": _SAFETENSORS[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
        if size:
            pieces.append(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # keeps the tensors aligned
    return [len(text).to_bytes(8, "little") + text, *pieces]
