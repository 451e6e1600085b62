"""Objective quality of the repository's speech file. Floors are what was measured, minus a margin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from secousti_native import Codec, quality

pytest.importorskip("pesq")
pytest.importorskip("pystoi")

# STOI measured with the embedded models: 86 Hz 0.747, 21.5 Hz 0.612.
ROUND_TRIP = {"codec": 0.73, "codec21": 0.59}
# Measured STOI of random tokens (0.173 and 0.154) and of one token repeated (0.415 and 0.393, by the voice alone).
MARGIN = {"random": 0.3, "constant": 0.15}
# Measured by look-ahead from true mels: 3.81, 3.99, 3.93, 4.04 and 0.991 to 0.995 (speech of 16 kHz).
VOCODER = {0: (3.6, 0.98), 1: (3.7, 0.98), 2: (3.7, 0.985), 3: (3.8, 0.985)}

Floats = npt.NDArray[np.float32]


def check(label: str, reference: Floats, degraded: Floats, floor: tuple[float, float]) -> None:
    pesq = quality.pesq_wb(reference, degraded, 22050)
    stoi = quality.stoi(reference, degraded, 22050)
    assert pesq is not None
    assert stoi is not None
    print(f"{label}: PESQ-WB {pesq:.3f} (floor {floor[0]}), STOI {stoi:.3f} (floor {floor[1]})")
    assert pesq >= floor[0]
    assert stoi >= floor[1]


@pytest.mark.parametrize("name", ["codec", "codec21"])
def test_round_trip(name: str, request: pytest.FixtureRequest, speech: Floats) -> None:
    """Better than what the voice alone gives. PESQ tells real tokens from random ones at 86 Hz only (1.079, 1.056)."""
    codec: Codec = request.getfixturevalue(name)
    encoded = codec.encode(speech)
    tokens = {
        "real": encoded.tokens,
        "random": np.random.default_rng(0).integers(0, codec.cardinality, len(encoded)),
        "constant": np.full_like(encoded.tokens, encoded.tokens[len(encoded) // 2]),
    }
    stoi, pesq = {}, {}
    for kind, values in tokens.items():
        scores = quality.scores(speech, codec.decode(replace(encoded, tokens=values)), 22050)
        assert scores["stoi"] is not None
        assert scores["pesq_wb"] is not None
        stoi[kind], pesq[kind] = scores["stoi"], scores["pesq_wb"]
        print(f"{codec.name}, {kind} tokens: PESQ-WB {pesq[kind]:.3f}, STOI {stoi[kind]:.3f}")
    assert stoi["real"] >= ROUND_TRIP[name]
    for kind, margin in MARGIN.items():
        assert stoi["real"] >= stoi[kind] + margin
    if name == "codec":
        assert pesq["real"] > pesq["random"]


@pytest.mark.parametrize("look_ahead", [0, 1, 2, 3])
def test_spectral_vocoder_on_true_mels(codec: Codec, speech: Floats, look_ahead: int) -> None:
    pcm = codec.stages.vocode(codec.stages.mel(speech), look_ahead=look_ahead)
    check(f"spectral, look-ahead {look_ahead}", speech[: len(pcm)], pcm, VOCODER[look_ahead])


def test_the_voice_matters(codec: Codec, speech: Floats) -> None:
    """Tokens and voice are separate: another voice changes the sound, not the tokens' count or the words' timing."""
    encoded = codec.encode(speech)
    own = codec.decode(encoded)
    other = codec.decode(encoded, -encoded.voice)
    assert len(own) == len(other)
    assert np.abs(own - other).max() > 0.01
    envelopes = [np.sqrt((x[: len(x) // 2048 * 2048].reshape(-1, 2048) ** 2).mean(axis=1)) for x in (own, other)]
    assert np.corrcoef(envelopes)[0, 1] > 0.5


def test_scores_of_silence_noise_and_identity(speech: Floats) -> None:
    best = quality.scores(speech, speech, 22050)
    assert best["pesq_wb"] is not None
    assert best["pesq_wb"] > 4.5
    assert best["stoi"] == pytest.approx(1.0)
    noise = np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32) * 0.1
    worst = quality.scores(speech, noise, 22050)
    assert worst["pesq_wb"] is not None
    assert worst["pesq_wb"] < 1.5
    assert worst["stoi"] is not None
    assert worst["stoi"] < 0.4
    for silent in (np.zeros(44100, np.float32), np.zeros(300, np.float32)):
        assert quality.scores(silent, silent, 22050) == {"pesq_wb": None, "stoi": None}
    assert quality.scores(speech[20000:20300], speech[20000:20300], 22050) == {"pesq_wb": None, "stoi": None}
