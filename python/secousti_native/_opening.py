"""Opening a model, from wherever it is, and passing it on to other processes."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from secousti_native import _core, _weights
from secousti_native._arguments import check_threads
from secousti_native._source import EMBEDDED, Options, Source, embedded_path
from secousti_native._weights import Vocoder
from secousti_native.errors import UnsupportedError
from secousti_native.model import Model

PRECISIONS = ("fp32", "bf16", "int8")
DEVICES = ("cpu", "cuda")

Kind = TypeVar("Kind", bound="OpenedModel")


class OpenedModel(Model):
    """A model that knows what it was opened from."""

    def __init__(self, core: _core.Model, threads: int = 1, source: Source | None = None) -> None:
        super().__init__(core, threads)
        self._source = source

    def __copy__(self: Kind) -> Kind:
        return self

    def __deepcopy__(self: Kind, memo: object) -> Kind:
        return self

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        if self._source is None:
            raise TypeError(f"{self!r} cannot be pickled: it does not know which file or bytes it was opened from")
        return _reopened, (type(self), self._source.travelling(self.precision), self.threads)

    @classmethod
    def from_pretrained(
        cls: type[Kind],
        model: str | os.PathLike[str] | None = None,
        *,
        variant: str | float | None = None,
        vocoder: Vocoder = None,
        revision: str | None = None,
        precision: str | None = None,
        threads: int = 1,
        device: str = "cpu",
        isa: str | None = None,
    ) -> Kind:
        """Opens an embedded model ("default": 86 Hz, "default-21": 21.5 Hz), a file, or a repository of the Hub.

        Model files of `secousti convert` open as they are. PyTorch checkpoints are converted in memory, and those of a
        repository once, into a cache; then it is opened without the network (docs/guide/convert.md).

        Args:
            model: name; path of a ``.safetensors`` file, of a checkpoint or of a folder of them; or a repository,
                "owner/name" or "hf://owner/name[@revision][/file]". None is "default".
            variant: which model of a folder or repository, such as "86" or "21.5", or a file's name.
            vocoder: "spectral"; "hift", which is in the model or is ``hift.pt`` beside it; or the path or state dict of
                a HiFT checkpoint. None: what the model has, else "spectral".
            revision: branch, tag or commit of a repository; None is "main". A branch stays at the commit that it was at
                when first fetched.
            precision: of the transformers' weights in memory, whatever the file holds: "fp32", "bf16", or "int8" (one
                scale per output; activations are quantised too). Keys and values are kept likewise. The last two are
                faster, because a step is bound by the bytes that it reads (docs/guide/precision.md). None: on the CPU
                what the file says was measured to keep the model's quality ("int8" for the embedded models; "fp32" if
                it says nothing), "bf16" on "cuda".
            threads: of the CPU that work on one call, the caller's included.
            device: "cpu", or "cuda", the first CUDA device (docs/guide/cuda.md): streams, groups and offline calls all
                work there. It never falls back.
            isa: instruction set, such as "avx2"; None takes SECOUSTI_ISA if set, else the fastest.

        Raises:
            FileNotFoundError, OSError: the file cannot be read, or the repository lacks it.
            PermissionError: the repository is gated or private.
            ConnectionError: it is not in the cache, and the Hub cannot be reached.
            ModelFormatError: it is no intact model file or checkpoint.
            MissingDependencyError: checkpoints need torch and safetensors, repositories huggingface_hub.
            UnsupportedError: precision, device or instruction set.
        """
        options = _options(isa, precision, device)
        return cls._open(_resolve(model, variant, vocoder, revision, precision), options, threads)

    @classmethod
    def from_state_dict(
        cls: type[Kind],
        state: Mapping[str, Any],
        vocoder: Vocoder = None,
        config: Mapping[str, Any] | None = None,
        *,
        precision: str | None = None,
        threads: int = 1,
        device: str = "cpu",
        isa: str | None = None,
    ) -> Kind:
        """A codec from trained PyTorch weights in memory, with the published names: the same bits as a converted file.

        Args:
            state: tensors by name, or ``{"model": such}``.
            vocoder: path or state dict of a HiFT checkpoint; None or "spectral" needs none.
            config: sizes as `config` gives them; None: from the tensors' shapes, with heads of 64 channels and a
                context of 250 frames.

        The other arguments are those of `from_pretrained`. `ModelFormatError` names every missing and unfit tensor.
        """
        options = _options(isa, precision, device)
        return cls._open(_weights.from_tensors(state, vocoder, config), options, threads)

    @classmethod
    def from_module(
        cls: type[Kind],
        module: object,
        vocoder: object = None,
        config: Mapping[str, Any] | None = None,
        *,
        precision: str | None = None,
        threads: int = 1,
        device: str = "cpu",
        isa: str | None = None,
    ) -> Kind:
        """A codec from a ``torch.nn.Module``: the reference `SecoustiCodec`, in training or not, or any with its names.

        A mel normalisation is folded away; compiled and data-parallel modules are looked into. ``vocoder`` may be a
        module as well. All else is as in `from_state_dict`.
        """
        options = _options(isa, precision, device)
        return cls._open(_weights.from_tensors(module, vocoder, config), options, threads)

    @classmethod
    def from_bytes(
        cls: type[Kind],
        data: bytes | bytearray | memoryview,
        *,
        precision: str | None = None,
        threads: int = 1,
        device: str = "cpu",
        isa: str | None = None,
    ) -> Kind:
        """Opens a model file that is in memory; the other arguments and the errors are those of `from_pretrained`.

        The codec keeps the bytes, and a pickle of it holds them.
        """
        return cls._open(bytes(data), _options(isa, precision, device), threads)

    @classmethod
    def _open(cls: type[Kind], found: str | Path | bytes, options: Options, threads: int) -> Kind:
        count, source = check_threads(threads), Source.of(found, options)
        return cls(source.open(), count, source)

    def with_threads(self: Kind, threads: int) -> Kind:
        """The same model, shared, with another number of threads for its calls."""
        return type(self)(self._core, threads, self._source)


def _reopened(kind: type[Kind], source: Source, threads: int) -> Kind:
    """A codec from its pickle."""
    return kind(source.reopen(), threads, source.here())


def _options(isa: str | None, precision: str | None, device: str) -> Options:
    if device not in DEVICES:
        raise UnsupportedError(f"device {device!r} is not supported; 'cpu' and 'cuda' are")
    if precision is not None and precision not in PRECISIONS:
        names = ", ".join(repr(name) for name in PRECISIONS)
        raise UnsupportedError(f"precision {precision!r} is not supported; {names} are")
    return Options(isa, precision, device)


def _resolve(
    model: str | os.PathLike[str] | None,
    variant: str | float | None,
    vocoder: Vocoder,
    revision: str | None,
    precision: str | None,
) -> str | Path | bytes:
    """An embedded model's name, or what `_weights.locate` finds."""
    name = "default" if model is None else model
    embedded = embedded_path(name) if isinstance(name, str) and name in EMBEDDED else None
    try:
        found = _weights.locate(embedded or name, variant, vocoder, revision, precision)
    except FileNotFoundError as error:
        if error.filename != os.fspath(name) or error.strerror != os.strerror(errno.ENOENT):
            raise
        names = ", ".join(repr(n) for n in EMBEDDED)
        raise FileNotFoundError(
            errno.ENOENT, f"no such model file; embedded models are {names}", os.fspath(name)
        ) from None
    return found if embedded is None or found != embedded else str(name)
