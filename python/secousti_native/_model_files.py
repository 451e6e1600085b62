"""Files that hold models: what they are, and which of several is meant."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin")
SUFFIXES = (".safetensors", *CHECKPOINTS)
SPECTRAL, HIFT = "spectral", "hift"
#: Name of the published vocoder.
HIFT_FILE = "hift.pt"

#: Longest header that is read to learn what a safetensors file is.
_MAX_HEADER = 100_000_000
_PUBLISHED = re.compile(r"secousticodec_(\d+(?:_\d+)?)_hz\.(?:pt|safetensors)")


def choose(names: Sequence[str], variant: str | float | None, where: str) -> str:
    """The model's file among ``names``; ``where`` is for errors.

    ``variant`` is a file's name, with or without its ending, or the token rate of a published checkpoint. Without one
    the only model is taken, or ``model.safetensors``. `FileNotFoundError` says what there is.
    """
    models = sorted(n for n in names if n.endswith(SUFFIXES) and PurePosixPath(n).name != HIFT_FILE)
    if variant is None:
        wanted = ["model.safetensors", *(models if len(models) == 1 else [])]
    else:
        text = f"{variant:g}" if isinstance(variant, (int, float)) else variant
        stems = [text, f"secousticodec_{text.replace('.', '_')}_hz"]
        wanted = [text, *(stem + suffix for stem in stems for suffix in SUFFIXES)]
    for name in wanted:
        if name in names:
            return name
    rates = {n: match[1].replace("_", ".") for n in models if (match := _PUBLISHED.fullmatch(n))}
    found = ", ".join(repr(rates.get(n, n)) for n in models)
    if variant is None and models:
        raise FileNotFoundError(errno.ENOENT, f"holds several models; choose one with variant=: {found}", where)
    lack = "no model file" if variant is None else f"no variant {variant!r}"
    raise FileNotFoundError(errno.ENOENT, f"{lack}; there is {found or 'none'}", where)


def vocoder_of(path: Path) -> str | None:
    """The vocoder in a model file of the engine, None for a checkpoint that must be converted.

    What is neither counts as the engine's, which says what is wrong with it. ``OSError`` if it cannot be read.
    """
    if path.exists() and not path.is_file():  # a pipe can be read once
        return SPECTRAL
    with path.open("rb") as file:
        head = file.read(9)
        if head[:2] == b"PK" or (head[8:] != b"{" and path.suffix in CHECKPOINTS) or head[:1] == b"\x80":
            return None
        size = int.from_bytes(head[:8], "little")
        if head[8:] != b"{" or size > _MAX_HEADER:
            return SPECTRAL
        text = head[8:] + file.read(size - 1)
    try:
        metadata = json.loads(text).get("__metadata__", {})
        if metadata.get("format") != "secousti":
            return None if b'"fsq.project_in.weight"' in text else SPECTRAL
        return str(json.loads(metadata["config"])["vocoder"]["kind"])
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return SPECTRAL
