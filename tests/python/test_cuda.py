"""On a device: arrays in its memory, whoever made them, and that what is computed is what the CPU computes.

Runs where a device is, a GPU or the emulator of a build with SECOUSTI_CUDA=EMULATED, and SECOUSTI_TEST_DEVICE=cuda says
that it is to be used. The tests of streams run there, too: see conftest.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import DEVICE

from secousti_native import Codec, DecoderStream, EncoderStream
from secousti_native._device import DeviceArray

pytestmark = pytest.mark.skipif(DEVICE != "cuda", reason="SECOUSTI_TEST_DEVICE is not cuda")

Floats = npt.NDArray[np.float32]


class OnlyDlpack:
    """A device array of a library that we do not know: nothing but DLPack, and it counts who holds it."""

    def __init__(self, array: DeviceArray) -> None:
        self._array = array
        self.streams: list[int | None] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()

    def __dlpack__(self, *, stream: int | None = None, **options: Any) -> object:
        self.streams.append(stream)
        return self._array.__dlpack__(stream=stream, **options)


class OnlyInterface:
    """The same with nothing but ``__cuda_array_interface__``."""

    def __init__(self, array: DeviceArray) -> None:
        self.__cuda_array_interface__ = array.__cuda_array_interface__
        self._array = array


@pytest.fixture(scope="module")
def model_file(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `codec` was opened from."""
    (path,) = tmp_path_factory.getbasetemp().glob("tiny*[0-9]/default.safetensors")  # not the link to the last
    return path


@pytest.fixture(scope="module")
def on_cpu(model_file: Path) -> Codec:
    """The same model on the CPU."""
    return Codec.from_pretrained(model_file, precision="fp32")


def test_it_is_on_the_device(codec: Codec) -> None:
    assert codec.device == codec.info["device"] == "cuda"
    assert codec.info["device_bytes"] > 0


def test_models_open_there_at_bf16_whatever_their_file_says(model_file: Path, tmp_path: Path) -> None:
    from secousti_native.convert import convert_checkpoint

    convert_checkpoint(model_file, tmp_path / "m.safetensors", default_precision="int8")
    assert Codec.from_pretrained(tmp_path / "m.safetensors").precision == "int8"
    for path in (model_file, tmp_path / "m.safetensors"):
        assert Codec.from_pretrained(path, device="cuda").precision == "bf16"
        assert Codec.from_pretrained(path, device="cuda", precision="fp32").precision == "fp32"


def test_offline_calls_are_those_of_the_cpu(codec: Codec, on_cpu: Codec, speech: Floats) -> None:
    clips = [speech[20000:26000], speech[40000:41000], speech[50000:53333]]
    for there, here in zip(codec.encode_many(clips), on_cpu.encode_many(clips), strict=True):
        np.testing.assert_array_equal(there.tokens, here.tokens)
        np.testing.assert_allclose(there.voice, here.voice, atol=1e-5)
    encoded = codec.encode(clips[1])
    np.testing.assert_array_equal(encoded.tokens, on_cpu.encode(clips[1]).tokens)
    np.testing.assert_allclose(codec.voice(clips[1]), encoded.voice, atol=1e-6)
    mel = on_cpu.stages.mel(clips[0])
    np.testing.assert_allclose(codec.stages.mel(clips[0]), mel, atol=1e-4)
    there, here = codec.stages.encode_mel(mel), on_cpu.stages.encode_mel(mel)
    for name in ("encoder_out", "semantic_mu", "fsq_in"):
        np.testing.assert_allclose(there[name], here[name], atol=1e-4)
    np.testing.assert_allclose(
        codec.stages.decode_tokens(encoded.tokens, encoded.voice),
        on_cpu.stages.decode_tokens(encoded.tokens, encoded.voice), atol=2e-4,
    )  # fmt: skip
    assert len(codec.decode(encoded)) == 1000


