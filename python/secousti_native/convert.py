"""Published and trained checkpoints to the one safetensors file that the native engine loads.

Everything that inference can have done once is done here, in double precision: batch norm and 3x3 kernels of width 1
become plain 1-D convolutions, weight norm becomes plain weights, and training-only tensors go. Needs torch.
"""

from __future__ import annotations

import json
import os
import pickle
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from ._files import write_atomically
from .errors import MissingDependencyError, ModelFormatError

try:
    import safetensors
    import safetensors.torch
    import torch
except ImportError:
    install = 'converting a checkpoint needs PyTorch and safetensors: pip install "secousti-native[torch]"'
    raise MissingDependencyError(install) from None

from torch import Tensor

from .reference.codec import SecoustiCodec
from .reference.config import PRECISIONS, CodecConfig, LayerCounts, VocoderConfig
from .reference.hift import HiFT

State: TypeAlias = Mapping[str, Tensor]
Shapes: TypeAlias = dict[str, tuple[int, ...]]

FORMAT, FORMAT_VERSION = "secousti", "1"
VOCODER_PREFIX = "vocoder."
BATCH_NORM_EPSILON = 1e-5
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_GAIN, _DIRECTION = ".parametrizations.weight.original0", ".parametrizations.weight.original1"
_KERNEL = re.compile(r"paralinguistic_encoder\.conv2d_(\d+)\.weight")
_FOLDED = "paralinguistic_encoder.conv_"
_SCALE = ".scale"
_MATRICES = ("self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.weight")
_TRANSFORMERS = {
    "acoustic": "encoder_transformer.transformer.layers.",
    "semantic": "vae_semantic_transformer.semantic_transformer.transformer.layers.",
    "connector": "semantic_connector.semantic_transformer.transformer.layers.",
    "decoder": "decoder_transformer.transformer.layers.",
}


class ConversionError(ModelFormatError):
    """A checkpoint that cannot be converted; the message names the file and every tensor at fault."""


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
    source: str | os.PathLike[str] | State,
    out: str | os.PathLike[str],
    vocoder: str | os.PathLike[str] | State | None = None,
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
    safetensors file with the published names, a model file that is already converted, or a state dict in memory.
    The config comes from ``config``, else the file's metadata, else the tensors' shapes, where a head has 64 channels
    and the context is 250 frames. Without ``vocoder`` the model keeps the vocoder it has, or gets ``spectral``.
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
    if dtype not in DTYPES:
        raise ConversionError(f"dtype: {dtype!r} is not one of {', '.join(DTYPES)}")
    if precision not in PRECISIONS:
        raise ConversionError(f"precision: {precision!r} is not one of {', '.join(PRECISIONS)}")
    state, described = load_checkpoint(source)
    config = config or described or infer_config(state)
    if name is not None or config.name == CodecConfig.name:
        config = config.replace(name=name or f"secousticodec-{int(config.frame_rate)}")
    if vocoder is not None or token_precision not in (None, config.token_precision):  # another model was measured
        config = config.replace(default_precision=CodecConfig.default_precision)
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
        voice, _ = load_checkpoint(vocoder)
        config = config.replace(vocoder=infer_vocoder(voice, config.hop_length))
        voice, extra, _ = _select(voice, _shapes(_meta_hift(config)), _label(vocoder))
        tensors |= {VOCODER_PREFIX + key: value for key, value in fold(voice).items()}
        dropped = [key for key in dropped if not key.startswith(VOCODER_PREFIX)] + extra
    elif config.vocoder.kind == "hift":
        shapes = {VOCODER_PREFIX + key: shape for key, shape in _shapes(fold(_meta_hift(config))).items()}
        kept, _, _ = _select(state, shapes, label)
        tensors |= kept
        dropped = [key for key in dropped if key not in kept]

    parameters = sum(value.numel() for value in tensors.values())
    tensors = {key: _cast(key, value, DTYPES[dtype], label) for key, value in sorted(tensors.items())}
    path = Path(out)
    size = _write(reduce_precision(tensors, config, precision), config, path)
    return ConversionReport(path, config, parameters, size, tuple(sorted(dropped)), tuple(sorted(training_only)))


# Reading.


def _label(source: str | os.PathLike[str] | State) -> str:
    return "state dict" if isinstance(source, Mapping) else os.fspath(source)


