"""The Python API: what the codec says of itself, kinds and dtypes of arrays, and every wrong argument."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import secousti_native
from secousti_native import Codec, Encoded, UnsupportedError, _core

Floats = npt.NDArray[np.float32]
ASSETS = Path(secousti_native.__file__).parent / "assets"


def test_properties(codec: Codec, codec21: Codec) -> None:
    assert (codec.sample_rate, codec.frame_size, codec.cardinality) == (22050, 256, 6561)
    assert codec.frame_rate == pytest.approx(86.1328125)
    assert (codec21.sample_rate, codec21.frame_size, codec21.cardinality) == (22050, 1024, 6561)
    assert codec21.frame_rate == pytest.approx(21.533203125)
    assert codec.identity != codec21.identity
    assert codec.config["ratios"] == [1, 1]
    assert codec21.config["ratios"] == [2, 2]
    codec.config["ratios"] = None  # a copy
    assert codec.config["ratios"] == [1, 1]
    assert codec.threads == 1
    assert "86.13 tokens/s" in repr(codec)


def test_latency(codec: Codec, codec21: Codec) -> None:
    assert codec.latency.encoder_samples == 640
    assert codec21.latency.encoder_samples == 640 + 3 * 256
    for one in (codec, codec21):
        latency = one.latency
        assert latency.total_samples == latency.encoder_samples + latency.decoder_samples
        assert latency.total_ms == pytest.approx(1000 * latency.total_samples / 22050)
        assert latency.total_ms == pytest.approx(latency.encoder_ms + latency.decoder_ms)


def test_round_trip_keeps_the_length(codec: Codec, codec21: Codec, speech: Floats) -> None:
    for one in (codec, codec21):
        for length in (256, 257, 511, 512, 1023, 1024, 5000):
            encoded = one.encode(speech[20000 : 20000 + length], 22050)
            assert encoded.tokens.dtype == np.int64
            assert encoded.tokens.shape == (-(-(length // 256) * 256 // one.frame_size),)
            assert encoded.voice.dtype == np.float32
            assert encoded.voice.shape == (one.dimension,)
            assert encoded.num_samples == length
            decoded = one.decode(encoded)
            assert decoded.dtype == np.float32
            assert decoded.shape == (length,)
            missing = length - len(encoded.tokens) * one.frame_size
            if missing > 0:
                assert not decoded[-missing:].any()


def test_voice_and_decode_of_bare_tokens(codec: Codec, speech: Floats) -> None:
    clip = speech[:50000]
    encoded = codec.encode(clip)
    np.testing.assert_array_equal(codec.voice(clip), encoded.voice)
    pcm = codec.decode(encoded.tokens, encoded.voice)
    assert pcm.shape == (len(encoded.tokens) * 256,)
    np.testing.assert_array_equal(codec.decode(encoded)[: len(pcm)], pcm)
    other = codec.decode(encoded, np.zeros(codec.dimension, np.float32))
    assert (other != codec.decode(encoded)).any()


def test_acoustic_branch(published_21: Codec, codec: Codec, speech: Floats) -> None:
    clip = speech[:22050]
    acoustic = published_21.encode_acoustic(clip, 22050)
    assert acoustic.dtype == np.float32
    assert acoustic.shape == (22, 512)
    pcm = published_21.decode_acoustic(acoustic)
    assert pcm.shape == (22 * 1024,)
    assert np.isfinite(pcm).all()
    with pytest.raises(UnsupportedError, match="acoustic"):
        codec.encode_acoustic(clip)
    np.testing.assert_array_equal(
        published_21.stages.encode_mel(published_21.stages.mel(clip))["acoustic_embed"], acoustic
    )


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64, ">i4"])
def test_every_integer_dtype_of_tokens(codec: Codec, speech: Floats, dtype: Any) -> None:
    encoded = codec.encode(speech[:10000])
    expected = codec.decode(encoded.tokens, encoded.voice)
    np.testing.assert_array_equal(codec.decode(encoded.tokens.astype(dtype), encoded.voice), expected)
    np.testing.assert_array_equal(codec.decoder(encoded.voice).push(encoded.tokens.astype(dtype)),
                                  expected[: -codec.latency.decoder_samples])  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int16, np.int32, ">f4"])
def test_audio_dtypes(codec: Codec, speech: Floats, dtype: Any) -> None:
    scale = {np.int16: 32768.0, np.int32: 2.0**31}.get(dtype, 1.0)
    clip = np.clip(speech[20000:30000] * scale, -scale, scale * (1 - 1e-7)).astype(dtype)
    expected = codec.encode((clip / scale).astype(np.float32)).tokens
    np.testing.assert_array_equal(codec.encode(clip).tokens, expected)
    np.testing.assert_array_equal(codec.encode(np.repeat(clip, 2)[::2]).tokens, expected)  # not contiguous


def test_torch_in_torch_out(codec: Codec, speech: Floats) -> None:
    torch = pytest.importorskip("torch")
    clip = torch.tensor(speech[:20000], requires_grad=True)
    encoded, expected = codec.encode(clip, 22050), codec.encode(speech[:20000], 22050)
    assert isinstance(encoded.tokens, torch.Tensor)
    assert encoded.tokens.dtype == torch.int64
    assert encoded.voice.dtype == torch.float32
    np.testing.assert_array_equal(encoded.tokens.numpy(), expected.tokens)
    decoded = codec.decode(encoded)
    assert isinstance(decoded, torch.Tensor)
    np.testing.assert_array_equal(decoded.numpy(), codec.decode(expected))
    assert isinstance(codec.decode(expected), np.ndarray)
    stream = codec.encoder()
    tokens = torch.cat([stream.push(clip), stream.flush()])
    assert torch.equal(tokens, encoded.tokens)
    sounds = codec.decoder(encoded.voice)
    assert isinstance(sounds.push(tokens.to(torch.int16)), torch.Tensor)
    outputs = codec.stages.encode_mel(codec.stages.mel(clip))
    assert all(value is None or isinstance(value, torch.Tensor) for value in outputs.values())
    half = codec.stages.voice(codec.stages.mel(clip).to(torch.bfloat16))
    assert isinstance(half, torch.Tensor)


def test_torch_streams_stay_torch(codec: Codec, speech: Floats) -> None:
    """`flush` has no argument: the kind is that of the last push, in clones too."""
    torch = pytest.importorskip("torch")
    encoder = codec.encoder()
    encoder.push(torch.from_numpy(speech[:5100].copy()))
    assert isinstance(encoder.clone().flush(), torch.Tensor)
    assert isinstance(encoder.flush(), torch.Tensor)
    tokens = torch.tensor([1, 2, 3])
    decoder = codec.decoder()
    decoder.push(tokens)
    assert isinstance(decoder.clone().flush(), torch.Tensor)
    to_mel = codec.decoder()
    mel = to_mel.push_to_mel(tokens)
    assert isinstance(mel, torch.Tensor)
    assert isinstance(to_mel.clone().flush(), torch.Tensor)
    assert isinstance(to_mel.flush(), torch.Tensor)
    from_mel = codec.decoder()
    from_mel.push_from_mel(mel)
    assert isinstance(from_mel.clone().flush(), torch.Tensor)
    encoder.reset()
    with pytest.raises(ValueError, match="pcm"):
        encoder.push(torch.full((3,), float("nan")))
    assert isinstance(codec.encoder().flush(), np.ndarray)


def test_torch_results_save_and_load(codec: Codec, speech: Floats, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    encoded = codec.encode(torch.from_numpy(speech[:20000].copy()))
    encoded.save(tmp_path / "x.sec")
    np.testing.assert_array_equal(Encoded.load(tmp_path / "x.sec").tokens, encoded.tokens.numpy())


def test_batches(codec: Codec, speech: Floats) -> None:
    clips = np.stack([speech[start : start + 20000] for start in (0, 30000, 60000)])[:, None]
    batch = codec.with_threads(2).encode_batch(clips, 22050)
    assert batch.tokens.shape == (3, 1, 20000 // 256)
    assert batch.tokens.dtype == np.int64
    assert batch.voice.shape == (3, codec.dimension)
    assert batch.num_samples == 20000
    for i, item in enumerate(batch):
        expected = codec.encode(clips[i, 0])
        np.testing.assert_array_equal(batch.tokens[i, 0], expected.tokens)
        np.testing.assert_array_equal(item.tokens, expected.tokens)
        np.testing.assert_array_equal(batch.voice[i], expected.voice)
    decoded = codec.decode_batch(batch)
    assert decoded.shape == clips.shape
    np.testing.assert_array_equal(decoded[1, 0], codec.decode(batch[1]))
    bare = codec.decode_batch(batch.tokens.astype(np.uint16), batch.voice)
    assert bare.shape == (3, 1, batch.tokens.shape[2] * 256)
    np.testing.assert_array_equal(bare[..., :20000], decoded[..., : bare.shape[2]])
    for bad in (clips[:, 0], clips[:0], np.concatenate([clips, clips], axis=1)):
        with pytest.raises(ValueError, match="audio"):
            codec.encode_batch(bad)
    with pytest.raises(TypeError, match="voices"):
        codec.decode_batch(batch.tokens)
    with pytest.raises(ValueError, match="voice"):
        codec.decode_batch(batch.tokens, batch.voice[:2])


def test_many_clips_are_clips_alone(codec: Codec, speech: Floats) -> None:
    torch = pytest.importorskip("torch")
    clips = [speech[:9000], torch.from_numpy(speech[20000:50000].copy()), speech[60000:60300]]
    encoded = codec.with_threads(2).encode_many(clips)
    for clip, item in zip(clips, encoded, strict=True):
        alone = codec.encode(clip)
        assert type(item.tokens) is type(alone.tokens) is type(clip)
        np.testing.assert_array_equal(item.tokens, alone.tokens)
        np.testing.assert_array_equal(item.voice, alone.voice)
        assert item.num_samples == len(clip)
    for pcm, item in zip(codec.decode_many(encoded, seed=3), encoded, strict=True):
        np.testing.assert_array_equal(pcm, codec.decode(item, seed=3))
        assert len(pcm) == item.num_samples
    silent = codec.encode_many(clips[:1], voices=False)
    assert len(silent[0].voice) == 0
    np.testing.assert_array_equal(silent[0].tokens, encoded[0].tokens)
    voiced = codec.decode_many(silent, [encoded[0].voice])
    np.testing.assert_array_equal(voiced[0], codec.decode(encoded[0]))
    assert codec.encode_many([]) == codec.decode_many([]) == []
    with pytest.raises(ValueError, match="clip 1: audio: 7 samples"):
        codec.encode_many([clips[0], speech[:7]])
    with pytest.raises(ValueError, match=r"clip 0: audio\[5\] is nan"):
        codec.encode_many([np.where(np.arange(900) == 5, np.nan, 0)])
    with pytest.raises(ValueError, match="clip 0: decode: the stream has no voice"):
        codec.decode_many(silent)
    with pytest.raises(ValueError, match="2 voices for 1 clips"):
        codec.decode_many(silent, [encoded[0].voice] * 2)


def test_torch_batches(codec: Codec, speech: Floats) -> None:
    torch = pytest.importorskip("torch")
    clips = torch.from_numpy(np.stack([speech[:9000], speech[9000:18000]])[:, None])
    batch = codec.encode_batch(clips)
    assert isinstance(batch.tokens, torch.Tensor)
    assert isinstance(codec.decode_batch(batch), torch.Tensor)
    assert tuple(codec.decode_batch(batch.tokens, batch.voice).shape) == (2, 1, 35 * 256)


# ---- wrong arguments ----


@pytest.mark.parametrize(
    ("audio", "rate", "error", "words"),
    [
        (np.zeros(0, np.float32), 22050, ValueError, "empty"),
        (np.zeros(1, np.float32), 22050, ValueError, "shorter than one mel frame"),
        (np.zeros(255, np.float32), 22050, ValueError, "shorter than one mel frame"),
        (np.zeros(100, np.float32), 16000, ValueError, "shorter than one mel frame"),
        (np.zeros((1, 9999), np.float32), 22050, ValueError, "to_mono"),
        (np.zeros((), np.float32), 22050, ValueError, "shape"),
        (np.zeros(9999, np.complex64), 22050, TypeError, "complex64"),
        (np.zeros(9999, np.uint8), 22050, TypeError, "uint8"),
        (np.zeros(9999, bool), 22050, TypeError, "bool"),
        ([0.0] * 9999, 22050, TypeError, "list"),
        (None, 22050, TypeError, "NoneType"),
        (np.zeros(9999, np.float32), 0, ValueError, "sample_rate"),
        (np.zeros(9999, np.float32), -1, ValueError, "sample_rate"),
        (np.zeros(9999, np.float32), 10**9, ValueError, "sample_rate"),
        (np.zeros(9999, np.float32), "16000", TypeError, "sample_rate"),
        (np.zeros(9999, np.float32), 16000.5, TypeError, "sample_rate"),
    ],
)
def test_bad_audio(codec: Codec, audio: Any, rate: Any, error: type[Exception], words: str) -> None:
    for call in (codec.encode, codec.voice):
        with pytest.raises(error, match=words):
            call(audio, rate)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_samples_are_named(codec: Codec, value: float) -> None:
    audio = np.zeros(2000, np.float32)
    audio[1234] = value
    for call in (codec.encode, codec.encoder().push, codec.stages.mel):
        with pytest.raises(ValueError, match=r"\[1234\] is"):
            call(audio)
    with pytest.raises(ValueError, match=r"\[7\] is inf"):
        codec.encode(np.concatenate([np.zeros(7), [1e300], np.zeros(999)]))


@pytest.mark.parametrize(
    ("tokens", "error", "words"),
    [
        (np.array([0, 6561]), ValueError, r"tokens\[1\] is 6561"),
        (np.array([5, 5, -1]), ValueError, r"tokens\[2\] is -1"),
        (np.array([2**40]), ValueError, r"tokens\[0\]"),
        (np.array([2**64 - 1], np.uint64), ValueError, r"tokens\[0\]"),
        (np.array([1.0]), TypeError, "float64"),
        (np.array([True]), TypeError, "bool"),
        (np.array([[1, 2]]), ValueError, "shape"),
        ([1, 2], TypeError, "list"),
    ],
)
def test_bad_tokens(codec: Codec, tokens: Any, error: type[Exception], words: str) -> None:
    voice = np.zeros(codec.dimension, np.float32)
    calls = (
        lambda: codec.decode(tokens, voice),
        lambda: codec.decoder(voice).push(tokens),
        lambda: codec.stages.decode_tokens(tokens, voice),
    )
    for call in calls:
        with pytest.raises(error, match=words):
            call()


def test_bad_voices(codec: Codec) -> None:
    tokens = np.array([1, 2, 3])
    with pytest.raises(TypeError, match="voice"):
        codec.decode(tokens)
    for bad, error in (
        (np.zeros(7, np.float32), ValueError),
        (np.zeros((1, codec.dimension), np.float32), ValueError),
        (np.zeros(codec.dimension, np.int64), TypeError),
        (np.full(codec.dimension, np.nan, np.float32), ValueError),
        ("voice", TypeError),
    ):
        with pytest.raises(error, match="voice"):
            codec.decode(tokens, bad)
        with pytest.raises(error, match="voice"):
            codec.decoder(bad)
        stream = codec.decoder()
        with pytest.raises(error, match="voice"):
            stream.voice = bad


def test_bad_options(codec: Codec) -> None:
    for look_ahead, error in ((-1, ValueError), (2**40, ValueError), (1.5, TypeError), (4, UnsupportedError)):
        with pytest.raises(error, match="look_ahead"):
            codec.decoder(look_ahead=look_ahead)  # type: ignore[arg-type]
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed"):
            codec.decoder(seed=seed)
    with pytest.raises(TypeError, match="seed"):
        codec.decoder(seed=1.5)  # type: ignore[arg-type]
    for threads in (0, -1, 5000):
        with pytest.raises(ValueError, match="threads"):
            codec.encoder(threads=threads)
    with pytest.raises(TypeError, match="threads"):
        Codec.from_pretrained(threads="2")  # type: ignore[arg-type]


def test_bad_mels(codec: Codec) -> None:
    for call in (codec.stages.encode_mel, codec.stages.voice, codec.stages.vocode):
        for bad, error in (
            (np.zeros((10, 79), np.float32), ValueError),
            (np.zeros(80, np.float32), ValueError),
            (np.zeros((0, 80), np.float32), ValueError),
            (np.full((4, 80), np.inf, np.float32), ValueError),
            (np.zeros((10, 80), np.int32), TypeError),
        ):
            with pytest.raises(error, match="mel"):
                call(bad)


def test_tokens_of_another_model(codec: Codec, codec21: Codec, speech: Floats) -> None:
    encoded = codec.encode(speech[:20000])
    with pytest.raises(ValueError, match=f"{codec.identity:016x}"):
        codec21.decode(encoded)
    assert len(codec21.decode(encoded, check_identity=False)) == 20000


@pytest.mark.parametrize("samples", [11 * 256 + 1, 200_000_000, 2**61])
@pytest.mark.parametrize("foreign", [False, True])
def test_lengths_that_the_tokens_cannot_have(codec: Codec, samples: int, foreign: bool) -> None:
    """A file's header says what it likes: nothing of that size is allocated."""
    identity = codec.identity ^ foreign
    voice = np.zeros(codec.dimension, np.float32)

    def made(count: int) -> Encoded:
        return Encoded(np.arange(10), voice, count, identity, 22050, 256, codec.cardinality)

    with pytest.raises(ValueError, match=f"num_samples: {samples} does not fit 10 tokens"):
        codec.decode(made(samples), check_identity=False)
    for count in (0, 1, 10 * 256, 11 * 256):
        assert len(codec.decode(made(count), check_identity=False)) == count
    with pytest.raises(ValueError, match="num_samples: -7 is negative"):
        made(-7)


