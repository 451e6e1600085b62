"""Groups: a slot gives what a stream of its own gives, bit for bit, whoever joins and leaves beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from secousti_native import Codec, SnapshotError, UnsupportedError
from secousti_native.groups import INACTIVE, LOST

Floats = npt.NDArray[np.float32]


def voices(codec: Codec, count: int) -> Floats:
    return np.random.default_rng(1).standard_normal((count, codec.dimension)).astype(np.float32) * 0.3


def frames_of(codec: Codec, speech: Floats, slots: int, steps: int) -> Floats:
    """[steps, slots, frame_size]: each slot hears another part of the speech."""
    size = codec.frame_size
    starts = [slot * 9001 % (len(speech) - steps * size) for slot in range(slots)]
    return np.stack([speech[s : s + steps * size].reshape(steps, size) for s in starts], axis=1)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("model", ["default", "default-21"])
def test_slots_are_single_streams(model: str, precision: str, speech: Floats) -> None:
    codec = Codec.from_pretrained(model, precision=precision)
    slots, steps = 5, 30
    generator = np.random.default_rng(7)
    encoders, decoders = codec.encoder_group(slots), codec.decoder_group(slots, threads=2)
    voice = voices(codec, slots)
    singles = [(codec.encoder(), codec.decoder(voice[i], seed=i)) for i in range(slots)]
    for i in range(slots):
        decoders.start(i, voice[i], seed=i)
        assert np.array_equal(decoders.voice(i), voice[i])
    for pcm in frames_of(codec, speech, slots, steps):
        active = generator.random(slots) < 0.8
        tokens = encoders.step(pcm, active)
        audio, samples = decoders.step(tokens)
        assert tokens.dtype == samples.dtype == np.int64
        assert audio.shape == (slots, codec.frame_size)
        for i, (encoder, decoder) in enumerate(singles):
            expected = encoder.push(pcm[i]) if active[i] else []
            assert list(expected) == [t for t in [tokens[i]] if t != INACTIVE]
            out = decoder.push(np.asarray(expected, np.int64))
            assert np.array_equal(audio[i, : samples[i]], out)
            assert not audio[i, samples[i] :].any()
    for i, (encoder, decoder) in enumerate(singles):
        assert np.array_equal(encoders.flush(i), encoder.flush())
        assert np.array_equal(decoders.flush(i), decoder.flush())


def test_to_mel_with_lost_tokens(published_21_or_default: Codec) -> None:
    codec = published_21_or_default
    group, voice = codec.decoder_group(3), voices(codec, 3)
    singles = [codec.decoder(voice[i]) for i in range(3)]
    for i in range(3):
        group.set_voice(i, voice[i])
    for tokens in ([5, INACTIVE, 7], [LOST, 3, 100], [9, LOST, LOST], [11, 12, INACTIVE]):
        mel = group.step_to_mel(np.array(tokens))
        for i, (single, token) in enumerate(zip(singles, tokens, strict=True)):
            if token == INACTIVE:
                assert not mel[i].any()
                continue
            expected = single.conceal_to_mel(1) if token == LOST else single.push_to_mel(np.array([token]))
            assert np.array_equal(mel[i], expected)


@pytest.fixture(params=["default-21", "21_5_hz"])
def published_21_or_default(request: pytest.FixtureRequest) -> Codec:
    if request.param == "default-21":
        return Codec.from_pretrained("default-21", precision="int8")
    path: Path = request.getfixturevalue("published")(request.param)
    return Codec.from_pretrained(path, precision="bf16")


def test_snapshots_move_between_streams_and_groups(codec: Codec, speech: Floats) -> None:
    pcm = speech[: codec.frame_size * 40].reshape(40, -1)
    expected = codec.encoder().push(pcm.reshape(-1))
    single = codec.encoder()
    tokens = list(single.push(pcm[:10].reshape(-1)))
    group = codec.encoder_group(2)
    group.restore(1, single.snapshot())
    only_second = np.array([False, True])
    for block in pcm[10:25]:
        tokens.append(group.step(np.stack([block, block]), only_second)[1])
    other = codec.restore(group.snapshot(1))
    tokens += list(other.push(pcm[25:].reshape(-1)))
    assert np.array_equal(tokens, expected)
    with pytest.raises(SnapshotError, match="taken of a decoder; each slot here is an encoder"):
        group.restore(0, codec.decoder().snapshot())
    with pytest.raises(SnapshotError, match="not a secousti snapshot"):
        group.restore(0, b"X" + single.snapshot())
    with pytest.raises(TypeError, match="expected bytes"):
        group.restore(0, "E")  # type: ignore[arg-type]
    with pytest.raises(SnapshotError, match="damaged"):
        group.restore(0, single.snapshot()[:-1] + b"\xff")


def test_kinds_of_arrays(codec: Codec, speech: Floats) -> None:
    torch = pytest.importorskip("torch")
    pcm = frames_of(codec, speech, 2, 1)[0]
    as_int16 = np.round(pcm * 32768).clip(-32768, 32767).astype(np.int16)
    exact = as_int16.astype(np.float32) / 32768
    groups = [codec.encoder_group(2) for _ in range(3)]
    for _ in range(4):
        tokens = [groups[0].step(exact), groups[1].step(as_int16), groups[2].step(torch.from_numpy(exact))]
        assert torch.is_tensor(tokens[2])
        assert np.array_equal(tokens[0], tokens[1])
        assert np.array_equal(tokens[0], tokens[2].numpy())


def test_reset_takes_some_or_all(codec: Codec, speech: Floats) -> None:
    group = codec.encoder_group(2)
    steps = frames_of(codec, speech, 2, 8)
    first = [group.step(pcm) for pcm in steps]
    group.reset(np.array([True, False]))
    again = [group.step(pcm) for pcm in steps]
    assert np.array_equal([t[0] for t in first], [t[0] for t in again])
    assert again[0][1] != INACTIVE  # the other slot goes on
    group.reset()
    assert np.array_equal(first, [group.step(pcm) for pcm in steps])


def test_memory_is_that_of_slots(codec: Codec) -> None:
    small, large = codec.encoder_group(2).memory_bytes, codec.encoder_group(12).memory_bytes
    state = len(codec.encoder().snapshot())
    assert 10 * state * 0.99 < large - small < 10 * state * 1.1
    assert state < codec.encoder().memory_bytes


def test_errors_name_what_is_wrong(codec: Codec) -> None:
    with pytest.raises(ValueError, match="capacity is 0"):
        codec.encoder_group(0)
    with pytest.raises(ValueError, match="device is 'tpu'"):
        codec.decoder_group(2, device="tpu")
    with pytest.raises(UnsupportedError, match="look_ahead"):
        codec.decoder_group(2, look_ahead=4)
    encoders, decoders = codec.encoder_group(2), codec.decoder_group(2)
    size = codec.frame_size
    with pytest.raises(ValueError, match=rf"pcm: expected shape \[2, {size}\], got \[2, 7\]"):
        encoders.step(np.zeros((2, 7), np.float32))
    with pytest.raises(ValueError, match=r"active: expected bool \[2\], got int64 \[2\]"):
        encoders.step(np.zeros((2, size), np.float32), np.array([1, 0]))
    with pytest.raises(ValueError, match=r"pcm\[1\]\[3\] is nan"):
        encoders.step(np.where(np.arange(2 * size) == size + 3, np.nan, 0).reshape(2, size))
    with pytest.raises(ValueError, match=r"tokens\[1\] is -7"):
        decoders.step(np.array([0, -7]))
    with pytest.raises(ValueError, match=r"tokens: expected integers \[2\], got float64 \[2\]"):
        decoders.step(np.zeros(2))
    with pytest.raises(ValueError, match=r"tokens\[0\] is 2147483647"):
        decoders.step(np.array([2**40, 0]))
    with pytest.raises(ValueError, match="slot is 2, expected 0 to 1"):
        encoders.flush(2)
    decoders.flush(0)
    with pytest.raises(RuntimeError, match="slot 0 was flushed"):
        decoders.step(np.array([0, INACTIVE]))
    decoders.step(np.array([INACTIVE, 0]))


@pytest.mark.parametrize("model", ["default", "default-21"])
def test_several_steps_are_single_steps(model: str, speech: Floats) -> None:
    codec = Codec.from_pretrained(model)
    slots, calls, n = 3, 6, 4
    single, several = codec.encoder_group(slots), codec.encoder_group(slots, max_steps=n)
    decoders, batched = codec.decoder_group(slots), codec.decoder_group(slots, max_steps=n)
    to_mel, from_mel = codec.decoder_group(slots, max_steps=n), codec.decoder_group(slots, max_steps=n)
    frames = frames_of(codec, speech, slots, calls * n).reshape(calls, n, slots, codec.frame_size)
    active = np.array([True, False, True])
    for call in frames:
        tokens = several.steps(np.concatenate(list(call), axis=1), active)
        assert tokens.shape == (slots, n)
        assert np.array_equal(tokens, np.stack([single.step(pcm, active) for pcm in call], axis=1))
        if (tokens[active] < 0).any():
            continue  # the first tokens come late
        tokens[0, 1] = LOST
        audio, samples = batched.steps(tokens)
        mel = to_mel.steps_to_mel(tokens)
        again, counts = from_mel.step_from_mel(mel, active)
        assert audio.shape == (slots, n * codec.frame_size)
        assert np.array_equal(audio, again)
        assert np.array_equal(samples, counts)
        ones = [decoders.step(column) for column in tokens.T]
        for slot in range(slots):
            alone = np.concatenate([pcm[slot, : count[slot]] for pcm, count in ones])
            assert np.array_equal(audio[slot, : samples[slot]], alone)
    with pytest.raises(ValueError, match="count is 5, expected 1 to 4"):
        several.steps(np.zeros((slots, 5 * codec.frame_size), np.float32))
    with pytest.raises(ValueError, match="pcm: expected shape"):
        several.steps(np.zeros((slots, codec.frame_size - 1), np.float32))
    with pytest.raises(ValueError, match="active in all steps"):
        batched.steps(np.array([[1, INACTIVE], [0, 0], [0, 0]]))
    with pytest.raises(ValueError, match="tokens: expected integers"):
        batched.steps(np.zeros(slots, np.int64))
    with pytest.raises(ValueError, match="frames is"):
        from_mel.step_from_mel(np.zeros((slots, 65, codec.info["n_mels"]), np.float32))
