"""A corpus for tests: buzzing tones whose phones are their pitches and whose speakers are filters."""

from pathlib import Path

import numpy as np
import soundfile

from secousti_native.reference.config import CodecConfig
from secousti_native.training.corpus import Utterance
from secousti_native.training.prepare import prepare

RATE = 22050


def buzz(seconds: float, hertz: float, damping: float) -> np.ndarray:
    """A sum of harmonics below 6 kHz, the n-th at damping ** n."""
    t = np.arange(round(seconds * RATE)) / RATE
    harmonics = range(1, int(6000 / hertz))
    return np.asarray(0.3 * sum(damping**n * np.sin(2 * np.pi * hertz * n * t) for n in harmonics), np.float32)


def make_corpus(folder: Path, count: int = 12) -> Path:
    """Writes audio and a prepared cache below ``folder``; returns the cache."""
    rng = np.random.default_rng(0)
    audio = folder / "audio"
    audio.mkdir(parents=True)
    utterances = []
    for i in range(count):
        speaker = i % 3
        pitches = rng.choice([110, 165, 220, 330], 6)
        lengths = rng.uniform(0.15, 0.4, 6)
        sound = np.concatenate([buzz(s, h, 0.6 + 0.1 * speaker) for s, h in zip(lengths, pitches, strict=True)])
        path = audio / f"{i}.wav"
        soundfile.write(path, sound, RATE)
        seconds = len(sound) / RATE
        phones = tuple(str(p) for p in pitches)
        utterances.append(
            Utterance(f"u{i}", str(path), 0.0, seconds, f"s{speaker}", "buzz", "", phones, tuple(lengths))
        )
    # One more without phones, as real speech often is.
    utterances.append(Utterance("bare", str(audio / "0.wav"), 0.0, utterances[0].seconds, "s9", "bare"))
    prepare(utterances, folder / "cache", CodecConfig(), valid_share=0.2)
    return folder / "cache"
