"""Lost tokens and growing voices, from Python; and the losses that docs/measured/packet_loss.md is measured with."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from scripts import load_script
from secousti_native import Codec

Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return load_script("bench/quality/packet_loss.py")


def test_none_is_one_lost_token(codec: Codec, speech: Floats) -> None:
    encoded = codec.encode(speech)
    first, second = codec.decoder(encoded.voice), codec.decoder(encoded.voice)
    head, tail = encoded.tokens[:100], encoded.tokens[105:150]
    one = [first.push(head), *(first.push(None) for _ in range(5)), first.push(tail), first.flush()]
    other = [second.push(head), second.conceal(5), second.conceal(0), second.push(tail), second.flush()]
    assert np.array_equal(np.concatenate(one), np.concatenate(other))
    assert sum(map(len, one)) == 150 * codec.frame_size


def test_concealed_speech_is_nearer_to_what_was_said_than_silence(codec: Codec, speech: Floats) -> None:
    encoded = codec.encode(speech)
    clean = codec.stages.decode_tokens(encoded.tokens, encoded.voice)
    stream = codec.decoder(encoded.voice)
    loud = int(np.argmax(clean.mean(axis=1)[50:-20])) + 50  # in the middle of a syllable
    stream.push_to_mel(encoded.tokens[:loud])
    lost = stream.conceal_to_mel(4)
    assert lost.shape == (4, clean.shape[1])
    floor = np.float32(np.log(1e-5))
    truth = clean[loud : loud + 4]
    assert np.abs(lost - truth).mean() < 0.3 * np.abs(floor - truth).mean()


def test_a_long_loss_fades_and_speech_comes_back(codec: Codec, speech: Floats) -> None:
    encoded = codec.encode(speech)
    stream = codec.decoder(encoded.voice)
    half = len(encoded.tokens) // 2
    before = stream.push_to_mel(encoded.tokens[:half])
    lost = stream.conceal_to_mel(200)
    after = stream.push_to_mel(encoded.tokens[half:])
    loudness = np.exp(before).sum(axis=1).mean()
    assert np.exp(lost[100:]).sum(axis=1).max() < 0.1 * loudness
    assert np.exp(after).sum(axis=1).mean() > 0.3 * loudness


@pytest.mark.parametrize("count", [-1, 2**31])
def test_impossible_numbers_of_lost_tokens_are_refused(codec: Codec, count: int) -> None:
    with pytest.raises(ValueError, match="count"):
        codec.decoder().conceal(count)
    with pytest.raises(TypeError, match="count"):
        codec.decoder().conceal(1.5)  # type: ignore[arg-type]


def test_voice_estimator_comes_to_the_voice_of_the_prompt(codec: Codec, speech: Floats) -> None:
    estimator = codec.voice_estimator()
    assert not np.asarray(estimator.voice).any()
    whole = np.asarray(codec.encode(speech).voice)
    nearness, heard = [], []
    for begin in range(0, len(speech), 441):
        if estimator.push(speech[begin : begin + 441]):
            g = estimator.voice
            nearness.append(float(g @ whole / np.linalg.norm(g) / np.linalg.norm(whole)))
            heard.append(estimator.seconds)
    assert len(nearness) >= 3
    assert heard[0] == pytest.approx(50 * 256 / 22050, abs=0.02)
    assert nearness[-1] > 0.7
    stored = codec.voice_estimator(whole, stored_seconds=10)
    assert np.array_equal(stored.voice, whole)
    with pytest.raises(ValueError, match="stored_seconds"):
        codec.voice_estimator(stored_seconds=-1)
    with pytest.raises(ValueError, match="voice"):
        codec.voice_estimator(np.zeros(3, np.float32))


@pytest.mark.parametrize(("rate", "burst"), [(0.05, 1), (0.2, 1), (0.1, 3), (0.2, 3)])
def test_losses_have_the_rate_and_the_bursts_that_were_asked_for(bench: ModuleType, rate: float, burst: int) -> None:
    lost = bench.losses(200_000, rate, burst, np.random.default_rng(0))
    assert float(lost.mean()) == pytest.approx(rate, rel=0.05)
    edges = np.diff(np.concatenate([[False], lost, [False]]).astype(int))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    assert float(lengths.mean()) == pytest.approx(1 / (1 - rate) if burst == 1 else burst, rel=0.05)


def test_redundancy_leaves_the_packets_whose_successor_is_lost_too(bench: ModuleType) -> None:
    lost = np.array([False, True, False, True, True, False, True])
    assert bench.with_redundancy(lost).tolist() == [False, False, False, True, False, False, True]
