"""Arrays in device memory, passed without a copy to the host.

They come as torch tensors, through ``__cuda_array_interface__`` (CuPy, Numba) or through ``__dlpack__``. Results are
torch tensors for torch, CuPy arrays for CuPy, and for all others a `DeviceArray`, which any of these libraries takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secousti_native import _core
from secousti_native._arrays import CUDA_DEVICES, Array, is_torch
from secousti_native._optional import loaded

# By the array protocols, where a producer names no stream: the legacy default one, after which all others wait.
_DEFAULT_STREAM = 1


class DeviceArray:
    """A C-contiguous float32 or int32 array in the memory of a codec's device. Made by `Codec.to_device`.

    `torch.from_dlpack`, `cupy.asarray` and any other consumer of ``__dlpack__`` or ``__cuda_array_interface__`` take it
    without a copy. The work that fills it belongs to `stream`.
    """

    def __init__(self, core: _core.DeviceArray, stream: int = _DEFAULT_STREAM) -> None:
        self._core, self._stream = core, stream
        self._needed: object = None  # what the work under way reads

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._core.shape())

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self._core.dtype())

    @property
    def stream(self) -> int:
        """The stream (a ``cudaStream_t``) on which the array is written."""
        return self._stream

    def numpy(self) -> npt.NDArray[Any]:
        """A copy in host memory; waits for the work that fills the array."""
        return self._core.read(self._stream)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape, "typestr": self.dtype.str, "data": (self._core.address(), False), "version": 3,
            "strides": None, "stream": self._stream,
        }  # fmt: skip

    def __dlpack_device__(self) -> tuple[int, int]:
        return CUDA_DEVICES[0], 0

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """A capsule; the consumer's ``stream`` may use the array at once, which costs a wait unless it is `stream`."""
        if dl_device is not None and tuple(dl_device) != self.__dlpack_device__():
            raise BufferError("the array is in CUDA memory; numpy() copies it to the host")
        if copy:
            raise BufferError("the array is passed on as it is, not copied")
        if stream not in (self._stream, -1):  # -1: the consumer takes care
            self._core.wait(self._stream)
        return self._core.to_dlpack()

    def __repr__(self) -> str:
        return f"DeviceArray(shape={list(self.shape)}, dtype={self.dtype})"


@dataclass(frozen=True)
class Borrowed:
    """An array of the caller's for the time of a call."""

    address: int
    shape: tuple[int, ...]
    stream: int
    """On which the call is to work."""
    owner: object
    """Keeps the memory."""


def is_on_device(value: object) -> bool:
    """Whether ``value`` is an array in CUDA memory. Never imports a library."""
    if is_torch(value):
        return bool(value.is_cuda)  # type: ignore[attr-defined]
    if hasattr(value, "__cuda_array_interface__"):
        return True
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and device()[0] in CUDA_DEVICES


def borrow(value: Array, name: str, dtype: str, shape: tuple[int | None, ...]) -> Borrowed:
    """A C-contiguous device array of exactly this dtype and shape, None meaning any length. TypeError or ValueError."""
    if is_torch(value) or hasattr(value, "__cuda_array_interface__"):
        interface = _interface(value)
        found = np.dtype(interface["typestr"])
        _check(name, dtype, shape, str(found), tuple(interface["shape"]), interface.get("strides"), found.itemsize)
        return Borrowed(int(interface["data"][0]), tuple(interface["shape"]), current_stream(value), value)
    # The producer lets this stream wait for whatever fills the array.
    held = _core.Borrowed(value.__dlpack__(stream=_DEFAULT_STREAM))
    kind, number = held.device()
    if kind not in CUDA_DEVICES or number != 0:
        raise ValueError(f"{name}: in the memory of device {kind}:{number}, expected the first CUDA device")
    strides = held.strides()
    size = np.dtype(dtype).itemsize
    _check(name, dtype, shape, held.dtype(), tuple(held.shape()),
           None if strides is None else tuple(stride * size for stride in strides), size)  # fmt: skip
    return Borrowed(held.address(), tuple(held.shape()), _DEFAULT_STREAM, held)


def address(value: Array, name: str, dtype: str, shape: tuple[int, ...]) -> int:
    """Of a C-contiguous device array of exactly this dtype and shape. TypeError or ValueError otherwise."""
    return borrow(value, name, dtype, shape).address


def _interface(value: Array) -> dict[str, Any]:
    interface: dict[str, Any] = (value.detach() if is_torch(value) else value).__cuda_array_interface__
    return interface


def _check(
    name: str,
    dtype: str,
    shape: tuple[int | None, ...],
    found_dtype: str,
    found_shape: tuple[int, ...],
    strides: tuple[int, ...] | None,
    size: int,
) -> None:
    """``strides`` in bytes; None: C-contiguous."""
    if found_dtype != dtype:
        raise TypeError(f"{name}: expected {dtype} in device memory, got {found_dtype}")
    fits = len(shape) == len(found_shape) and all(n in (None, m) for n, m in zip(shape, found_shape, strict=True))
    if not fits:
        wanted = ", ".join("*" if n is None else str(n) for n in shape)
        raise ValueError(f"{name}: expected shape [{wanted}], got {list(found_shape)}")
    if strides is None:
        return
    for length, stride in zip(reversed(found_shape), reversed(strides), strict=True):
        if length > 1 and stride != size:
            raise ValueError(f"{name}: must be C-contiguous in device memory")
        size *= length


def empty_like(template: Array, dtype: str, shape: tuple[int, ...], model: _core.Model, source: Borrowed) -> Array:
    """A new array for what is made of ``source``: of the template's library, on its device, else a `DeviceArray`."""
    if is_torch(template):
        torch = loaded("torch")
        assert torch is not None
        return torch.empty(shape, dtype=getattr(torch, dtype), device=template.device)
    cupy = loaded("cupy")
    if cupy is not None and isinstance(template, cupy.ndarray):
        return cupy.empty(shape, dtype=dtype)
    result = DeviceArray(_core.DeviceArray(model, shape, dtype), source.stream)
    result._needed = source.owner
    return result


def current_stream(template: Array) -> int:
    """The stream on which the template's library works now: ours join it, so that no one waits needlessly."""
    if is_torch(template):
        torch = loaded("torch")
        assert torch is not None
        return int(torch.cuda.current_stream(template.device).cuda_stream)
    cupy = loaded("cupy")
    if cupy is not None and isinstance(template, cupy.ndarray):
        return int(cupy.cuda.get_current_stream().ptr)
    return int(template.__cuda_array_interface__.get("stream") or _DEFAULT_STREAM)
