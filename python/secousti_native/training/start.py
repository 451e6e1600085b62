"""Where a stage's weights come from: fresh, an earlier run, a model file, or a published checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secousti_native.reference.checkpoint import codec_from_checkpoint, infer_config
from secousti_native.reference.codec import SecoustiCodec
from secousti_native.reference.config import CodecConfig, ConfigError
from secousti_native.training.config import TrainConfig
from secousti_native.training.initialise import initialise

STATE, BEST = "state.pt", "best.pt"  # all that a run needs to go on; the averaged weights that validated best


def widened(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def hand_over(run: Path, out: Path, name: str = BEST) -> int:
    """Writes what another machine needs to train on: a run's averaged weights in half precision, its configuration.

    Returns the step it had reached. The file is an ``init``, and `secousti train run` takes it for a configuration.
    """
    checkpoint = load_run(run, name)[1]
    average = {k: v.half() if v.is_floating_point() else v for k, v in checkpoint["average"].items()}
    narrow = {k: checkpoint[k] for k in ("codec", "config", "normalisation", "step", "seconds")}
    torch.save(narrow | {"kept": checkpoint.get("kept", {}), "average": average}, out)
    return int(checkpoint["step"])


def load_run(folder: Path, name: str = BEST) -> tuple[SecoustiCodec, dict[str, Any]]:
    """The averaged weights of a run as a codec (normalisation set), and the checkpoint's other entries."""
    path = folder / name if (folder / name).exists() else folder / STATE
    if not path.exists():
        raise ConfigError(f"{folder}: no {name} or {STATE}: not a training run")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    return codec_from_checkpoint(checkpoint), checkpoint


def kept_tensors(config: TrainConfig) -> dict[str, Tensor]:
    """Tensors of the model file that a run began with, named and stored as there, of the modules it does not train.

    Export writes these bits again, not ones that went through normalisation and back: tokens stay what they were.
    """
    path = Path(config.init) if config.init else None
    if path is None or not path.exists():
        return {}
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        tensors = load_file(str(path))
    else:
        tensors = load_checkpoint(path).get("kept", {})
    return {name: value for name, value in tensors.items() if name.split(".")[0] not in config.modules}


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The best checkpoint of a run's folder, or what a ``.pt`` file holds."""
    if path.is_dir():
        path = path / BEST if (path / BEST).exists() else path / STATE
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    return loaded if isinstance(loaded, dict) else {}


def initial_codec(config: TrainConfig) -> SecoustiCodec:
    """The codec that a stage starts from. Raises `ConfigError` naming what does not fit."""
    if not config.init:
        codec = SecoustiCodec(config.codec_config(), config.layer_scale)
        if config.initialise:
            initialise(codec)
        return codec
    path = Path(config.init)
    if path.is_dir():
        return load_run(path)[0]
    if path.suffix == ".safetensors":
        return _from_model_file(path)
    if path.suffix == ".pt":
        handed = load_checkpoint(path)
        return codec_from_checkpoint(handed) if "average" in handed else _from_published(path)
    raise ConfigError(f"init: {path} is no run folder, .safetensors or .pt file")


def _from_model_file(path: Path) -> SecoustiCodec:
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        metadata = file.metadata() or {}
        if "config" not in metadata:
            raise ConfigError(f"{path}: no config in its metadata")
        config = CodecConfig.from_dict(json.loads(metadata["config"]))
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    codec = SecoustiCodec(config)
    # In a model file the batch norms are folded into the convolutions before them.
    for i in range(1, 7):
        name = f"paralinguistic_encoder.conv_{i}."
        if name + "weight" in tensors:
            tensors[f"paralinguistic_encoder.conv2d_{i}.weight"] = tensors.pop(name + "weight")
            tensors[f"paralinguistic_encoder.conv2d_{i}.bias"] = tensors.pop(name + "bias")
    for module in codec.paralinguistic_encoder.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_var is not None
            module.running_var.fill_(1.0 - module.eps)  # with eps in the denominator: as if it were not there
    return _load(codec, tensors, path)


def _from_published(path: Path) -> SecoustiCodec:
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    tensors = loaded.get("model", loaded)
    if not all(isinstance(v, Tensor) for v in tensors.values()):
        raise ConfigError(f"{path}: not a state dict")
    return _load(SecoustiCodec(infer_config(tensors)), tensors, path)


def _load(codec: SecoustiCodec, tensors: dict[str, Tensor], path: Path) -> SecoustiCodec:
    """Loads all that inference needs; training-only tensors may be missing and start fresh."""
    wanted = codec.state_dict()
    wrong = [f"{k}: {list(tensors[k].shape)}" for k in wanted if k in tensors and not _fits(wanted[k], tensors[k])]
    optional = ("dense_var", "num_batches_tracked", "batchnorm_")
    missing = [k for k in wanted if k not in tensors and not any(part in k for part in optional)]
    if missing or wrong:
        raise ConfigError(f"{path}: missing {', '.join(missing) or 'none'}; misshapen {', '.join(wrong) or 'none'}")
    codec.load_state_dict({k: v for k, v in tensors.items() if k in wanted}, strict=False)
    return codec


def _fits(wanted: Tensor, given: Tensor) -> bool:
    published = wanted.ndim == 3 and given.ndim == 4 and given.shape == (*wanted.shape, 3)
    return wanted.shape == given.shape or published
