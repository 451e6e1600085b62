"""What a model's name means: a file of the engine, a checkpoint to convert in memory, or a repository of the Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from secousti_native import _hub
from secousti_native._model_files import HIFT, HIFT_FILE, SPECTRAL, SUFFIXES, choose, vocoder_of

Vocoder: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | None

_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


def locate(
    model: str | os.PathLike[str],
    variant: str | float | None = None,
    vocoder: Vocoder = None,
    revision: str | None = None,
    precision: str | None = None,
) -> Path | bytes:
    """The path of a model file that the engine opens, or the bytes of one that was converted in memory.

    ``model`` is a file, a folder, ``owner/name`` of a repository, or ``hf://owner/name[@revision][/file]``. ``+hift``
    or ``+other.pt`` at its end is its vocoder, for those who have one string only. See `Codec.from_pretrained`.
    """
    text = os.fsdecode(model)
    if vocoder is None and "+" in text and not Path(text).exists():
        text, _, end = text.rpartition("+")
        vocoder = end or None
    reference = _hub.parse(text) if _hub.is_url(text) else _repository(text)
    if reference is not None:
        return _of_hub(reference.at(revision), variant, vocoder, precision)
    path = Path(text)
    if revision is not None:
        raise ValueError(f"revision: {text} is a local path; revisions are for repositories of the Hub")
    if path.is_dir():
        names = [entry.name for entry in path.iterdir() if entry.is_file()]
        path /= choose(names, variant, text)
    elif variant is not None:
        raise ValueError(f"variant: {text} is one file; variants are for folders and repositories")
    return _of_file(path, _vocoder(vocoder, path))


def sources(checkpoint: str, vocoder: str | None) -> tuple[Path, Any]:
    """The files of a conversion, those of the Hub fetched: the checkpoint and the vocoder, `SPECTRAL` or None."""
    if not _hub.is_url(checkpoint):
        path = Path(checkpoint)
        return path, _vocoder(vocoder, path)
    path, hift = _hub.source_files(_hub.parse(checkpoint), vocoder=vocoder)
    return path, hift if vocoder == HIFT else _vocoder(vocoder, None)


def from_tensors(state: object, vocoder: object = None, config: object = None) -> bytes:
    """A model file's content from a state dict or a module of torch; the vocoder may be a file as well."""
    from secousti_native.convert import convert_to_bytes, module_state
    from secousti_native.reference.config import CodecConfig

    described = None
    if not isinstance(state, Mapping):
        state, described = module_state(_module(state, "module"))
    if vocoder is not None and not isinstance(vocoder, (str, os.PathLike, Mapping)):
        vocoder, _ = module_state(_module(vocoder, "vocoder"))
    if vocoder == HIFT:
        raise ValueError("vocoder: 'hift' is looked for beside a file; give its path or its tensors")
    source = vocoder if isinstance(vocoder, Mapping) else _vocoder(vocoder, None)
    if isinstance(config, Mapping):
        config = CodecConfig.from_dict(config)
    if config is not None and not isinstance(config, CodecConfig):
        raise TypeError(f"config: expected a mapping as Codec.config gives it, got {type(config).__name__}")
    return convert_to_bytes(state, source, config=config or described)


def _module(value: object, name: str) -> Any:
    if callable(getattr(value, "state_dict", None)):
        return value
    raise TypeError(f"{name}: expected a module of torch, got {type(value).__name__}")


def _repository(text: str) -> _hub.Reference | None:
    """``owner/name``, unless something here is meant."""
    path = Path(text)
    if not _REPOSITORY.fullmatch(text) or path.suffix in SUFFIXES or path.exists() or path.parent.exists():
        return None
    return _hub.Reference(text)


def _of_hub(
    reference: _hub.Reference, variant: str | float | None, vocoder: Vocoder, precision: str | None
) -> Path | bytes:
    if reference.file is not None:
        if variant is not None:
            raise ValueError(f"variant: {reference.url} names its file")
        variant = reference.file
    if vocoder in (None, SPECTRAL, HIFT):
        assert vocoder is None or isinstance(vocoder, str)
        return _hub.model_file(reference, variant, vocoder, precision or "fp32")
    return _of_file(_hub.source_files(reference, variant)[0], _vocoder(vocoder, None))


def _vocoder(vocoder: Any, beside: Path | None) -> Any:
    """A vocoder's path or tensors, `SPECTRAL`, or None. ``hift`` is a file beside the model."""
    if isinstance(vocoder, Mapping) or vocoder in (None, SPECTRAL):
        return vocoder
    text = os.fsdecode(vocoder)
    if text == HIFT and beside is not None:
        if vocoder_of(beside) == HIFT:
            return None
        found = beside.parent / HIFT_FILE
        if not found.exists():
            raise FileNotFoundError(2, f"vocoder='hift' needs {HIFT_FILE} beside the model", os.fspath(found))
        return found
    if not _hub.is_url(text):
        return Path(text)
    reference = _hub.parse(text)
    return _hub.source_files(reference if reference.file else replace(reference, file=HIFT_FILE))[0]


def _of_file(path: Path, vocoder: Any) -> Path | bytes:
    kind = vocoder_of(path)
    if kind is not None and (vocoder is None or (vocoder == SPECTRAL and kind == SPECTRAL)):
        return path
    from secousti_native.convert import convert_to_bytes

    return convert_to_bytes(path, vocoder)
