"""The configuration of one training stage: a JSON file. Every field has a default and unknown fields are errors."""

from __future__ import annotations

import dataclasses
import json
import pickle
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from secousti_native._source import EMBEDDED, embedded_path
from secousti_native.reference.config import CodecConfig, ConfigError
from secousti_native.training.augment import AugmentConfig
from secousti_native.training.losses import LossConfig

Stage = Literal["acoustic", "semantic", "joint"]
SEMANTIC_MODULES = ("vae_semantic_transformer", "fsq", "paralinguistic_encoder", "semantic_connector")
STAGE_MODULES: dict[str, tuple[str, ...]] = {
    "acoustic": ("encoder", "encoder_transformer", "decoder_transformer", "decoder"),
    "semantic": SEMANTIC_MODULES,
    "joint": ("encoder", *SEMANTIC_MODULES, "decoder_transformer", "decoder"),
}


@dataclass(frozen=True)
class DataConfig:
    """``cache`` is a prepared corpus; a batch is ``batch`` crops of ``crop`` mel frames on each process.

    ``source_weights`` multiplies how often a source is drawn. Validation uses ``valid_utterances`` of each
    source (always the same), cut to ``valid_frames`` mel frames.
    """

    cache: str = "cache"
    batch: int = 12
    crop: int = 250
    source_weights: dict[str, float] = field(default_factory=dict)
    valid_utterances: int = 24
    valid_frames: int = 600


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW on everything, or Muon on the matrices of the transformers and AdamW on the rest.

    The rate rises over ``warmup`` steps, stays, and falls over the last ``decay`` steps ("wsd"), or follows half a
    cosine. ``clip`` bounds the gradient's norm. ``ema`` is the decay of the running average of the weights, which
    validation, best checkpoint and export use.
    """

    muon: bool = True
    muon_rate: float = 0.02
    rate: float = 1e-3
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    schedule: Literal["wsd", "cosine"] = "wsd"
    warmup: int = 200
    decay: int = 2000
    clip: float = 1.0
    ema: float = 0.999


@dataclass(frozen=True)
class QuantiserConfig:
    """How tokens are made in training.

    ``kind`` "vq" (a plain learnt codebook) and ``sample`` false (FSQ without the VAE) are ablations. Rounding sets in
    for a share of the utterances that grows from 0 to 1 between steps ``start`` and ``end``; before, the bounded digits
    pass unrounded with uniform noise of half width ``dither``, as wide as rounding's own at 0.5.
    """

    kind: Literal["fsq", "vq"] = "fsq"
    sample: bool = False
    start: int = 0
    end: int = 0
    dither: float = 0.5


@dataclass(frozen=True)
class TrainConfig:
    """One stage. ``init`` names an embedded model, an earlier run's folder, a model file or a published ``.pt``.

    A run or model file brings the codec's sizes; else ``codec`` gives them. ``trainable`` replaces the stage's own list
    of modules, for instance to leave encoder and FSQ as they are while the decoder improves. Fresh weights come from
    `initialise` (unless false: PyTorch's own), with ``layer_scale`` in every transformer layer. ``threads`` is the
    number of torch's threads (0: torch's own choice). ``bfloat16`` allows autocast where the processor is quick at it
    (`processor.fast_bfloat16`). ``hours`` of training end a run before its last step (0: never); the learning rate then
    falls in time, so that a lent machine gives finished weights whatever its speed.
    """

    stage: Stage = "joint"
    codec: dict[str, Any] = field(default_factory=dict)
    init: str = ""
    trainable: tuple[str, ...] = ()
    layer_scale: float = 0.3
    initialise: bool = True
    steps: int = 10_000
    hours: float = 0.0
    seed: int = 0
    bfloat16: bool = True
    threads: int = 0
    log_every: int = 20
    valid_every: int = 500
    save_every: int = 500
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    quantiser: QuantiserConfig = field(default_factory=QuantiserConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the codec's modules that this stage trains."""
        return self.trainable or STAGE_MODULES[self.stage]

    def codec_config(self) -> CodecConfig:
        return CodecConfig.from_dict(self.codec)

    def validate(self) -> None:
        """Raises `ConfigError` naming the field."""

        def require(condition: bool, problem: str) -> None:
            if not condition:
                raise ConfigError(problem)

        for name in ("steps", "log_every", "valid_every", "save_every"):
            require(getattr(self, name) >= 1, f"{name}: must be at least 1")
        require(self.hours >= 0, "hours: must not be negative")
        for name in ("batch", "crop", "valid_utterances", "valid_frames"):
            require(getattr(self.data, name) >= 1, f"data.{name}: must be at least 1")
        known = {name for names in STAGE_MODULES.values() for name in names}
        for name in self.trainable:
            require(name in known, f"trainable: no module {name!r} (known: {', '.join(sorted(known))})")
        require(0 <= self.optimiser.ema < 1, "optimiser.ema: must be in 0 to 1")
        require(self.stage != "semantic" or bool(self.init), "init: the semantic stage starts from an acoustic stage")


def from_dict(cls: type[Any], values: Mapping[str, Any], where: str = "config") -> Any:
    """Builds dataclass ``cls`` from a JSON object. Raises `ConfigError` for unknown fields and wrong types."""
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"{where}: unknown field(s) {', '.join(unknown)} (known: {', '.join(hints)})")
    made = {name: _value(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    return cls(**made)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        assert isinstance(hint, type)
        return from_dict(hint, value, where)
    if origin is Literal and value in typing.get_args(hint):
        return value
    if origin is dict and isinstance(value, Mapping):
        return dict(value)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_value(typing.get_args(hint)[0], item, where) for item in value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, bool, str) and type(value) is hint:
        return value
    raise ConfigError(f"{where}: {value!r} does not fit {getattr(hint, '__name__', hint)}")


def read_config(path: Path, changes: Mapping[str, Any] | None = None) -> TrainConfig:
    """Reads a stage's JSON file, or that of another machine's run from what it handed over, to go on from there.

    ``changes`` maps dotted names, as "optimiser.rate", to values that replace the file's.
    """
    try:
        values = _handed_over(path) if path.suffix == ".pt" else json.loads(path.read_text(encoding="utf8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    for name, value in (changes or {}).items():
        table, parts = values, name.split(".")
        for part in parts[:-1]:
            table = table.setdefault(part, {})
        table[parts[-1]] = value
    if values.get("init") in EMBEDDED:
        values["init"] = str(embedded_path(values["init"]))
    config: TrainConfig = from_dict(TrainConfig, values, path.name)
    config.validate()
    return config


def _handed_over(path: Path) -> dict[str, Any]:
    import torch

    try:
        values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)["config"]
    except (KeyError, TypeError, RuntimeError, pickle.UnpicklingError):
        raise ConfigError(f"{path}: not what `secousti train hand-over` writes") from None
    return values | {"init": str(path)}


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """The JSON object that `read_config` reads."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return values
