"""Whole clips in pieces: the same bits as in one call of the engine, progress, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from secousti_native import Codec, _interrupts

Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def rng() -> np.random.Generator:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def clip_of(speech: Floats, rng: np.random.Generator, least: int = 256, most: int = 12 * 22050) -> Floats:
    length = int(rng.integers(least, most))
    begin = int(rng.integers(0, len(speech) - length + 1))
    return speech[begin : begin + length]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", ["codec", "codec21"])
def test_pieces_give_the_bits_of_one_call(
    request: pytest.FixtureRequest, name: str, threads: int, speech: Floats, rng: np.random.Generator
) -> None:
    codec: Codec = request.getfixturevalue(name).with_threads(threads)
    for seed, look_ahead in ((0, None), (None, 0), (int(rng.integers(2**63)), 3)):
        pcm = clip_of(speech, rng)
        (tokens,), voices = codec._core.encode_clips([pcm], 1, True)
        assert voices is not None
        encoded = codec.encode(pcm)
        assert np.array_equal(encoded.tokens, tokens)
        assert np.array_equal(encoded.voice, voices[0])
        ahead = -1 if look_ahead is None else look_ahead
        (expected,) = codec._core.decode_clips([tokens], voices, seed, ahead, 1)
        assert np.array_equal(codec.decode(encoded.tokens, encoded.voice, seed=seed, look_ahead=look_ahead), expected)


def test_pieces_of_hift(tiny: Callable[[str], Codec], speech: Floats, rng: np.random.Generator) -> None:
    codec = tiny("hift")
    encoded = codec.encode(clip_of(speech, rng, 22050, 4 * 22050))
    tokens = np.asarray(encoded.tokens, np.int32)
    (expected,) = codec._core.decode_clips([tokens], [encoded.voice], 5, -1, 1)
    assert np.array_equal(codec.decode(encoded.tokens, encoded.voice, seed=5), expected)


def test_pieces_however_long_they_are(
    codec: Codec, speech: Floats, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcm = clip_of(speech, rng)
    encoded = codec.encode(pcm)
    decoded = codec.decode(encoded)
    for seconds in (0.0, 1e9):  # every piece as short as the first, every one twice as long as the one before
        monkeypatch.setattr(_interrupts, "PIECE_SECONDS", seconds)
        again = codec.encode(pcm)
        assert np.array_equal(again.tokens, encoded.tokens)
        assert np.array_equal(codec.decode(encoded), decoded)


def test_many_clips_are_what_each_is_alone(codec: Codec, speech: Floats, rng: np.random.Generator) -> None:
    clips = [clip_of(speech, rng, most=3 * 22050) for _ in range(7)]
    alone = [codec.encode(clip) for clip in clips]
    for threads in (1, 3):
        many = codec.with_threads(threads).encode_many(clips)
        for one, other in zip(alone, many, strict=True):
            assert np.array_equal(one.tokens, other.tokens)
            assert np.array_equal(one.voice, other.voice)
        decoded = codec.with_threads(threads).decode_many(many)
        assert all(np.array_equal(codec.decode(a), b) for a, b in zip(alone, decoded, strict=True))
    assert all(len(item.voice) == 0 for item in codec.encode_many(clips, voices=False))
    assert codec.encode_many([]) == codec.decode_many([]) == []


def test_voice_needs_the_middle_only(codec: Codec, speech: Floats, rng: np.random.Generator) -> None:
    hop, prompt = codec.hop_length, codec.info["prompt_frames"]
    lengths = [hop, (prompt + 1) * hop, (prompt + 11) * hop, (prompt + 12) * hop + 7, (prompt + 13) * hop]
    lengths += [int(n) for n in rng.integers(hop, len(speech), 6)]
    for length in lengths:
        pcm = speech[:length]
        assert np.array_equal(codec.voice(pcm), codec._core.voice(codec._core.mel(pcm))), length


@pytest.mark.parametrize("threads", [1, 2])
def test_progress(codec: Codec, speech: Floats, threads: int) -> None:
    shared = codec.with_threads(threads)
    clips = [speech[:100_000], speech[:40_001], speech[:300]]
    total = sum(map(len, clips)) / codec.sample_rate
    told: list[tuple[float, float]] = []

    def note(done: float, of: float) -> None:
        told.append((done, of))

    encoded = shared.encode_many(clips, progress=note)
    assert told[-1] == (pytest.approx(total), pytest.approx(total))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    told.clear()
    shared.decode_many(encoded, progress=note)
    tokens = sum(len(item.tokens) for item in encoded) * codec.frame_size / codec.sample_rate
    assert told[-1] == (pytest.approx(tokens), pytest.approx(tokens))
    told.clear()
    item = codec.encode(speech, progress=note)
    assert len(told) > 3
    assert 0 < told[0][0] < told[1][0] < told[-1][0] == pytest.approx(len(speech) / codec.sample_rate)
    told.clear()
    codec.decode(item, progress=note)
    assert len(told) > 3


@pytest.mark.parametrize("threads", [1, 2])
def test_what_progress_raises_ends_the_call(codec: Codec, speech: Floats, threads: int) -> None:
    class Enough(Exception):
        pass

    def stop(done: float, total: float) -> None:
        raise Enough

    shared, before = codec.with_threads(threads), threading.active_count()
    encoded = codec.encode(speech[:30_000])
    with pytest.raises(Enough):
        shared.encode_many([np.tile(speech, 20)] * 3, progress=stop)
    with pytest.raises(Enough):
        shared.decode_many([encoded] * 3, progress=stop)
    assert np.array_equal(shared.encode(speech[:30_000]).tokens, encoded.tokens)
    assert threading.active_count() == before


@pytest.mark.parametrize("many", [False, True])
def test_ctrl_c_ends_a_long_call(codec: Codec, speech: Floats, many: bool) -> None:
    # Half an hour of audio: far more work than the test may take.
    long = np.tile(speech, 140)
    tokens = np.tile(codec.encode(speech).tokens, 140)
    voice = codec.voice(speech)
    shared = codec.with_threads(2)
    calls: list[Callable[[], Any]] = [
        (lambda: shared.encode_many([long] * 4)) if many else (lambda: codec.encode(long)),
        (lambda: shared.decode_many([tokens] * 4, [voice] * 4)) if many else (lambda: codec.decode(tokens, voice)),
    ]
    for call in calls:
        sent: list[float] = []

        def interrupt(sent: list[float] = sent) -> None:
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.5, interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            call()
        waited = time.monotonic() - sent[0]
        print(f"{waited:.3f} s")
        assert waited < 5.0  # half a second on a machine that does nothing else
    expected = codec.encode(speech[:30_000])
    assert np.array_equal(shared.encode(speech[:30_000]).tokens, expected.tokens)
