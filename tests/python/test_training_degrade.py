"""Worse copies of speech: aligned, as long as the original, reproducible, and as bad as they claim."""

import numpy as np
import pytest
from training_corpus import RATE, buzz

from secousti_native.training import degrade as module
from secousti_native.training.degrade import Floats, degrade, generator, speech_level


@pytest.fixture(scope="module")
def speech() -> Floats:
    """Tones with pauses, so that a shift shows."""
    pieces = [np.concatenate([buzz(0.2, hertz, 0.7), np.zeros(2205, np.float32)]) for hertz in (110, 220, 165, 330)]
    return np.concatenate(pieces)


def band(samples: Floats, low: float, high: float) -> float:
    power = np.square(np.abs(np.fft.rfft(samples)))
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(power[(hertz >= low) & (hertz < high)].sum())


@pytest.mark.parametrize("name", list(module.CODECS))
def test_codecs_give_back_something_alike_in_time(speech: Floats, name: str) -> None:
    back = module.codec(speech, RATE, np.random.default_rng(0), name)
    assert back.shape == speech.shape and back.dtype == np.float32 and np.isfinite(back).all()
    narrow = module.filtered(speech, RATE, lambda hz: (hz < 3500).astype(float))
    assert np.corrcoef(back, narrow)[0, 1] > 0.85
    assert np.abs(back - speech).max() > 1e-3  # and lossy
    assert back.std() == pytest.approx(speech.std(), rel=0.25)
    telephone = module.CODECS[name][2] == (8_000,)
    assert (band(back, 4500, 8000) < 0.01 * band(speech, 4500, 8000)) == telephone


def test_too_short_for_a_codec_and_silence_pass() -> None:
    for samples in (np.full(100, 0.5, np.float32), np.zeros(RATE, np.float32)):
        assert np.array_equal(module.codec(samples, RATE, np.random.default_rng(0), "opus"), samples)


def test_noise_lies_where_it_should(speech: Floats) -> None:
    seed = int(np.random.default_rng().integers(2**31))
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    ratios = []
    for _ in range(30):
        added = module.noise(speech, RATE, rng) - speech
        ratios.append(20 * np.log10(speech_level(speech, RATE) / added.std()))
    low, high = module.NOISE_DB
    assert low - 0.5 < min(ratios) < low + 12 and high - 12 < max(ratios) < high + 0.5


def test_pauses_do_not_lower_the_level() -> None:
    tone = buzz(1.0, 200, 0.5)
    padded = np.concatenate([tone, np.zeros(len(tone) - RATE // 5, np.float32)])
    assert speech_level(padded, RATE) == pytest.approx(float(np.sqrt(np.square(tone).mean())), rel=0.02)


def test_rooms_leave_the_direct_sound_and_ring_after_it() -> None:
    click = np.zeros(RATE, np.float32)
    click[1000] = 1.0
    for seed in range(5):
        wet = module.room(click, RATE, np.random.default_rng(seed))
        assert wet[:1000] == pytest.approx(np.zeros(1000), abs=1e-5)
        assert wet[1000] == pytest.approx(1.0, abs=1e-4)
        energy = np.square(wet[1001:].astype(float))
        assert 0.009 < energy.sum() < 1.01  # 0 to 20 dB below the direct sound
        assert energy[: RATE // 5].sum() > 3 * energy[RATE // 5 : 2 * RATE // 5].sum()


def test_limited_bands_lose_what_is_outside() -> None:
    noise = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
    limited = module.band_limit(noise, RATE, np.random.default_rng(1))
    assert band(limited, 0, 20) < 0.01 * band(noise, 0, 20)
    assert band(limited, 1000, 2000) > 0.5 * band(noise, 1000, 2000)


def test_a_microphone_colours_without_delay(speech: Floats) -> None:
    click = np.zeros(RATE, np.float32)
    click[RATE // 2] = 1.0
    response = module.microphone(click, RATE, np.random.default_rng(2))
    assert np.argmax(np.abs(response)) == RATE // 2
    assert np.abs(module.microphone(speech, RATE, np.random.default_rng(2)) - speech).max() > 0.01


def test_copies_are_reproducible_and_differ(speech: Floats) -> None:
    copies = [degrade(speech, RATE, generator("u1", n)) for n in range(1, 9)]
    again = [degrade(speech, RATE, generator("u1", n)) for n in range(1, 9)]
    assert all(np.array_equal(a, b) for a, b in zip(copies, again, strict=True))
    peaks = [20 * np.log10(np.abs(c).max()) for c in copies]
    low, high = module.PEAK_DB
    assert all(c.shape == speech.shape and c.dtype == np.float32 for c in copies)
    assert low - 0.01 <= min(peaks) < -10 and max(peaks) <= high + 0.01
    assert len({round(p, 3) for p in peaks}) == len(peaks)
    other = degrade(speech, RATE, generator("u2", 1))
    assert not np.array_equal(other, copies[0])
    assert not degrade(np.zeros(500, np.float32), RATE, generator("x", 6)).any()
