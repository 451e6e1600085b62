"""Any chunking gives the same result, bit for bit; streams reset, clone, and go on from snapshots."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
from conftest import DEVICE, few
from hypothesis import given, settings
from hypothesis import strategies as st

from secousti_native import Codec, DecoderStream, EncoderStream, SnapshotError, UnsupportedError, audio

Array = npt.NDArray[np.generic]
SIZES = [1, 2, 3, 7, 160, 255, 256, 257, 1024, 4096] if DEVICE == "cpu" else [7, 257, 4096]
NEEDED_BY_HIFT = 90  # tokens, so that its look-ahead is covered several times


def pieces(values: Array, sizes: Iterable[int]) -> Iterator[Array]:
    """Cuts ``values`` into pieces of the given sizes, repeated as needed."""
    start = 0
    for size in itertools.cycle(sizes):
        if start >= len(values):
            return
        yield values[start : start + size]
        start += size


def run(stream: EncoderStream | DecoderStream, values: Array, sizes: Iterable[int]) -> Array:
    return np.concatenate([*(stream.push(piece) for piece in pieces(values, sizes)), stream.flush()])


def random_sizes(seed: int, largest: int) -> list[int]:
    generator = np.random.default_rng(seed)
    return [int(n) for n in np.exp(generator.uniform(0, np.log(largest), 200))]


@pytest.fixture(scope="module", params=["codec", "codec21", "published_86"])
def any_codec(request: pytest.FixtureRequest) -> Codec:
    """Both embedded models (spectral vocoder) and the published layout (HiFT)."""
    codec: Codec = request.getfixturevalue(request.param)
    return codec


@pytest.fixture(scope="module")
def clip(speech: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """2.5 s that end within a frame."""
    return speech[20000 : 20000 + few(55123, 6123)]


def tokens_for(codec: Codec, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(5).integers(0, codec.cardinality, count)


def voice_for(codec: Codec, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(codec.dimension).astype(np.float32) * 0.3


def decoder_length(codec: Codec) -> int:
    return few(NEEDED_BY_HIFT if codec.info["vocoder"] == "hift" else 150, 12)


# ---- chunked = whole ----


@pytest.mark.parametrize("size", [*SIZES, "random"])
def test_encoder_chunks(codec: Codec, clip: npt.NDArray[np.float32], size: int | str) -> None:
    sizes = random_sizes(1, 5000) if size == "random" else [int(size)]
    whole = codec.encode(clip)
    np.testing.assert_array_equal(run(codec.encoder(), clip, sizes), whole.tokens)
    assert len(whole.tokens) == len(clip) // 256


@pytest.mark.parametrize("size", [1, 257, 4096, "random"])
def test_encoder_chunks_at_the_low_rate(codec21: Codec, clip: npt.NDArray[np.float32], size: int | str) -> None:
    sizes = random_sizes(2, 5000) if size == "random" else [int(size)]
    whole = codec21.encode(clip)
    np.testing.assert_array_equal(run(codec21.encoder(), clip, sizes), whole.tokens)
    assert len(whole.tokens) == -(-(len(clip) // 256) // 4)


def test_encoder_chunks_of_the_published_layout(published_86: Codec, clip: npt.NDArray[np.float32]) -> None:
    short = clip[:20000]
    np.testing.assert_array_equal(run(published_86.encoder(), short, [700, 1, 3]), published_86.encode(short).tokens)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 160, "random"])
def test_decoder_chunks(any_codec: Codec, size: int | str) -> None:
    tokens, voice = tokens_for(any_codec, decoder_length(any_codec)), voice_for(any_codec)
    sizes = random_sizes(3, 40) if size == "random" else [int(size)]
    whole = any_codec.decode(tokens, voice, seed=7)
    chunked = run(any_codec.decoder(voice, seed=7), tokens, sizes)
    np.testing.assert_array_equal(chunked, whole)
    assert whole.dtype == np.float32
    assert whole.shape == (len(tokens) * any_codec.frame_size,)
    assert np.isfinite(whole).all()
    assert np.abs(whole).max() > 1e-3


@pytest.mark.parametrize("look_ahead", [0, 1, 2, 3])
def test_spectral_vocoder_chunks_at_every_look_ahead(codec: Codec, look_ahead: int) -> None:
    count = few(100, 12)
    tokens, voice = tokens_for(codec, count), voice_for(codec)
    whole = codec.decode(tokens, voice, look_ahead=look_ahead)
    stream = codec.decoder(voice, look_ahead=look_ahead)
    assert stream.latency == look_ahead * 256
    np.testing.assert_array_equal(run(stream, tokens, [3, 1, 10]), whole)
    assert len(whole) == count * codec.frame_size


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=30), length=st.integers(256, 9000))
def test_encoder_chunks_property(codec: Codec, speech: npt.NDArray[np.float32], sizes: list[int], length: int) -> None:
    clip = speech[30000 : 30000 + length]
    np.testing.assert_array_equal(run(codec.encoder(), clip, sizes), codec.encode(clip).tokens)


def test_empty_pushes_change_nothing(codec: Codec, clip: npt.NDArray[np.float32]) -> None:
    encoder, decoder = codec.encoder(), codec.decoder()
    tokens = np.concatenate([encoder.push(clip[:0]), encoder.push(clip), encoder.push(clip[:0]), encoder.flush()])
    np.testing.assert_array_equal(tokens, codec.encode(clip).tokens)
    pcm = np.concatenate([decoder.push(tokens[:0]), decoder.push(tokens), decoder.push(tokens[:0]), decoder.flush()])
    assert len(pcm) == len(tokens) * codec.frame_size


# ---- latency ----


def test_encoder_emits_at_the_stated_latency(any_codec: Codec, clip: npt.NDArray[np.float32]) -> None:
    stream = any_codec.encoder()
    latency = any_codec.latency.encoder_samples
    first = stream.push(clip[: latency - 1])
    assert len(first) == 0
    assert len(stream.push(clip[latency - 1 : latency])) == 1
    assert len(stream.push(clip[latency : latency + any_codec.frame_size])) == 1


def test_decoder_lags_by_the_stated_latency(any_codec: Codec) -> None:
    stream = any_codec.decoder(voice_for(any_codec))
    assert stream.latency == any_codec.latency.decoder_samples
    tokens = tokens_for(any_codec, few(60, 12))
    received = 0
    for i, token in enumerate(tokens):
        received += len(stream.push(np.array([token])))
        assert received == max(0, (i + 1) * any_codec.frame_size - stream.latency)
    assert received + len(stream.flush()) == len(tokens) * any_codec.frame_size


def test_output_does_not_depend_on_later_input(codec: Codec, clip: npt.NDArray[np.float32]) -> None:
    """Changing one sample changes no token that was due before it."""
    cut = 30000
    changed = clip.copy()
    changed[cut:] = 0.0
    due = (cut - codec.latency.encoder_samples) // codec.frame_size + 1
    before, after = codec.encode(clip).tokens, codec.encode(changed).tokens
    np.testing.assert_array_equal(before[:due], after[:due])
    assert (before != after).any()


# ---- many streams, reset, clone, snapshot ----


def test_interleaved_streams(any_codec: Codec, clip: npt.NDArray[np.float32]) -> None:
    half = few(9000, 3000)
    a, b = clip[:half], clip[half : 2 * half][::-1].copy()
    streams = any_codec.encoder(), any_codec.encoder()
    parts: tuple[list[Array], list[Array]] = ([], [])
    for pair in zip(pieces(a, [333]), pieces(b, [333]), strict=True):
        for stream, out, piece in zip(streams, parts, pair, strict=True):
            out.append(stream.push(piece))
    for stream, out, whole in zip(streams, parts, (a, b), strict=True):
        np.testing.assert_array_equal(np.concatenate([*out, stream.flush()]), any_codec.encode(whole).tokens)


def test_interleaved_decoders(any_codec: Codec) -> None:
    tokens = tokens_for(any_codec, 40), tokens_for(any_codec, 80)[40:]
    voices = voice_for(any_codec, 1), voice_for(any_codec, 2)
    streams = [any_codec.decoder(voice, seed=i) for i, voice in enumerate(voices)]
    parts: tuple[list[Array], list[Array]] = ([], [])
    for i in range(0, 40, 5):
        for stream, out, values in zip(streams, parts, tokens, strict=True):
            out.append(stream.push(values[i : i + 5]))
    for i in range(2):
        expected = any_codec.decode(tokens[i], voices[i], seed=i)
        np.testing.assert_array_equal(np.concatenate([*parts[i], streams[i].flush()]), expected)


def test_reset(any_codec: Codec, clip: npt.NDArray[np.float32]) -> None:
    short = clip[:9000]
    encoder = any_codec.encoder()
    encoder.push(clip[20000:33333])
    encoder.reset()
    np.testing.assert_array_equal(run(encoder, short, [1000]), any_codec.encode(short).tokens)
    encoder.reset()  # after flush too
    np.testing.assert_array_equal(run(encoder, short, [1000]), any_codec.encode(short).tokens)

    tokens, voice = tokens_for(any_codec, 40), voice_for(any_codec)
    decoder = any_codec.decoder(voice, seed=3)
    decoder.push(tokens[::-1])
    decoder.reset()
    np.testing.assert_array_equal(run(decoder, tokens, [7]), any_codec.decode(tokens, voice, seed=3))


@pytest.mark.parametrize("cut", [0, 1, 639, 640, 7777])
def test_clone_and_restore_an_encoder(any_codec: Codec, clip: npt.NDArray[np.float32], cut: int) -> None:
    short = clip[:14000]
    original = any_codec.encoder()
    head = original.push(short[:cut])
    copies = [original.clone(), any_codec.restore(original.snapshot()), original]
    copies[0].push(short[:500])  # what one copy does is not seen by the others
    copies[0] = original.clone()
    for stream in copies:
        assert isinstance(stream, EncoderStream)
        tail = [stream.push(short[cut:]), stream.flush()]
        np.testing.assert_array_equal(np.concatenate([head, *tail]), any_codec.encode(short).tokens)


@pytest.mark.parametrize("cut", [0, 1, 3, 37])
def test_clone_and_restore_a_decoder(any_codec: Codec, cut: int) -> None:
    tokens, voice = tokens_for(any_codec, few(60, 12)), voice_for(any_codec)
    expected = any_codec.decode(tokens, voice, seed=11)
    original = any_codec.decoder(voice, seed=11)
    head = original.push(tokens[:cut])
    for stream in (original.clone(), any_codec.restore(original.snapshot()), original):
        assert isinstance(stream, DecoderStream)
        np.testing.assert_array_equal(stream.voice, voice)
        tail = [stream.push(tokens[cut:]), stream.flush()]
        np.testing.assert_array_equal(np.concatenate([head, *tail]), expected)


def test_restore_in_another_codec_object(codec: Codec, clip: npt.NDArray[np.float32]) -> None:
    stream = codec.encoder()
    head = stream.push(clip[:11111])
    restored = Codec.from_pretrained(isa=codec.info["isa"]).restore(stream.snapshot())
    tail = [restored.push(clip[11111:]), restored.flush()]
    np.testing.assert_array_equal(np.concatenate([head, *tail]), codec.encode(clip).tokens)


@pytest.mark.parametrize("make", [Codec.encoder, Codec.decoder])
def test_bad_snapshots(codec: Codec, codec21: Codec, make: Callable[[Codec], EncoderStream | DecoderStream]) -> None:
    snapshot = make(codec).snapshot()
    with pytest.raises(SnapshotError):
        codec21.restore(snapshot)
    for bad in (b"", snapshot[:1], snapshot[:-1], snapshot + b"\0", b"X" + snapshot[1:]):
        with pytest.raises(SnapshotError):
            codec.restore(bad)
    with pytest.raises(TypeError):
        codec.restore("snapshot")  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_corrupt_snapshots_never_crash(codec: Codec, clip: npt.NDArray[np.float32], data: st.DataObject) -> None:
    stream = codec.encoder()
    stream.push(clip[:3000])
    snapshot = bytearray(stream.snapshot())
    for _ in range(data.draw(st.integers(1, 4))):
        snapshot[data.draw(st.integers(0, min(len(snapshot) - 1, 4096)))] = data.draw(st.integers(0, 255))
    try:
        restored = codec.restore(bytes(snapshot))
    except SnapshotError:
        return
    if isinstance(restored, EncoderStream):
        tokens = run(restored, clip[:3000], [800])
        assert np.isin(tokens, np.arange(codec.cardinality)).all()


# ---- voice, seed, state ----


def test_a_new_voice_takes_effect_at_the_next_token(any_codec: Codec) -> None:
    tokens = tokens_for(any_codec, 60)
    first, second = voice_for(any_codec, 1), voice_for(any_codec, 2)
    results = []
    for sizes in ([1], [30], [7, 3]):
        stream = any_codec.decoder(first, seed=1)
        head = [stream.push(piece) for piece in pieces(tokens[:30], sizes)]
        stream.voice = second
        np.testing.assert_array_equal(stream.voice, second)
        results.append(np.concatenate([*head, *(stream.push(p) for p in pieces(tokens[30:], sizes)), stream.flush()]))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    unchanged = any_codec.decode(tokens, first, seed=1)
    settled = 30 * any_codec.frame_size - any_codec.latency.decoder_samples
    window = 1024  # of the vocoder: a frame reaches back this far
    np.testing.assert_array_equal(results[0][: settled - window], unchanged[: settled - window])
    assert (results[0][30 * any_codec.frame_size :] != unchanged[30 * any_codec.frame_size :]).any()


def test_hift_noise_is_fixed_by_the_seed(published_86: Codec) -> None:
    tokens, voice = tokens_for(published_86, 40), voice_for(published_86)
    first = published_86.decode(tokens, voice, seed=1)
    np.testing.assert_array_equal(published_86.decode(tokens, voice, seed=1), first)
    assert (published_86.decode(tokens, voice, seed=2) != first).any()
    silent = published_86.decode(tokens, voice, seed=None)
    mel = published_86.stages.decode_tokens(tokens, voice)
    np.testing.assert_array_equal(published_86.stages.vocode(mel), silent)
    np.testing.assert_array_equal(published_86.stages.vocode(mel, seed=1), first)


def test_calls_after_flush(codec: Codec, clip: npt.NDArray[np.float32]) -> None:
    encoder, decoder = codec.encoder(), codec.decoder()
    encoder.flush()
    decoder.flush()
    with pytest.raises(RuntimeError):
        encoder.push(clip)
    with pytest.raises(RuntimeError):
        decoder.push(np.array([1]))
    with pytest.raises(RuntimeError):
        encoder.flush()
    encoder.reset()
    assert len(encoder.push(clip)) > 0


@pytest.mark.parametrize("rate", [16000, 22050])
def test_calls_after_flush_at_any_rate(codec: Codec, clip: npt.NDArray[np.float32], rate: int) -> None:
    expected = codec.encode(clip, rate).tokens
    encoder = codec.encoder(rate)
    np.testing.assert_array_equal(run(encoder, clip, [5000]), expected)
    for call in (lambda: encoder.push(clip), lambda: encoder.push(clip[:3]), encoder.flush):
        with pytest.raises(RuntimeError, match="the stream was flushed: reset it"):
            call()
    encoder.reset()
    np.testing.assert_array_equal(run(encoder, clip, [5000]), expected)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize("value", [2e6, -2e6, np.nan])
def test_a_push_of_bad_samples_consumes_nothing(
    codec: Codec, clip: npt.NDArray[np.float32], rate: int, value: float
) -> None:
    expected = codec.encode(clip[:20000], rate).tokens
    encoder = codec.encoder(rate)
    head = encoder.push(clip[:5000])
    bad = clip[5000:9000].copy()
    bad[10] = value
    with pytest.raises(ValueError, match=r"pcm\[10\] is"):
        encoder.push(bad)
    tokens = np.concatenate([head, encoder.push(clip[5000:20000]), encoder.flush()])
    np.testing.assert_array_equal(tokens, expected)


@pytest.mark.parametrize("rate", [1000, 8000, 16000, 22050, 44100, 192000])
def test_the_loudest_samples_pass_at_every_rate(codec: Codec, rate: int) -> None:
    signs = np.sign(np.random.default_rng(0).standard_normal(rate // 2)).astype(np.float32)
    assert len(run(codec.encoder(rate), signs * np.float32(1e5), [1000])) > 0


@pytest.mark.parametrize("rate", [16000, 22050])
def test_a_stream_refuses_a_second_thread(codec: Codec, clip: npt.NDArray[np.float32], rate: int) -> None:
    """The refused calls change nothing."""
    expected = codec.encode(clip, rate).tokens
    stream = codec.encoder(rate)
    entered, leave = threading.Event(), threading.Event()
    results: list[Array] = []
    resampler_push = stream._resampler.push

    def slow_push(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        entered.set()
        assert leave.wait(60)
        return resampler_push(values)

    stream._resampler.push = slow_push  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: results.append(stream.push(clip[:30000])))
    thread.start()
    try:
        assert entered.wait(60)
        for call in (lambda: stream.push(clip[:900]), stream.flush, stream.reset):
            with pytest.raises(RuntimeError, match="in use by another thread"):
                call()
    finally:
        leave.set()
        thread.join()
    tokens = np.concatenate([*results, stream.push(clip[30000:]), stream.flush()])
    np.testing.assert_array_equal(tokens, expected)


def test_a_failed_push_consumes_nothing(codec: Codec, clip: npt.NDArray[np.float32]) -> None:
    encoder, decoder = codec.encoder(), codec.decoder(voice_for(codec))
    expected = codec.encode(clip).tokens
    head = encoder.push(clip[:5000])
    bad = clip[5000:6000].copy()
    bad[10] = np.nan
    with pytest.raises(ValueError, match=r"pcm\[10\]"):
        encoder.push(bad)
    tokens = np.concatenate([head, encoder.push(clip[5000:]), encoder.flush()])
    np.testing.assert_array_equal(tokens, expected)
    parts = [decoder.push(tokens[:9])]
    with pytest.raises(ValueError, match=r"tokens\[1\] is 6561"):
        decoder.push(np.array([3, 6561]))
    parts += [decoder.push(tokens[9:]), decoder.flush()]
    np.testing.assert_array_equal(np.concatenate(parts), codec.decode(tokens, voice_for(codec)))


# ---- resampling ----


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_resampling_stream(codec: Codec, rate: int, speech: npt.NDArray[np.float32]) -> None:
    clip = audio.resample(speech[:40000], 22050, rate)
    whole = codec.encode(clip, rate)
    stream = codec.encoder(sample_rate=rate)
    np.testing.assert_array_equal(run(stream, clip, [1, 1000, 37]), whole.tokens)
    stream.reset()
    np.testing.assert_array_equal(run(stream, clip, [4096]), whole.tokens)
    for copying in (stream.clone, stream.snapshot):
        with pytest.raises(UnsupportedError, match="resampl"):
            copying()


def test_int16_is_float_over_32768(codec: Codec, clip: npt.NDArray[np.float32]) -> None:
    pcm = np.round(clip * 32767).astype(np.int16)
    expected = codec.encode(pcm.astype(np.float32) / 32768).tokens
    np.testing.assert_array_equal(run(codec.encoder(), pcm, [777]), expected)
