"""Sizes of a codec: the JSON `config` that travels in the metadata of a model file. Needs no torch."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

VocoderKind = Literal["spectral", "hift", "none"]

# Widths that no published configuration varies; the paper gives one paralinguistic encoder for all its models.
PARALINGUISTIC_CHANNELS = (32, 32, 64, 64, 128, 128)
PARALINGUISTIC_SQUEEZE = 8
PARALINGUISTIC_HIDDEN = 64

PRECISIONS = ("fp32", "bf16", "int8")  # finest first
MAX_LAYERS = 256  # a damaged file must not make anyone build a million layers


class ConfigError(ValueError):
    """A configuration that cannot describe a codec; the message names the field."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _field_values(cls: type, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Checks names and types of ``values`` against the fields of ``cls``; lists become tuples."""
    defaults = {f.name: f for f in dataclasses.fields(cls)}
    unknown = sorted(set(values) - set(defaults))
    _require(not unknown, f"{where}: unknown field(s) {', '.join(unknown)}")
    result: dict[str, Any] = {}
    for name, value in values.items():
        kind = str(defaults[name].type)
        result[name] = value
        if kind == "int":
            _require(isinstance(value, int) and not isinstance(value, bool), f"{where}.{name}: {value!r} is no integer")
        elif kind == "float":
            real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            _require(real, f"{where}.{name}: {value!r} is no finite number")
            result[name] = float(value)
        elif kind.startswith("tuple"):
            whole = isinstance(value, list | tuple) and all(
                isinstance(v, int) and not isinstance(v, bool) for v in value
            )
            _require(whole, f"{where}.{name}: {value!r} is no list of integers")
            result[name] = tuple(value)
        elif kind == "str":
            _require(isinstance(value, str), f"{where}.{name}: {value!r} is no string")
        elif isinstance(value, Mapping):
            nested = {"LayerCounts": LayerCounts, "VocoderConfig": VocoderConfig}[kind]
            result[name] = nested(**_field_values(nested, value, f"{where}.{name}"))
        else:
            _require(kind == "VocoderKind", f"{where}.{name}: {value!r} is no object")
    return result


@dataclass(frozen=True)
class LayerCounts:
    """Layers of the four transformers. ``acoustic == 0`` is a codec without the acoustic branch."""

    acoustic: int = 8
    semantic: int = 8
    connector: int = 8
    decoder: int = 8


@dataclass(frozen=True)
class VocoderConfig:
    """Kind of the vocoder; all other fields describe ``hift`` and are ignored by ``spectral`` and ``none``."""

    kind: VocoderKind = "spectral"
    channels: int = 512
    upsample_rates: tuple[int, ...] = (8, 8)
    upsample_kernels: tuple[int, ...] = (16, 16)
    istft_n_fft: int = 16
    istft_hop: int = 4
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[int, ...] = (1, 3, 5)
    source_resblock_kernels: tuple[int, ...] = (7, 11)
    harmonics: int = 9
    f0_channels: int = 512
    f0_layers: int = 5
    f0_kernel: int = 3

    def validate(self, hop_length: int) -> None:
        """Raises `ConfigError` unless the vocoder turns one mel frame into ``hop_length`` samples."""
        _require(
            self.kind in ("spectral", "hift", "none"), f"vocoder.kind: {self.kind!r} is not spectral, hift or none"
        )
        if self.kind != "hift":
            return
        stages = len(self.upsample_rates)
        _require(stages >= 1, "vocoder.upsample_rates: at least one stage is needed")
        for name in ("upsample_kernels", "source_resblock_kernels"):
            _require(len(getattr(self, name)) == stages, f"vocoder.{name}: {stages} entries are needed, one per stage")
        for name in ("resblock_kernels", "resblock_dilations"):
            _require(len(getattr(self, name)) >= 1, f"vocoder.{name}: must not be empty")
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            values = value if isinstance(value, tuple) else (value,)
            _require(f.name == "kind" or all(v >= 1 for v in values), f"vocoder.{f.name}: {value} must be positive")
        _require(self.f0_layers <= MAX_LAYERS, f"vocoder.f0_layers: {self.f0_layers} is above {MAX_LAYERS}")
        odd = (*self.resblock_kernels, *self.source_resblock_kernels, self.f0_kernel)
        _require(all(k % 2 == 1 for k in odd), "vocoder: residual and f0 kernels must be odd")
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernels, strict=True):
            fits = kernel >= rate and (kernel - rate) % 2 == 0
            _require(fits, f"vocoder.upsample_kernels: {kernel} does not fit rate {rate}")
        _require(self.channels % 2**stages == 0, f"vocoder.channels: {self.channels} cannot be halved {stages} times")
        _require(self.istft_n_fft % 2 == 0, f"vocoder.istft_n_fft: {self.istft_n_fft} must be even")
        made = math.prod(self.upsample_rates) * self.istft_hop
        _require(made == hop_length, f"vocoder: {made} samples a mel frame, but hop_length is {hop_length}")


