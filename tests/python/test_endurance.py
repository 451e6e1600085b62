"""Long streams in constant memory, and threads that share a model."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from secousti_native import Codec, _core

MINUTES = 15
STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not STATM.exists(), reason="needs /proc")
def test_a_quarter_of_an_hour_in_constant_memory(codec21: Codec, speech: npt.NDArray[np.float32]) -> None:
    """Encoder and decoder side by side; the speech starts over every 14.3 s, so positions pass every table's end."""
    encoder, decoder = codec21.encoder(), codec21.decoder(codec21.voice(speech), look_ahead=1)
    total = MINUTES * 60 * codec21.sample_rate
    pushed = tokens = samples = 0
    baseline = 0
    while pushed < total:
        ready = encoder.push(speech)
        pushed += len(speech)
        tokens += len(ready)
        samples += len(decoder.push(ready))
        if baseline == 0 and pushed > 3 * 60 * codec21.sample_rate:
            baseline = resident_bytes()
    growth = resident_bytes() - baseline
    tokens += len(encoder.flush())
    assert tokens == -(-(pushed // 256) // 4)
    assert samples == (tokens - 1) * codec21.frame_size - decoder.latency
    assert growth < 4 * 2**20, f"{growth / 2**20:.1f} MB more after {MINUTES} minutes than after 3"


def test_many_streams_leave_nothing_behind(codec: Codec, speech: npt.NDArray[np.float32]) -> None:
    if not STATM.exists():
        pytest.skip("needs /proc")

    def once() -> None:
        encoder = codec.encoder(threads=2)
        tokens = encoder.push(speech[:3000])
        encoder.clone().flush()
        codec.restore(encoder.snapshot())
        codec.decoder().push(tokens)

    for _ in range(15):
        once()
    before = resident_bytes()
    for _ in range(60):
        once()
    assert resident_bytes() - before < 8 * 2**20


def test_threads_share_one_model(codec: Codec, speech: npt.NDArray[np.float32]) -> None:
    clips = [speech[start : start + 30000] for start in range(0, 240000, 30000)]
    expected = [codec.encode(clip) for clip in clips]
    sounds = [codec.decode(encoded) for encoded in expected]

    def one(i: int) -> None:
        clip = clips[i % len(clips)]
        encoder = codec.encoder()
        tokens = np.concatenate([*(encoder.push(clip[k : k + 999]) for k in range(0, len(clip), 999)), encoder.flush()])
        np.testing.assert_array_equal(tokens, expected[i % len(clips)].tokens)
        np.testing.assert_array_equal(codec.decode(expected[i % len(clips)]), sounds[i % len(clips)])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(24)))


def test_the_gil_is_released(codec: Codec, speech: npt.NDArray[np.float32]) -> None:
    """While the core works on one long call, another Python thread goes on."""
    mel = codec.stages.mel(np.tile(speech, 4))
    done = threading.Event()
    elapsed = [0.0]

    def work() -> None:
        started = time.perf_counter()
        codec.stages.encode_mel(mel)
        elapsed[0] = time.perf_counter() - started
        done.set()

    thread = threading.Thread(target=work)
    steps = 0
    thread.start()
    while not done.wait(0.001):
        steps += 1
    thread.join()
    assert elapsed[0] > 0.05
    assert steps >= 10


def test_one_stream_in_two_threads_is_refused(codec: Codec, speech: npt.NDArray[np.float32]) -> None:
    core = _core.Encoder(codec._core)
    long = np.tile(speech, 10)
    thread = threading.Thread(target=core.push, args=(long,))
    thread.start()
    refused = 0
    while thread.is_alive():
        try:
            core.snapshot()
        except RuntimeError as error:
            assert "another thread" in str(error)
            refused += 1
            break
    thread.join()
    assert refused == 1


def test_streams_outlive_their_codec(speech: npt.NDArray[np.float32]) -> None:
    encoder = Codec.from_pretrained().encoder()
    core = encoder._core
    del encoder
    assert len(core.push(speech[:5000])) > 0