def test_streams_move_between_the_device_and_the_cpu(codec: Codec, on_cpu: Codec, speech: Floats) -> None:
    clip, cut = speech[20000:24000], 1777
    expected = on_cpu.encode(clip).tokens
    for first, second in ((codec, on_cpu), (on_cpu, codec)):
        stream = first.encoder()
        head = stream.push(clip[:cut])
        other = second.restore(stream.snapshot())
        assert isinstance(other, EncoderStream)
        np.testing.assert_array_equal(np.concatenate([head, other.push(clip[cut:]), other.flush()]), expected)
    voice = on_cpu.voice(clip)
    mel = on_cpu.stages.decode_tokens(expected, voice)
    for first, second in ((codec, on_cpu), (on_cpu, codec)):
        decoder = first.decoder(voice)
        head = decoder.push_to_mel(expected[:6])
        rest = second.restore(decoder.snapshot())
        assert isinstance(rest, DecoderStream)
        np.testing.assert_allclose(np.concatenate([head, rest.push_to_mel(expected[6:])]), mel, atol=2e-4)


def test_arrays_of_the_device_are_taken_and_given(codec: Codec, speech: Floats) -> None:
    size = codec.frame_size
    pcm = speech[20000 : 20000 + 8 * size].reshape(4, 2, size).copy()
    on_host = codec.encoder_group(2)
    expected = [on_host.step(block) for block in pcm]
    for wrap in (lambda array: array, OnlyInterface, OnlyDlpack):
        group = codec.encoder_group(2)
        for block, tokens in zip(pcm, expected, strict=True):
            given = wrap(codec.to_device(block))
            found = group.step(given)
            assert isinstance(found, DeviceArray)
            assert (found.shape, found.dtype) == ((2,), np.int32)
            np.testing.assert_array_equal(found.numpy(), tokens)
            if isinstance(given, OnlyDlpack):
                assert given.streams == [1]  # the stream on which the step works


def test_a_chain_on_the_device_never_leaves_it(codec: Codec, speech: Floats) -> None:
    size = codec.frame_size
    encoders, decoders = codec.encoder_group(2), codec.decoder_group(2)
    on_host = codec.encoder_group(2), codec.decoder_group(2)
    for i in range(4):
        block = speech[20000 + 2 * i * size : 20000 + 2 * (i + 1) * size].reshape(2, size).copy()
        tokens = encoders.step(codec.to_device(block))
        assert np.array_equal(tokens.numpy(), on_host[0].step(block))
        if (tokens.numpy() < 0).any():
            continue
        audio, counts = decoders.step(OnlyDlpack(tokens))
        expected, expected_counts = on_host[1].step(tokens.numpy())
        np.testing.assert_array_equal(counts.numpy(), expected_counts)
        for row, wanted, count in zip(audio.numpy(), expected, expected_counts, strict=True):
            np.testing.assert_array_equal(row[:count], wanted[:count])


def test_results_are_exported_by_either_protocol(codec: Codec) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    array = codec.to_device(values)
    assert array.__dlpack_device__() == (2, 0)
    interface = array.__cuda_array_interface__
    assert (interface["shape"], interface["typestr"], interface["version"]) == ((2, 3), "<f4", 3)
    again = DeviceArray(array._core)
    for stream in (None, -1, 1, 12345):
        assert again.__dlpack__(stream=stream) is not None  # a capsule that nobody takes cleans up after itself
    with pytest.raises(BufferError, match="numpy"):
        array.__dlpack__(dl_device=(1, 0))
    with pytest.raises(BufferError, match="copied"):
        array.__dlpack__(copy=True)
    np.testing.assert_array_equal(array.numpy(), values)
    assert codec.to_device(np.array([3, 4])).dtype == np.int32
    with pytest.raises(TypeError, match="bool"):
        codec.to_device(np.array([True]))


def test_what_does_not_fit_is_named(codec: Codec) -> None:
    group = codec.decoder_group(2)
    for wrong, error, words in (
        (np.zeros(2, np.float32), TypeError, "tokens: expected int32 in device memory, got float32"),
        (np.zeros(3, np.int32), ValueError, r"tokens: expected shape \[2\], got \[3\]"),
    ):
        for wrap in (OnlyInterface, OnlyDlpack):
            with pytest.raises(error, match=words):
                group.step(wrap(codec.to_device(wrong)))
    with pytest.raises(TypeError, match="audio: a OnlyDlpack in device memory"):
        codec.encode(OnlyDlpack(codec.to_device(np.zeros(2000, np.float32))))