@dataclass(frozen=True)
class CodecConfig:
    """All sizes of a codec. Defaults are the published 86 Hz layout.

    Units: ``sample_rate``, ``mel_fmin`` and ``mel_fmax`` in Hz; ``n_fft`` and ``hop_length`` in samples; ``context``
    in token frames (a query sees itself and ``context - 1`` frames before it); ``prompt_frames`` in mel frames.
    ``token_precision`` is the least that the transformer which leads to tokens may be kept at when the engine opens the
    model at a lower one: "fp32" for a model whose tokens change with the rounding of its weights. ``default_precision``
    is what the engine opens the model at, on the CPU, when nobody asks for another: the fastest that was measured to
    keep its quality (docs/guide/precision.md).
    """

    name: str = "secousticodec"
    sample_rate: int = 22050
    n_fft: int = 1024
    hop_length: int = 256
    n_mels: int = 80
    mel_fmin: float = 0.0
    mel_fmax: float = 8000.0
    ratios: tuple[int, ...] = (1, 1)
    n_filters: int = 64
    dimension: int = 512
    head_dim: int = 64
    feedforward: int = 2048
    context: int = 250
    rope_base: float = 10000.0
    layers: LayerCounts = field(default_factory=LayerCounts)
    fsq_levels: tuple[int, ...] = (3,) * 8
    prompt_frames: int = 300
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    token_precision: str = "int8"
    default_precision: str = "fp32"

    def __post_init__(self) -> None:
        self.validate()

    @property
    def token_stride(self) -> int:
        """Mel frames per token."""
        return math.prod(self.ratios)

    @property
    def frame_rate(self) -> float:
        """Tokens per second."""
        return self.sample_rate / (self.hop_length * self.token_stride)

    @property
    def cardinality(self) -> int:
        """Number of different tokens."""
        return math.prod(self.fsq_levels)

    def validate(self) -> None:
        """Raises `ConfigError`, naming the field, if the sizes do not describe a codec."""
        positive = ("sample_rate", "n_fft", "hop_length", "n_mels", "n_filters", "dimension", "head_dim", "feedforward")
        for name in (*positive, "context", "prompt_frames"):
            _require(getattr(self, name) >= 1, f"{name}: {getattr(self, name)} must be positive")
        _require(self.n_fft % 2 == 0, f"n_fft: {self.n_fft} must be even")
        overlap = self.n_fft - self.hop_length
        _require(overlap >= 0 and overlap % 2 == 0, f"hop_length: {self.hop_length} does not fit n_fft {self.n_fft}")
        _require(
            0 <= self.mel_fmin < self.mel_fmax, f"mel_fmin, mel_fmax: {self.mel_fmin} to {self.mel_fmax} is no band"
        )
        _require(self.mel_fmax <= self.sample_rate / 2, f"mel_fmax: {self.mel_fmax} is above half the sample rate")
        _require(
            len(self.ratios) == 2 and min(self.ratios) >= 1, f"ratios: {list(self.ratios)} must be two positive numbers"
        )
        _require(self.n_filters % 2 == 0, f"n_filters: {self.n_filters} must be even")
        _require(self.head_dim % 2 == 0, f"head_dim: {self.head_dim} must be even for rotary embeddings")
        _require(
            self.dimension % self.head_dim == 0, f"head_dim: {self.head_dim} does not divide dimension {self.dimension}"
        )
        _require(self.rope_base > 1, f"rope_base: {self.rope_base} must be above 1")
        for f in dataclasses.fields(self.layers):
            count, least = getattr(self.layers, f.name), 0 if f.name == "acoustic" else 1
            _require(least <= count <= MAX_LAYERS, f"layers.{f.name}: {count} is not within {least} and {MAX_LAYERS}")
        odd = bool(self.fsq_levels) and all(level >= 3 and level % 2 == 1 for level in self.fsq_levels)
        _require(odd, f"fsq_levels: {list(self.fsq_levels)} must be odd numbers of at least 3")
        _require(self.cardinality < 2**31, f"fsq_levels: {self.cardinality} tokens do not fit 32 bits")
        self.vocoder.validate(self.hop_length)
        for name in ("token_precision", "default_precision"):
            value = getattr(self, name)
            _require(value in PRECISIONS, f"{name}: {value!r} is not one of {', '.join(PRECISIONS)}")

    def semantic_precision(self, precision: str) -> str:
        """Of the transformer that leads to tokens, in a model opened or stored at ``precision``."""
        return min(precision, self.token_precision, key=PRECISIONS.index)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object, without what says nothing: HiFT's fields elsewhere, precisions that no key means too."""
        values = dataclasses.asdict(self)
        for name in ("token_precision", "default_precision"):
            if values[name] == getattr(CodecConfig, name):
                del values[name]
        if self.vocoder.kind != "hift":
            values["vocoder"] = {"kind": self.vocoder.kind}
        return cast(dict[str, Any], json.loads(json.dumps(values)))

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CodecConfig:
        """Reads a JSON object; absent fields keep their defaults. Raises `ConfigError` for unknown or unfit fields."""
        return cls(**_field_values(cls, values, "config"))

    @classmethod
    def from_json(cls, text: str) -> CodecConfig:
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"config: not JSON ({error})") from None
        _require(isinstance(values, dict), "config: not a JSON object")
        return cls.from_dict(values)

    def replace(self, **changes: Any) -> CodecConfig:
        """A copy with some fields changed, validated anew."""
        return dataclasses.replace(self, **changes)
