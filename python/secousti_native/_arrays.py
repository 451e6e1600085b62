"""Arguments to the exact arrays that the core takes, and results back to the kind that came in."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from secousti_native._optional import loaded

#: A numpy array, a torch tensor or another array in host memory that has ``__dlpack__``; a result is a tensor if the
#: argument was one, else a numpy array.
Array: TypeAlias = Any
Floats: TypeAlias = npt.NDArray[np.float32]
Tokens: TypeAlias = npt.NDArray[np.int32]

LOST = -1
"""In the place of a token, in files, packets and groups: it never came. Decoders conceal it."""

# Full scale of the integer PCM formats.
_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}
#: Types of device, by DLPack, whose memory is a GPU's, and is the host's.
CUDA_DEVICES = (2, 13)
_HOST_DEVICES = (1, 3, 11)

_FLOATS = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


def is_torch(value: object) -> bool:
    """Whether ``value`` is a torch tensor. Never imports torch."""
    torch = loaded("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_numpy(value: Array, name: str) -> npt.NDArray[Any]:
    """A numpy view of an array or tensor (from any device). TypeError for anything else."""
    if isinstance(value, np.ndarray):
        return value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
    if is_torch(value):
        tensor = value.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":  # numpy has no such type
            tensor = tensor.float()
        result: npt.NDArray[Any] = tensor.numpy()
        return result
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        if value.__dlpack_device__()[0] in _HOST_DEVICES:
            return np.from_dlpack(value)
        raise TypeError(f"{name}: a {type(value).__name__} in device memory; only steps of groups take those")
    raise TypeError(f"{name}: expected a numpy array or torch tensor, got {type(value).__name__}")


def like(result: npt.NDArray[Any], template: object) -> Array:
    """``result`` as a tensor on the template's device if the template is a tensor, as it is otherwise."""
    if not is_torch(template):
        return result
    torch = loaded("torch")
    assert torch is not None
    return torch.from_numpy(np.ascontiguousarray(result)).to(template.device)  # type: ignore[attr-defined]


def kind_of(value: object) -> object:
    """What `like` needs of ``value``, without its data."""
    return value.new_empty(0) if is_torch(value) else None  # type: ignore[attr-defined]


def check_finite(values: npt.NDArray[Any], name: str) -> None:
    """ValueError that names the first NaN or infinite element."""
    finite = np.isfinite(values)
    if finite.all():
        return
    position = np.unravel_index(int(np.argmin(finite)), values.shape)
    index = ", ".join(str(int(i)) for i in position)
    raise ValueError(f"{name}[{index}] is {values[position]}; all values must be finite")


def as_audio(audio: Array, name: str = "audio", ndim: int = 1, check: bool = True) -> Floats:
    """Finite float32 audio from float (nominally in [-1, 1]), int16 or int32 PCM of ``ndim`` dimensions.

    TypeError for another kind or dtype; ValueError for another number of dimensions, NaN or infinity. Without ``check``
    values are not looked at: for calls of the core that do.
    """
    values = _pcm(audio, name)
    if values.ndim != ndim:
        wanted = "[samples]" if ndim == 1 else "[batch, 1, samples]"
        hint = "; mix channels down first (secousti_native.audio.to_mono)" if ndim == 1 and values.ndim == 2 else ""
        raise ValueError(f"{name}: expected shape {wanted}, got {list(values.shape)}{hint}")
    result = _to_unit_scale(values)
    if check:
        check_finite(result, name)
    return result


def as_frames(audio: Array, name: str, shape: tuple[int, int]) -> Floats:
    """As `as_audio` for rows of exactly this shape, whose values are not checked."""
    values = _pcm(audio, name)
    if values.shape != shape:
        raise ValueError(f"{name}: expected shape {list(shape)}, got {list(values.shape)}")
    return _to_unit_scale(values)


def _pcm(audio: Array, name: str) -> npt.NDArray[Any]:
    values = to_numpy(audio, name)
    if values.dtype not in _FLOATS and values.dtype not in _FULL_SCALE:
        raise TypeError(f"{name}: dtype {values.dtype} is not PCM; use float16/32/64, int16 or int32")
    return values


def _to_unit_scale(values: npt.NDArray[Any]) -> Floats:
    scale = _FULL_SCALE.get(values.dtype)
    if scale is not None:
        return np.ascontiguousarray(values * np.float32(1.0 / scale), dtype=np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is reported as such
        return np.ascontiguousarray(values, dtype=np.float32)


def as_floats(value: Array, name: str, shape: tuple[int | None, ...], check: bool = True) -> Floats:
    """Finite float32 values of the given shape, ``None`` meaning any length. Without ``check`` they may be anything."""
    values = to_numpy(value, name)
    if values.dtype not in _FLOATS:
        raise TypeError(f"{name}: expected a floating-point dtype, got {values.dtype}")
    fits = values.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, values.shape, strict=True))
    if not fits:
        wanted = ", ".join("*" if n is None else str(n) for n in shape)
        raise ValueError(f"{name}: expected shape [{wanted}], got {list(values.shape)}")
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(values, dtype=np.float32)
    if check:
        check_finite(result, name)
    return result


def as_tokens(tokens: Array, cardinality: int, ndim: int = 1, name: str = "tokens") -> Tokens:
    """int32 tokens in [0, cardinality) from any integer dtype. TypeError, or ValueError that names the element."""
    values = to_numpy(tokens, name)
    if not np.issubdtype(values.dtype, np.integer):
        raise TypeError(f"{name}: expected an integer dtype, got {values.dtype}")
    if values.ndim != ndim:
        wanted = "[N]" if ndim == 1 else "[batch, 1, N]"
        raise ValueError(f"{name}: expected shape {wanted}, got {list(values.shape)}")
    bad = (values < 0) | (values >= cardinality)
    if bad.any():
        position = np.unravel_index(int(np.argmax(bad)), values.shape)
        index = ", ".join(str(int(i)) for i in position)
        raise ValueError(f"{name}[{index}] is {values[position]}; tokens must be in [0, {cardinality})")
    return np.ascontiguousarray(values, dtype=np.int32)


def as_tokens_or_lost(tokens: Array, cardinality: int) -> Tokens:
    """As `as_tokens`, [N], of which some may be `LOST`."""
    values = to_numpy(tokens, "tokens")
    lost = values == LOST
    result = as_tokens(np.where(lost, values.dtype.type(0), values), cardinality)
    result[lost] = LOST
    return result