def test_another_model_may_have_longer_tokens(codec: Codec, codec21: Codec, speech: Floats) -> None:
    encoded = codec21.encode(speech[:20000])
    assert len(codec.decode(encoded, check_identity=False)) == 20000
    hostile = replace(encoded, frame_size=2**24, num_samples=2**27)
    with pytest.raises(ValueError, match="num_samples"):
        codec.decode(hostile, check_identity=False)


def test_unsupported(codec: Codec) -> None:
    for precision in ("fp16", "int4", "fp64"):
        with pytest.raises(UnsupportedError, match=precision):
            Codec.from_pretrained(precision=precision)
    with pytest.raises(UnsupportedError, match="'cpu' and 'cuda'"):
        Codec.from_pretrained(device="tpu")
    with pytest.raises(UnsupportedError, match="pentium"):
        Codec.from_pretrained(isa="pentium")


# ---- bindings and imports ----


def test_bindings_never_convert(codec: Codec) -> None:
    encoder = _core.Encoder(codec._core)
    with pytest.raises(TypeError, match="pcm: expected dtype float32, got float64"):
        encoder.push(np.zeros(10))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="pcm: expected a numpy array"):
        encoder.push([0.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"pcm: expected shape \[\*\], got \[2, 2\]"):
        encoder.push(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="contiguous"):
        encoder.push(np.zeros(10, np.float32)[::2])
    with pytest.raises(TypeError, match="tokens: expected dtype int32"):
        _core.Decoder(codec._core).push(np.zeros(3, np.int64))


def test_import_is_light() -> None:
    heavy = ("torch", "scipy", "soundfile", "soxr", "typer", "rich", "matplotlib")
    code = f"import sys, secousti_native; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("soundfile", "from secousti_native import audio; audio.load(b'anything')"),
        ("soxr", "import secousti_native.audio as a, numpy as n; a.resample(n.zeros(9, 'f4'), 8000, 22050)"),
        ("typer", "from secousti_native.cli import main; main()"),
    ],
)
def test_a_missing_package_is_named(module: str, code: str) -> None:
    blocked = f"import sys; sys.modules[{module!r}] = None\n{code}"
    result = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert f"pip install {module}" in result.stderr.strip().splitlines()[-1]


def test_version() -> None:
    assert secousti_native.__version__ == _core.version
