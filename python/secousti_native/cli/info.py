"""``info``: what a model, a token stream, an audio file or any safetensors file is."""

from __future__ import annotations

import contextlib
import json as json_module
import math
from pathlib import Path
from typing import Annotated, Any, TypeGuard

import numpy as np
import typer

from secousti_native import __version__, _core
from secousti_native._hub import is_url
from secousti_native._model_files import CHECKPOINTS
from secousti_native._optional import require
from secousti_native._source import EMBEDDED
from secousti_native.audio import UNKNOWN_FRAMES
from secousti_native.cli import batch
from secousti_native.cli.codec import SEC, rates
from secousti_native.cli.console import print_json, print_pairs, stderr, stdout
from secousti_native.cli.options import Device, DeviceOption, Json
from secousti_native.codec import Codec
from secousti_native.encoded import Encoded
from secousti_native.errors import ContainerError, ModelFormatError

# Longest header that a safetensors file may have.
_MAX_HEADER = 100_000_000
_SEC_MAGIC = b"\x89SEC"


def describe_model(model: str, device: str) -> dict[str, Any]:
    codec = Codec.from_pretrained(model, device=device)
    info, latency = codec.info, codec.latency
    config = json_module.loads(info.pop("config_json"))
    on_device = {"device_bytes": info["device_bytes"]} if codec.device != "cpu" else {}
    return {
        "kind": "model",
        "name": codec.name,
        "identity": f"{codec.identity:016x}",
        "token_rate_hz": codec.frame_rate,
        "tokens": codec.cardinality,
        "bit_rate": float(np.log2(codec.cardinality) * codec.frame_rate),
        "sample_rate_hz": codec.sample_rate,
        "frame_size_samples": codec.frame_size,
        "vocoder": info["vocoder"],
        "latency_ms": {
            "encoder": latency.encoder_ms,
            "decoder": latency.decoder_ms,
            "total": latency.total_ms,
        },
        "parameters": info["parameters"],
        "weight_bytes": info["memory_bytes"],
        "device": codec.device,
        **on_device,
        "instruction_set": info["isa"],
        "default_precision": codec.precision,
        "acoustic_branch": info["has_acoustic_branch"],
        "config": config,
    }


def describe_stream(path: Path) -> dict[str, Any]:
    encoded = Encoded.load(path, damaged="keep")
    tokens = np.asarray(encoded.tokens)
    result: dict[str, Any] = {
        "kind": "tokens",
        "intact": not encoded.notes,
        "model": f"{encoded.model_identity:016x}",
        "tokens": len(tokens),
        "lost_tokens": int(np.count_nonzero(tokens == -1)),
        "different_tokens": len(np.unique(tokens[tokens >= 0])),
        "cardinality": encoded.cardinality,
        "sample_rate_hz": encoded.sample_rate,
        "voice_dimensions": len(encoded.voice),
        "bytes": path.stat().st_size,
        "notes": list(encoded.notes),
    }
    if not encoded.info_lost:
        result |= {"seconds": encoded.duration, "token_rate_hz": encoded.frame_rate}
        result |= rates(encoded)
    return result


def describe_audio(path: Path) -> dict[str, Any]:
    soundfile = require("soundfile", "reading audio files")
    with path.open("rb") as file:
        try:
            # By descriptor: a Ctrl-C within callbacks into a Python file would be lost.
            with soundfile.SoundFile(file.fileno(), closefd=False) as found:
                known = found.frames < UNKNOWN_FRAMES
                return {
                    "kind": "audio",
                    "format": f"{found.format}/{found.subtype}",
                    "seconds": found.frames / found.samplerate if known else None,
                    "samples": found.frames if known else None,
                    "sample_rate_hz": found.samplerate,
                    "channels": found.channels,
                }
        except soundfile.LibsndfileError as error:
            raise ValueError(f"neither a model, a .sec stream nor audio ({error.error_string})") from None


def describe_safetensors(path: Path) -> dict[str, Any]:
    """Names, dtypes and shapes of a safetensors file, whatever it holds. `ModelFormatError` for a bad header."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        data_bytes = path.stat().st_size - 8 - size
        if size > _MAX_HEADER or data_bytes < 0:
            raise ModelFormatError(f"{path}: not a safetensors file: its header is longer than the file")
        text = file.read(size)
    try:
        header = json_module.loads(text)
        json_module.dumps(header, ensure_ascii=False).encode()  # half a surrogate pair cannot be printed
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path}: not a safetensors file: its header is no JSON ({error})") from None
    if not isinstance(header, dict):
        raise ModelFormatError(f"{path}: not a safetensors file: its header is no object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ModelFormatError(f"{path}: damaged: __metadata__ does not map names to strings")
    parameters, tensors = 0, {}
    for name, entry in header.items():
        if not _valid_tensor(entry, data_bytes):
            raise ModelFormatError(f"{path}: damaged: bad dtype, shape or data_offsets of tensor {name[:200]!r}")
        parameters += math.prod(entry["shape"])
        tensors[name] = f"{entry['dtype']} {entry['shape']}"
    return {"kind": "safetensors", "parameters": parameters, "metadata": metadata, "tensors": tensors}


def _valid_tensor(entry: object, data_bytes: int) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        return False
    first, last = offsets
    # No dtype has more than two values a byte.
    return first <= last <= data_bytes and (0 in shape or math.prod(shape) <= 2 * (last - first))


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def describe(target: str, device: str = "cpu") -> dict[str, Any]:
    """A model's name, or a file recognised by its content. ``device``: where a model is opened."""
    path = Path(target)
    named = target in EMBEDDED or is_url(target) or ("+" in target and not path.exists())
    if named or (path.suffix in CHECKPOINTS and path.exists()):
        return describe_model(target, device)
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(_SEC_MAGIC):
        return describe_stream(path)
    if head[8:] == b"{":
        metadata = describe_safetensors(path)
        return describe_model(target, device) if metadata["metadata"].get("format") == "secousti" else metadata
    if path.suffix.lower() in SEC:  # its first bytes may be what is damaged
        with contextlib.suppress(ContainerError):
            return describe_stream(path)
    return describe_audio(path)


def info(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Models as --model takes them, .sec files, audio or safetensors files.", metavar="[TARGET...]"
        ),
    ] = None,
    device: DeviceOption = Device.cpu,
    json: Json = False,
) -> None:
    """Tells what a model, a token stream or a file is; without TARGET, about this installation."""
    if not targets:
        about = {
            "version": __version__,
            "instruction_sets": _core.available_isas().split(","),
            "embedded_models": list(EMBEDDED),
        }
        print_json(about) if json else print_pairs(about)
        return
    results, failed = [], []
    for target in targets:
        try:
            results.append({"target": target} | describe(target, device.value))
        except batch.EXPECTED as error:
            text = batch.describe(error)
            failed.append({"target": target, "error": text})
            named = text if text.startswith(f"{target}:") else f"{target}: {text}"
            stderr().print(named, style="red", markup=False)
    if json:
        print_json({"results": results, "failed": failed})
    else:
        for i, result in enumerate(results):
            if i:
                stdout().print()
            print_pairs(result)
    if failed:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    app.command()(info)
