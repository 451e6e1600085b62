"""Microphones, rooms and codecs: what may happen to speech before anyone records it.

A corpus of a few good microphones teaches a codec those microphones. `prepare` keeps worse copies of each utterance
beside the clean one; encoder and decoder side hear the same copy, since a codec must give back what it was given.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

Floats = npt.NDArray[np.float32]

NOISE_DB = (15.0, 40.0)  # of the noise floor below the speech
PEAK_DB = (-40.0, 0.0)  # full scale of the finished copy
DECAY = (0.1, 0.7)  # seconds in which a room falls silent by 60 dB
TILT_DB = 6.0  # deviation of each point of a microphone's response
BAND_HZ = ((50.0, 400.0), (2500.0, 8000.0))  # edges of limited bands
REACH = 2400  # samples by which a codec may delay
_POINTS_PER_DECADE = 3
# Format, subtype, rates and compression levels that libsndfile knows; telephone codecs go at 8 kHz.
CODECS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "mp3": ("MP3", "MPEG_LAYER_III", (16_000, 22_050)),
    "vorbis": ("OGG", "VORBIS", (16_000, 22_050)),
    "opus": ("OGG", "OPUS", (16_000, 24_000)),
    "gsm": ("WAV", "GSM610", (8_000,)),
    "ulaw": ("WAV", "ULAW", (8_000,)),
    "alaw": ("WAV", "ALAW", (8_000,)),
}


def generator(identity: str, copy: int) -> np.random.Generator:
    """The same draws for the same copy of the same utterance, whatever else a corpus holds."""
    digest = hashlib.sha256(f"{identity}/{copy}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def degrade(samples: Floats, rate: int, rng: np.random.Generator) -> Floats:
    """A copy of ``samples`` as another microphone, in another room, through another channel would have given it.

    ``samples`` must not be empty. A microphone's response always; a room, a noise floor, a limited band and a codec
    each for a share of the copies; at last a level within `PEAK_DB`. As long as the input and in time with it.
    """
    steps: list[tuple[float, Callable[[Floats, int, np.random.Generator], Floats]]] = [
        (0.4, room),
        (1.0, microphone),
        (0.5, noise),
        (0.2, band_limit),
        (0.35, codec),
    ]
    for chance, step in steps:
        if rng.random() < chance:
            samples = step(samples, rate, rng)
    peak = float(np.abs(samples).max(initial=0.0))
    wanted = 10 ** (rng.uniform(*PEAK_DB) / 20)
    return np.asarray(samples * (wanted / peak), np.float32) if peak > 0 else samples


def filtered(samples: Floats, rate: int, gain: Callable[[Any], npt.NDArray[Any]]) -> Floats:
    """``samples`` through a filter without delay; ``gain`` gives its magnitude at frequencies in Hz."""
    size = 2 ** math.ceil(math.log2(len(samples) + rate // 10))
    spectrum = np.fft.rfft(samples, size) * gain(np.fft.rfftfreq(size, 1 / rate))
    return np.asarray(np.fft.irfft(spectrum, size)[: len(samples)], np.float32)


def microphone(samples: Floats, rate: int, rng: np.random.Generator) -> Floats:
    """A response that wanders between random gains, three a decade."""
    points = np.geomspace(50.0, rate / 2, max(2, round(_POINTS_PER_DECADE * math.log10(rate / 100))))
    gains = rng.normal(0, TILT_DB, len(points))
    gains -= gains.mean()
    return filtered(
        samples, rate, lambda hz: 10 ** (np.interp(np.log(np.maximum(hz, 1.0)), np.log(points), gains) / 20)
    )


def band_limit(samples: Floats, rate: int, rng: np.random.Generator) -> Floats:
    """Loses what lies below and above two random frequencies, 24 dB an octave."""
    low, high = (float(np.exp(rng.uniform(*np.log(edge)))) for edge in BAND_HZ)

    def gain(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        at = np.maximum(hz, 1.0)
        return np.asarray(1 / np.sqrt((1 + (low / at) ** 8) * (1 + (at / high) ** 8)))

    return filtered(samples, rate, gain)


def room(samples: Floats, rate: int, rng: np.random.Generator) -> Floats:
    """The direct sound, and behind it noise that decays: faster at high frequencies, and 0 to 20 dB weaker."""
    decay = rng.uniform(*DECAY)
    length = round(rate * min(decay, 0.5))
    time = np.arange(length) / rate
    tail = rng.standard_normal(length) * 10 ** (-3 * time / decay)
    tail[: round(rate * rng.uniform(0.001, 0.01))] = 0  # until the first wall answers
    tail = filtered(np.asarray(tail, np.float32), rate, lambda hz: 1 / np.sqrt(1 + (hz / 3000) ** 2)).astype(np.float64)
    ratio = 10 ** (-rng.uniform(0, 20) / 20)
    tail *= ratio / max(float(np.sqrt(np.square(tail).sum())), 1e-12)
    tail[0] = 1.0
    size = 2 ** math.ceil(math.log2(len(samples) + length))
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)
    return np.asarray(wet[: len(samples)], np.float32)


def noise(samples: Floats, rate: int, rng: np.random.Generator) -> Floats:
    """Steady noise, white to brown, and sometimes the mains' hum, `NOISE_DB` below the speech."""
    slope = rng.uniform(0, 1)  # of the magnitude over frequency
    sound = filtered(
        np.asarray(rng.standard_normal(len(samples)), np.float32), rate, lambda hz: np.maximum(hz, 60.0) ** -slope
    ).astype(np.float64)
    sound /= max(float(sound.std()), 1e-12)
    if rng.random() < 0.2:
        time = np.arange(len(samples)) / rate
        mains = rng.choice((50.0, 60.0))
        sound += sum(rng.uniform(0, 0.7) * np.sin(2 * np.pi * (mains * n * time + rng.random())) for n in (1, 2, 3, 5))
        sound /= float(sound.std())
    return np.asarray(samples + sound * speech_level(samples, rate) * 10 ** (-rng.uniform(*NOISE_DB) / 20), np.float32)


