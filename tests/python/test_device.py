"""Devices: errors that say why, and arrays in device memory as their libraries describe them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from secousti_native import Codec, UnsupportedError, _core, _device


class OnDevice:
    """What torch and CuPy say of an array on a device; nobody reads the memory."""

    def __init__(self, shape: tuple[int, ...], dtype: str = "<f4", strides: tuple[int, ...] | None = None) -> None:
        self.__cuda_array_interface__: dict[str, Any] = {
            "shape": shape, "typestr": dtype, "data": (0xABC0, False), "version": 3, "strides": strides, "stream": 7,
        }  # fmt: skip


def on_a_machine_with_a_gpu() -> bool:
    try:
        Codec.from_pretrained(device="cuda")
    except UnsupportedError:
        return False
    return True


def test_device_is_cpu_unless_asked_for() -> None:
    codec = Codec.from_pretrained()
    assert codec.device == codec.info["device"] == "cpu"
    assert codec.info["device_bytes"] == 0
    assert codec.precision == "int8"  # what the file says
    with pytest.raises(UnsupportedError, match="'tpu'"):
        Codec.from_pretrained(device="tpu")
    with pytest.raises(ValueError, match="'tpu'"):
        codec.encoder_group(1, device="tpu")


@pytest.mark.skipif(on_a_machine_with_a_gpu(), reason="there is a GPU")
def test_cuda_where_it_cannot_be_says_why() -> None:
    reasons = "no CUDA|CUDA driver"
    with pytest.raises(UnsupportedError, match=f"'cuda'.*({reasons})"):
        Codec.from_pretrained(device="cuda")
    codec = Codec.from_pretrained()
    for make in (codec.encoder_group, codec.decoder_group):
        with pytest.raises(UnsupportedError, match=r"'cuda'.*(no CUDA|open it with)"):
            make(2, device="cuda")


def test_addresses_of_device_arrays_are_checked() -> None:
    assert _device.is_on_device(OnDevice((2, 3)))
    assert not _device.is_on_device(np.zeros(3))
    assert _device.address(OnDevice((2, 3)), "pcm", "float32", (2, 3)) == 0xABC0
    assert _device.address(OnDevice((2, 3), strides=(12, 4)), "pcm", "float32", (2, 3)) == 0xABC0
    assert _device.address(OnDevice((1, 3), strides=(999, 4)), "pcm", "float32", (1, 3)) == 0xABC0
    with pytest.raises(TypeError, match="pcm: expected float32 in device memory, got float64"):
        _device.address(OnDevice((2, 3), "<f8"), "pcm", "float32", (2, 3))
    with pytest.raises(ValueError, match=r"pcm: expected shape \[2, 3\], got \[3, 2\]"):
        _device.address(OnDevice((3, 2)), "pcm", "float32", (2, 3))
    with pytest.raises(ValueError, match="pcm: must be C-contiguous"):
        _device.address(OnDevice((2, 3), strides=(4, 8)), "pcm", "float32", (2, 3))


def test_a_stream_is_the_one_that_the_array_names() -> None:
    assert _device.current_stream(OnDevice((1,))) == 7
    assert _device.borrow(OnDevice((2,)), "pcm", "float32", (2,)).stream == 7


class HostDlpack:
    """An array of a library that we do not know, with nothing but DLPack."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values = values

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, **options: object) -> object:
        return self.values.__dlpack__(**options)  # type: ignore[arg-type]


def test_any_host_array_with_dlpack_is_taken() -> None:
    codec = Codec.from_pretrained()
    audio = np.random.default_rng(0).standard_normal(2000).astype(np.float32) * 0.1
    encoded = codec.encode(HostDlpack(audio))
    assert isinstance(encoded.tokens, np.ndarray)
    np.testing.assert_array_equal(encoded.tokens, codec.encode(audio).tokens)
    np.testing.assert_array_equal(
        codec.decode(HostDlpack(encoded.tokens), HostDlpack(encoded.voice)),
        codec.decode(encoded.tokens, encoded.voice),
    )


class DeviceDlpack:
    """A device array with nothing but DLPack; `capsule` is made by whoever has the memory."""

    def __init__(self, capsule: object = None) -> None:
        self.capsule, self.streams = capsule, list[object]()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, *, stream: object = None, **_: object) -> object:
        self.streams.append(stream)
        return self.capsule


def test_host_calls_name_arrays_that_are_on_a_device() -> None:
    assert _device.is_on_device(DeviceDlpack())
    with pytest.raises(TypeError, match="audio: a DeviceDlpack in device memory"):
        Codec.from_pretrained().encode(DeviceDlpack())


def test_capsules_are_read_as_they_say_and_only_once() -> None:
    """numpy's own capsules, which have the same layout, stand for a device's."""
    values = np.arange(12, dtype=np.int32).reshape(3, 4)
    capsule = values.__dlpack__()
    held = _core.Borrowed(capsule)
    assert (held.device(), held.dtype(), held.shape()) == ((1, 0), "int32", [3, 4])
    assert held.strides() in (None, [4, 1])
    assert held.address() == values.ctypes.data
    with pytest.raises(TypeError, match="consumed"):
        _core.Borrowed(capsule)
    with pytest.raises(TypeError, match="DLPack"):
        _core.Borrowed(np.zeros(1).__array_struct__)
    assert _core.Borrowed(values.T.__dlpack__()).strides() == [1, 4]
    with pytest.raises(ValueError, match="pcm: in the memory of device 1:0"):
        _device.borrow(DeviceDlpack(values.__dlpack__()), "pcm", "int32", (3, 4))


def test_memory_on_a_device_needs_a_model_there() -> None:
    with pytest.raises(UnsupportedError, match="opened for the CPU"):
        Codec.from_pretrained().to_device(np.zeros(3))


def test_a_group_on_the_cpu_takes_no_device_arrays() -> None:
    group = Codec.from_pretrained().encoder_group(1)
    with pytest.raises(TypeError, match="pcm"):
        group.step(OnDevice((1, 256)))


def test_masks_are_for_tokens_on_the_device() -> None:
    group = Codec.from_pretrained().decoder_group(1)
    for step in (group.step, group.step_to_mel):
        with pytest.raises(TypeError, match="active"):
            step(np.zeros(1, np.int64), np.ones(1, bool))