def load_checkpoint(source: str | os.PathLike[str] | State) -> tuple[State, CodecConfig | None]:
    """The tensors of a checkpoint as they are, and its config if it carries one; sources as in `convert_checkpoint`.

    Raises `ConversionError` for a file that is no checkpoint, `OSError` for one that cannot be read.
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
    return _state_dict(content, str(path)), None


def _load_safetensors(path: Path) -> tuple[State, CodecConfig | None]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except safetensors.SafetensorError as error:
        raise ConversionError(f"{path}: not a readable safetensors file ({error})") from None
    return _restored(state), CodecConfig.from_json(metadata["config"]) if "config" in metadata else None


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
    counts = {branch: _count(state, prefix) for branch, prefix in _TRANSFORMERS.items()}
    layers = [f"{prefix}{i}." for branch, prefix in _TRANSFORMERS.items() for i in range(counts[branch])]
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
    kernels = tuple(_vote(state, [(f"ups.{i}{_DIRECTION}", 2)], 16) for i in range(stages))
    rates = tuple(max(1, kernel // 2) for kernel in kernels)
    per_stage = max(1, _count(state, "resblocks.") // stages)
    f0 = [f"f0_predictor.condnet.{2 * i}{_DIRECTION}" for i in range((_count(state, "f0_predictor.condnet.") + 1) // 2)]
    total = 1
    for rate in rates:
        total *= rate

    def size(name: str, axis: int, fallback: int) -> int:
        return _vote(state, [(name, axis)], fallback)

    def block_kernels(name: str, count: int, fallback: Sequence[int]) -> tuple[int, ...]:
        filled = [*fallback, *[3] * count]
        return tuple(size(f"{name}.{i}.convs1.0{_DIRECTION}", 2, filled[i]) for i in range(count))

    return replace(
        default,
        channels=size(f"conv_pre{_DIRECTION}", 0, default.channels),
        upsample_rates=rates,
        upsample_kernels=kernels,
        istft_n_fft=size("conv_post.bias", 0, default.istft_n_fft + 2) - 2,
        istft_hop=max(1, hop_length // total),
        resblock_kernels=block_kernels("resblocks", per_stage, default.resblock_kernels),
        resblock_dilations=tuple(2 * i + 1 for i in range(_count(state, "resblocks.0.convs1.") or 3)),
        source_resblock_kernels=block_kernels("source_resblocks", stages, default.source_resblock_kernels),
        harmonics=size("m_source.l_linear.weight", 1, default.harmonics),
        f0_channels=size("f0_predictor.classifier.weight", 1, default.f0_channels),
        f0_layers=len(f0) or default.f0_layers,
        f0_kernel=_vote(state, [(name, 2) for name in f0], default.f0_kernel),
    )


def _meta_hift(config: CodecConfig) -> State:
    with torch.device("meta"):
        state: dict[str, Tensor] = HiFT(config, weight_norm=True).state_dict()
    return state


def _shapes(state: State) -> Shapes:
    return {key: tuple(value.shape) for key, value in state.items()}


# Checking.


def is_native(state: State) -> bool:
    """Whether the tensors are those of a converted model, not of a published checkpoint."""
    return any(name.startswith(_FOLDED) for name in state)


def is_training_only(name: str) -> bool:
    """Whether inference has no use for a tensor of the published layout."""
    return ".dense_var." in name or name.endswith(".num_batches_tracked")


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
        if key.endswith(_GAIN):
            stem = key.removesuffix(_GAIN)
            gain, direction = folded.pop(key).double(), folded.pop(stem + _DIRECTION).double()
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
            folded[f"{_FOLDED}{number}.weight"] = kernel * scale[:, None, None]
            folded[f"{_FOLDED}{number}.bias"] = (bias - mean) * scale + shift
    return folded


# Precision.


def is_matrix(name: str) -> bool:
    """Whether a tensor is a matrix of a transformer: what the engine keeps at reduced precision."""
    return any(name.startswith(prefix) for prefix in _TRANSFORMERS.values()) and name.endswith(_MATRICES)


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
        semantic = name.startswith(_TRANSFORMERS["semantic"])
        own = (config.semantic_precision(precision) if semantic else precision) if is_matrix(name) else "fp32"
        if own == "int8":
            reduced[name], reduced[name + _SCALE] = quantise(value)
        else:
            reduced[name] = value.bfloat16() if own == "bf16" else value
    return dict(sorted(reduced.items()))


def _restored(state: State) -> State:
    """Matrices of integers with scales back to float32; everything else as it is."""

    def is_quantised(name: str, value: Tensor) -> bool:
        scale = state.get(name + _SCALE)
        return value.dtype == torch.int8 and scale is not None and value.dim() == 2 and scale.shape == value.shape[:1]

    scales = {name + _SCALE for name, value in state.items() if is_quantised(name, value)}
    return {
        name: value.float() * state[name + _SCALE].float()[:, None] if name + _SCALE in scales else value
        for name, value in state.items()
        if name not in scales
    }


def _cast(name: str, value: Tensor, dtype: torch.dtype, label: str) -> Tensor:
    if name.startswith(
        _FOLDED
    ):  # products of rounded numbers: rounding them again costs accuracy and saves 1 % of space
        dtype = torch.float32
    cast = value.to(dtype).contiguous()
    if not bool(torch.isfinite(cast).all()):
        kind = str(dtype).removeprefix("torch.")
        raise ConversionError(f"{label}: {name} is not finite as {kind}")
    return cast


# Writing.


def _serialise(tensors: dict[str, Tensor], metadata: dict[str, str]) -> tuple[bytes, memoryview]:
    """A safetensors file, head and tensors, that depends on the content only: the package shuffles the metadata."""
    content = safetensors.torch.save(tensors, metadata)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    ordered += b" " * (-len(ordered) % 8)  # keeps the tensors aligned
    return len(ordered).to_bytes(8, "little") + ordered, memoryview(content)[8 + length :]


def _write(tensors: dict[str, Tensor], config: CodecConfig, path: Path) -> int:
    """Writes the model file, whole or not at all; returns its size in bytes."""
    metadata = {"format": FORMAT, "format_version": FORMAT_VERSION, "config": json.dumps(config.to_dict())}
    head, data = _serialise(tensors, metadata)
    write_atomically(path, head, data)
    return len(head) + len(data)
