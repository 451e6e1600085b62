"""Arrays in device memory, passed without a copy to the host: torch and CuPy, through ``__cuda_array_interface__``."""

from __future__ import annotations

from typing import Any

import numpy as np

from secousti_native._arrays import Array, is_torch
from secousti_native._optional import loaded


def is_on_device(value: object) -> bool:
    """Whether ``value`` is an array in CUDA memory. Never imports a library."""
    if is_torch(value):
        return bool(value.is_cuda)  # type: ignore[attr-defined]
    return hasattr(value, "__cuda_array_interface__")


def address(value: Array, name: str, dtype: str, shape: tuple[int, ...]) -> int:
    """Of a C-contiguous device array of exactly this dtype and shape. TypeError or ValueError otherwise."""
    if is_torch(value):
        value = value.detach()
    interface: dict[str, Any] = value.__cuda_array_interface__
    found = np.dtype(interface["typestr"])
    if found != np.dtype(dtype):
        raise TypeError(f"{name}: expected {dtype} in device memory, got {found}")
    if tuple(interface["shape"]) != shape:
        raise ValueError(f"{name}: expected shape {list(shape)}, got {list(interface['shape'])}")
    strides = interface.get("strides")
    if strides is not None:
        size = found.itemsize
        for length, stride in zip(reversed(shape), reversed(strides), strict=True):
            if length > 1 and stride != size:
                raise ValueError(f"{name}: must be C-contiguous in device memory")
            size *= length
    return int(interface["data"][0])


def empty_like(template: Array, dtype: str, shape: tuple[int, ...]) -> Array:
    """A new array of the template's library, on its device."""
    if is_torch(template):
        torch = loaded("torch")
        assert torch is not None
        return torch.empty(shape, dtype=getattr(torch, dtype), device=template.device)
    cupy = loaded("cupy")
    if cupy is None:
        raise TypeError(f"results for {type(template).__name__} arrays on the device need torch or CuPy")
    return cupy.empty(shape, dtype=dtype)


def current_stream(template: Array) -> int:
    """The stream on which the template's library works now: ours join it, so that no one waits needlessly."""
    if is_torch(template):
        torch = loaded("torch")
        assert torch is not None
        return int(torch.cuda.current_stream(template.device).cuda_stream)
    cupy = loaded("cupy")
    if cupy is not None:
        return int(cupy.cuda.get_current_stream().ptr)
    # By the protocol: the producer's stream, 1 being the legacy default one.
    return int(template.__cuda_array_interface__.get("stream") or 1)
