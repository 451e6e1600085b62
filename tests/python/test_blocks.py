"""Inputs that come piece by piece: iterators of clips, generators of blocks, event loops; batches with padding."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from secousti_native import Codec

Floats = npt.NDArray[np.float32]


def cut(pcm: npt.NDArray[Any], rng: np.random.Generator, parts: int) -> list[npt.NDArray[Any]]:
    """Blocks of random lengths, some of them empty."""
    return np.split(pcm, np.sort(rng.integers(0, len(pcm) + 1, parts - 1)))


@pytest.fixture
def rng() -> np.random.Generator:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print("seed", seed)
    return np.random.default_rng(seed)


# ---- iterators of clips ----


def test_iterators_of_clips(codec: Codec, speech: Floats) -> None:
    clips = [speech[i * 3000 : i * 3000 + 2000 + 17 * i] for i in range(40)]  # more than are taken at a time
    told: list[tuple[float, float]] = []
    found = codec.encode_many((clip for clip in clips), progress=lambda *seconds: told.append(seconds))
    assert found == codec.encode_many(clips)
    assert told == sorted(told)
    assert told[-1][0] == pytest.approx(told[-1][1])
    decoded = codec.decode_many(iter(found))
    assert all(np.array_equal(a, b) for a, b in zip(decoded, codec.decode_many(found), strict=True))
    bare = codec.decode_many((e.tokens for e in found), (e.voice for e in found))
    assert all(np.array_equal(a[: len(b)], b[: len(a)]) for a, b in zip(bare, decoded, strict=True))
    assert codec.encode_many(iter([])) == []


def test_clips_of_an_iterator_are_let_go(codec: Codec, speech: Floats) -> None:
    alive: list[weakref.ref[Any]] = []

    def clips() -> Iterator[Floats]:
        for i in range(48):
            clip = speech[i * 256 : i * 256 + 512].copy()
            alive.append(weakref.ref(clip))
            yield clip
            del clip
            gc.collect()
            assert sum(ref() is not None for ref in alive) <= 17  # of a wave, and the next one's first

    assert len(codec.encode_many(clips())) == 48


def test_faults_in_iterators_are_named(codec: Codec, speech: Floats) -> None:
    with pytest.raises(ValueError, match=r"clip 1: audio: is empty"):
        codec.encode_many(iter([speech[:2000], speech[:0]]))
    encoded = codec.encode(speech[:4000])
    tokens, voice = encoded.tokens, encoded.voice
    with pytest.raises(ValueError, match="1 voices for more clips"):
        codec.decode_many(iter([tokens, tokens]), iter([voice]))
    with pytest.raises(ValueError, match="more voices than the 1 clips"):
        codec.decode_many(iter([tokens]), iter([voice, voice]))
    with pytest.raises(ValueError, match="2 voices for 1 clips"):
        codec.decode_many([tokens], [voice, voice])


# ---- blocks ----


@pytest.mark.parametrize("rate", [None, 16000])
def test_generators_give_what_whole_calls_give(
    codec: Codec, speech: Floats, rng: np.random.Generator, rate: int | None
) -> None:
    pcm = speech[:66150]
    whole = codec.encode(pcm, rate)
    parts = list(codec.encode_stream(iter(cut(pcm, rng, 9)), rate))
    assert all(len(part) for part in parts)
    assert np.array_equal(np.concatenate(parts), whole.tokens)
    audio = np.concatenate(list(codec.decode_stream(cut(whole.tokens, rng, 7), whole.voice, seed=5)))
    assert np.array_equal(audio, codec.decode(whole.tokens, whole.voice, seed=5))


def test_generators_work_as_blocks_come(codec: Codec, speech: Floats) -> None:
    taken = 0

    def blocks() -> Iterator[Floats]:
        nonlocal taken
        for i in range(100):
            taken = i + 1
            yield speech[i * 2205 : (i + 1) * 2205]

    tokens = codec.encode_stream(blocks())
    assert taken == 0
    assert len(next(tokens)) > 0
    assert taken < 5
    audio = codec.decode_stream(tokens)
    assert len(next(audio)) > 0
    assert taken < 20


def test_lost_blocks_are_concealed(codec: Codec, speech: Floats) -> None:
    encoded = codec.encode(speech[:22050])
    stream = codec.decoder(encoded.voice)
    expected = np.concatenate([stream.push(encoded.tokens[:40]), stream.conceal(1), stream.flush()])
    found = np.concatenate(list(codec.decode_stream([encoded.tokens[:40], None], encoded.voice)))
    assert np.array_equal(found, expected)


def test_generators_check_their_arguments_at_once(codec: Codec) -> None:
    with pytest.raises(ValueError, match="sample_rate"):
        codec.encode_stream([], 0)
    with pytest.raises(ValueError, match="voice"):
        codec.decode_stream([], np.zeros(3, np.float32))
    with pytest.raises(TypeError, match="sample_rate"):
        codec.encode_stream_async([], "fast")  # type: ignore[arg-type]


# ---- event loops ----


async def slowly(blocks: list[npt.NDArray[Any]]) -> AsyncIterator[npt.NDArray[Any]]:
    for block in blocks:
        await asyncio.sleep(0)
        yield block


def test_async_generators(codec: Codec, speech: Floats, rng: np.random.Generator) -> None:
    pcm = speech[:66150]
    whole = codec.encode(pcm)

    async def run() -> tuple[list[Any], list[Any], list[Any]]:
        tokens = [part async for part in codec.encode_stream_async(slowly(cut(pcm, rng, 8)))]
        plain = [part async for part in codec.encode_stream_async(cut(pcm, rng, 8))]
        audio = [part async for part in codec.decode_stream_async(slowly(cut(whole.tokens, rng, 6)), whole.voice)]
        return tokens, plain, audio

    tokens, plain, audio = asyncio.run(run())
    assert np.array_equal(np.concatenate(tokens), whole.tokens)
    assert np.array_equal(np.concatenate(plain), whole.tokens)
    assert np.array_equal(np.concatenate(audio), codec.decode(whole.tokens, whole.voice))


def test_the_loop_goes_on(codec: Codec, speech: Floats) -> None:
    async def run() -> int:
        ticks, done = 0, False

        async def tick() -> None:
            nonlocal ticks
            while not done:
                ticks += 1
                await asyncio.sleep(0.001)

        other = asyncio.create_task(tick())
        async for _ in codec.encode_stream_async([np.tile(speech, 2)]):
            pass
        done = True
        await other
        return ticks

    assert asyncio.run(run()) > 10


def test_cancelled_work_ends_soon_and_spoils_nothing(codec: Codec, speech: Floats) -> None:
    async def run() -> float:
        async def forever() -> AsyncIterator[Floats]:
            while True:
                yield speech[:22050]

        async def consume() -> None:
            async for _ in codec.encode_stream_async(forever()):
                pass

        task = asyncio.create_task(consume())
        await asyncio.sleep(0.3)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - started

    before = codec.encode(speech[:22050])
    assert asyncio.run(run()) < 5  # one push of a second of audio, on a busy machine
    assert codec.encode(speech[:22050]) == before


def test_errors_come_out_of_async_generators(codec: Codec) -> None:
    async def run() -> None:
        async for _ in codec.encode_stream_async([np.full(300, np.nan, np.float32)]):
            pass

    with pytest.raises(ValueError, match=r"pcm\[0\] is nan"):
        asyncio.run(run())


# ---- batches as Mimi takes them ----


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_padded_clips_are_clips_alone(
    codec: Codec, speech: Floats, rng: np.random.Generator, side: str, ndim: int
) -> None:
    lengths = [*rng.integers(codec.hop_length, 20000, 3).tolist(), 20000]
    audio, mask = np.zeros((4, 1, 20000), np.float32), np.zeros((4, 1, 20000), np.int64)
    clips = [speech[5000 * i : 5000 * i + n] for i, n in enumerate(lengths)]
    for row, ones, clip in zip(audio, mask, clips, strict=True):
        place = slice(0, len(clip)) if side == "right" else slice(20000 - len(clip), None)
        row[0, place], ones[0, place] = clip, 1
    batch = codec.encode_batch(audio, padding_mask=mask if ndim == 3 else mask[:, 0].astype(bool))
    alone = [codec.encode(clip) for clip in clips]
    assert list(batch) == alone
    assert batch.num_tokens == tuple(len(encoded) for encoded in alone)
    assert batch.num_samples == 20000
    assert batch.tokens.shape == (4, 1, max(batch.num_tokens))
    for row, encoded in zip(batch.tokens, alone, strict=True):
        assert np.array_equal(row[0, : len(encoded)], encoded.tokens)
        assert not row[0, len(encoded) :].any()
    decoded = codec.decode_batch(batch)
    assert decoded.shape == (4, 1, 20000)
    for row, encoded in zip(decoded, alone, strict=True):
        assert np.array_equal(row[0, : encoded.num_samples], codec.decode(encoded))
        assert not row[0, encoded.num_samples :].any()


def test_padded_torch_batches(codec: Codec, speech: Floats) -> None:
    torch = pytest.importorskip("torch")
    audio, mask = torch.zeros(2, 1, 8000), torch.zeros(2, 8000, dtype=torch.bool)
    audio[0, 0], audio[1, 0, :5000] = torch.from_numpy(speech[:8000].copy()), torch.from_numpy(speech[:5000].copy())
    mask[0], mask[1, :5000] = True, True
    batch = codec.encode_batch(audio, padding_mask=mask)
    assert isinstance(batch.tokens, torch.Tensor)
    assert batch[1] == codec.encode(speech[:5000])
    assert isinstance(codec.decode_batch(batch), torch.Tensor)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones((2, 999)), "expected shape"),
        (np.ones(1000), "expected shape"),
        (np.full((2, 1000), 2), "ones for audio"),
        (np.full((2, 1000), np.nan), "ones for audio"),
        (np.arange(2000).reshape(2, 1000) < 1000, r"padding_mask\[1\]: all of the clip"),
        (np.tile(np.arange(1000) % 500 < 400, (2, 1)), r"padding_mask\[0\]: padding within"),
    ],
)
def test_faulty_masks(codec: Codec, mask: npt.NDArray[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        codec.encode_batch(np.zeros((2, 1, 1000), np.float32), padding_mask=mask)
