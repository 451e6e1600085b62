"""Token streams and their files: what goes in comes out, and damage costs no more than it must."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secousti_native import Codec, ContainerError, Encoded, _core

Floats = npt.NDArray[np.float32]
GROUP = 100  # tokens that one damaged spot can cost


def make(tokens: npt.ArrayLike, voice: npt.ArrayLike | None = None, samples: int | None = None) -> Encoded:
    values = np.asarray(tokens, np.int64)
    given_voice = np.zeros(8, np.float32) if voice is None else np.asarray(voice, np.float32)
    return Encoded(
        values, given_voice, len(values) * 256 if samples is None else samples, 0x0123456789ABCDEF, 22050, 256, 6561
    )


def random_tokens(count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, 6561, count)


@pytest.mark.parametrize(
    "tokens",
    [[-1] * 20000 + [5] * 10, [5] * 10 + [-1] * 20000, [5] + [-1] * 20000 + [6]],
    ids=["head", "tail", "middle"],
)
def test_long_losses_come_back(tokens: list[int]) -> None:
    data = make(tokens).to_bytes()
    read = Encoded.from_bytes(data, damaged="keep")
    np.testing.assert_array_equal(read.tokens, tokens)
    assert read.to_bytes() == data


@settings(max_examples=100, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 6560), max_size=700),
    voice=st.lists(st.floats(-1e6, 1e6, width=32), max_size=200),
    spare=st.integers(0, 255),
)
def test_what_goes_in_comes_out(tokens: list[int], voice: list[float], spare: int) -> None:
    original = make(tokens, voice, len(tokens) * 256 + spare)
    data = original.to_bytes()
    read = Encoded.from_bytes(data)
    np.testing.assert_array_equal(read.tokens, tokens)
    assert read.tokens.dtype == np.int64
    assert read.num_samples == len(tokens) * 256 + spare
    assert (read.model_identity, read.sample_rate, read.frame_size, read.cardinality) == (
        original.model_identity,
        22050,
        256,
        6561,
    )
    assert read.notes == ()
    values = np.asarray(voice, np.float32)
    assert read.voice.shape == values.shape
    for start in range(0, len(values), 64):
        block = values[start : start + 64]
        error = np.abs(read.voice[start : start + 64] - block).max()
        assert error <= np.abs(block).max() * (1 / 254 + 1 / 128) + 1e-30  # half a step, and the peak in bfloat16
    assert read.to_bytes() == data  # quantising twice changes nothing


@settings(max_examples=100, deadline=None)
@given(count=st.integers(1, 600), seed=st.integers(0, 1000), data=st.data())
def test_cut_files_give_every_whole_group(count: int, seed: int, data: st.DataObject) -> None:
    tokens = random_tokens(count, seed)
    original = make(tokens)
    whole = original.to_bytes()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        read = Encoded.from_bytes(cut, damaged="keep")
    except ContainerError:
        assert len(cut) < 100  # not even the header and one group
        return
    assert read.notes
    got = read.tokens
    assert len(got) <= count
    intact = got >= 0
    np.testing.assert_array_equal(got[intact], tokens[: len(got)][intact])
    header_and_voice = 44 + 10
    groups = max(0, len(cut) - header_and_voice) // (7 + 160 + 4)
    assert intact.sum() >= min(groups * GROUP, count)


@settings(max_examples=150, deadline=None)
@given(count=st.integers(1, 600), seed=st.integers(0, 1000), data=st.data())
def test_flipped_bits_cost_their_group_at_most(count: int, seed: int, data: st.DataObject) -> None:
    tokens = random_tokens(count, seed)
    damaged = bytearray(make(tokens).to_bytes())
    flips = data.draw(st.integers(1, 3))
    for _ in range(flips):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = Encoded.from_bytes(bytes(damaged), damaged="keep")
    except ContainerError:
        pytest.fail("a few flipped bits must not make a file unreadable")
    got = read.tokens[:count]
    intact = got >= 0
    np.testing.assert_array_equal(got[intact], tokens[: len(got)][intact])
    assert intact.sum() >= count - flips * GROUP
    assert sum(lost for _, lost in read.lost) >= count - intact.sum()
    if intact.sum() < count:
        assert read.notes
        with pytest.raises(ContainerError, match="keep"):
            Encoded.from_bytes(bytes(damaged))


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=2000))
def test_arbitrary_bytes_never_crash(data: bytes) -> None:
    for content in (data, make(random_tokens(150)).to_bytes()[:40] + data, b"\x89SEC\x01" + data):
        try:
            read = Encoded.from_bytes(content, damaged="keep")
        except ContainerError:
            continue
        assert ((read.tokens >= -1) & (read.tokens < max(read.cardinality, 6561))).all()
        repr(read)


def test_bit_rates() -> None:
    encoded = make(random_tokens(1000), np.ones(192))
    assert encoded.duration == pytest.approx(256000 / 22050)
    assert encoded.bit_rate == pytest.approx(1600 * 8 / encoded.duration)  # five tokens are eight bytes
    size = len(encoded.to_bytes())
    assert encoded.bit_rate_with_voice == pytest.approx(8 * size / encoded.duration)
    voice = 192 + 2 * 3
    assert encoded.bit_rate_with_header == pytest.approx(8 * (size - voice) / encoded.duration)
    assert make([]).bit_rate == 0.0


def test_save_and_load(codec: Codec, speech: Floats, tmp_path: Path) -> None:
    encoded = codec.encode(speech[:50001])
    size = encoded.save(tmp_path / "x.sec")
    assert size == (tmp_path / "x.sec").stat().st_size
    loaded = Encoded.load(str(tmp_path / "x.sec"))
    np.testing.assert_array_equal(loaded.tokens, encoded.tokens)
    assert loaded.num_samples == 50001
    assert loaded.model_identity == codec.identity
    assert len(codec.decode(loaded)) == 50001
    assert [p.name for p in tmp_path.iterdir()] == ["x.sec"]


def test_the_stored_voice_is_inaudibly_close(codec: Codec, codec21: Codec, speech: Floats) -> None:
    """The mean difference that eight bits make to the log-mel is far below 0.1 neper, about 0.9 dB."""
    for one in (codec, codec21):
        encoded = one.encode(speech)
        exact = one.stages.decode_tokens(encoded.tokens, encoded.voice)
        stored = one.stages.decode_tokens(encoded.tokens, _core.quantise_voice(encoded.voice))
        difference = np.abs(stored - exact)
        print(f"{one.name}: log-mel changes by {difference.mean():.5f} on average, {difference.max():.4f} at most")
        assert difference.mean() < 0.01
        assert difference.max() < 0.2


def test_concealment(codec: Codec) -> None:
    tokens = random_tokens(400)
    data = bytearray(make(tokens, np.ones(codec.dimension)).to_bytes())
    start = len(data) // 2
    data[start : start + 8] = bytes(8)
    read = Encoded.from_bytes(bytes(data), damaged="keep")
    assert (read.tokens == -1).any()
    concealed = read.concealed(codec)
    np.testing.assert_array_equal(concealed.tokens, read.tokens)  # decoding conceals them
    np.testing.assert_array_equal(
        codec.decode(concealed, check_identity=False), codec.decode(read, check_identity=False)
    )
    assert len(codec.decode(concealed, check_identity=False)) == read.num_samples
    nothing = make([-1, -1])
    with pytest.raises(ValueError, match="intact"):
        nothing.concealed(codec)


def test_a_stream_without_a_voice(codec: Codec) -> None:
    encoded = make(random_tokens(50), [])
    read = Encoded.from_bytes(encoded.to_bytes())
    assert len(read.voice) == 0
    with pytest.raises(ValueError, match="voice"):
        codec.decode(read, check_identity=False)
    assert len(codec.decode(read, np.zeros(codec.dimension, np.float32), check_identity=False)) == 50 * 256


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Encoded.load(tmp_path / "none.sec")
    for content in (b"", b"RIFF", b"hello" * 1000, bytes(500)):
        (tmp_path / "bad.sec").write_bytes(content)
        with pytest.raises(ContainerError, match=r"bad\.sec"):
            Encoded.load(tmp_path / "bad.sec", damaged="keep")
    with pytest.raises(ValueError, match="damaged"):
        Encoded.load(tmp_path / "bad.sec", damaged="maybe")  # type: ignore[arg-type]


def test_bad_contents() -> None:
    with pytest.raises(ValueError, match=r"tokens\[1\] is 6561"):
        make([0, 6561]).to_bytes()
    with pytest.raises(ValueError, match=r"tokens\[0\] is -2"):
        make([-2]).to_bytes()
    with pytest.raises(ValueError, match="voice"):
        make([1], [np.nan]).to_bytes()


def test_a_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.sec"
    make([1, 2, 3]).save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError):
        make([9999]).save(path)
    assert path.read_bytes() == before
    with pytest.raises(OSError):
        make([1]).save(tmp_path)
    with pytest.raises(OSError):
        make([1]).save(path / "below-a-file.sec")
    assert [p.name for p in tmp_path.iterdir()] == ["x.sec"]