def speech_level(samples: Floats, rate: int) -> float:
    """Root mean square of the louder half of the pieces of 20 ms: pauses do not count."""
    size = min(rate // 50, len(samples))
    pieces = np.square(samples[: len(samples) // size * size].astype(np.float64)).reshape(-1, size).mean(1)
    return float(np.sqrt(np.sort(pieces)[len(pieces) // 2 :].mean()))


def codec(samples: Floats, rate: int, rng: np.random.Generator, name: str = "") -> Floats:
    """There and back through a lossy codec, a random one if not named, aligned and as long as before."""
    name = name or str(rng.choice(list(CODECS)))
    form, subtype, rates = CODECS[name]
    between = int(rng.choice(rates))
    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0 or len(samples) < rate // 10:
        return samples
    level = 0.5 / peak
    sent = np.asarray(soxr.resample(samples * level, rate, between), np.float32)
    lossy = name in ("mp3", "vorbis", "opus")
    received = through(sent, between, form, subtype, rng.uniform(0.5, 0.95) if lossy else None)
    back = np.asarray(soxr.resample(aligned(received, sent), between, rate), np.float32) / level
    fitted = np.zeros(len(samples), np.float32)
    fitted[: min(len(back), len(samples))] = back[: len(samples)]
    return fitted


def through(samples: Floats, rate: int, form: str, subtype: str, compression: float | None) -> Floats:
    """Encodes and decodes with libsndfile; ``compression`` 0 to 1 is its own scale, from least to most."""
    import soundfile

    memory = io.BytesIO()
    extra = {} if compression is None else {"compression_level": compression}
    with soundfile.SoundFile(memory, "w", rate, 1, subtype=subtype, format=form, **extra) as file:
        file.write(samples)
    memory.seek(0)
    decoded, decoded_rate = soundfile.read(memory, dtype="float32")
    return decoded if decoded_rate == rate else np.asarray(soxr.resample(decoded, decoded_rate, rate), np.float32)


def aligned(received: Floats, sent: Floats) -> Floats:
    """``received`` moved to where it correlates best with ``sent``, by at most ``REACH`` samples either way."""
    size = 2 ** math.ceil(math.log2(max(len(received), len(sent)) + REACH))
    correlation = np.fft.irfft(np.fft.rfft(received, size) * np.fft.rfft(sent, size).conj(), size)
    lags = np.arange(-REACH, REACH + 1)
    lag = int(lags[np.argmax(correlation[lags])])
    return received[lag:] if lag >= 0 else np.concatenate([np.zeros(-lag, np.float32), received])
