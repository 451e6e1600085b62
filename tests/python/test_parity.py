"""The engine against stored results of every stage: both published layouts, HiFT, the embedded models, every ISA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import DATA
from golden_weights import golden_outputs

from secousti_native import Codec, _core

ISAS = _core.available_isas().split(",")
STAGES = ("encoder_out", "acoustic_embed", "semantic_mu", "fsq_in")


def assert_close(actual: npt.ArrayLike, expected: npt.ArrayLike, relative: float = 1e-4) -> None:
    """Within ``relative`` of the expected values' range everywhere."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    error = np.abs(actual - expected).max()
    assert error <= relative * np.ptp(expected), f"{error:.3g} of range {np.ptp(expected):.3g}"


def assert_tokens(actual: npt.ArrayLike, expected: npt.ArrayLike, fsq_in: npt.NDArray[np.float32]) -> None:
    """Equal wherever no quantised value is within 1e-4 of a rounding boundary; few may be."""
    clear = (np.abs(np.abs(0.999 * np.tanh(fsq_in.astype(np.float64))) - 0.5) > 1e-4).all(axis=-1)
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(np.asarray(actual)[clear], np.asarray(expected)[clear])


def test_front_end(codec: Codec) -> None:
    golden = golden_outputs("frontend")
    assert_close(codec.stages.mel(golden["pcm"]), golden["mel"])


@pytest.mark.parametrize("layout", ["21_5_hz", "86_hz"])
def test_published_layout(layout: str, request: pytest.FixtureRequest) -> None:
    codec: Codec = request.getfixturevalue("published_86" if layout == "86_hz" else "published_21")
    golden = golden_outputs(layout)
    stages = codec.stages
    outputs = stages.encode_mel(golden["mel"])
    for name in STAGES:
        expected = golden[name].T if name in ("encoder_out", "acoustic_embed") else golden[name]
        assert_close(outputs[name], expected)
    assert outputs["tokens"].dtype == np.int64
    assert_tokens(outputs["tokens"], golden["tokens"], golden["fsq_in"])
    voice = stages.voice(golden["mel"])
    assert_close(voice, golden["paralinguistic"])
    assert_close(stages.decode_tokens(golden["tokens"], golden["paralinguistic"]), golden["mel_from_tokens"])
    assert_close(stages.decode_acoustic(golden["acoustic_embed"].T), golden["mel_from_acoustic"])


def test_hift(published_86: Codec) -> None:
    golden = golden_outputs("hift")
    assert_close(published_86.stages.vocode(golden["mel"]), golden["wav"])


@pytest.mark.parametrize(("precision", "decibels"), [("bf16", 46.0), ("int8", 33.0)])
def test_hift_at_reduced_precision(published: Callable[[str], Path], precision: str, decibels: float) -> None:
    golden = golden_outputs("hift")
    codec = Codec.from_pretrained(published("86_hz"), precision=precision)
    audio = np.asarray(codec.stages.vocode(golden["mel"]), np.float64)
    error = audio - golden["wav"]
    assert 10.0 * np.log10(np.sum(np.square(golden["wav"], dtype=np.float64)) / np.sum(error**2)) >= decibels


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("model", "check"), [("default", "default_86_check"), ("default-21", "default_21_check")])
def test_embedded_models_on_every_isa(model: str, check: str, isa: str) -> None:
    codec = Codec.from_pretrained(model, isa=isa, precision="fp32")
    assert codec.info["isa"] == isa
    with np.load(DATA / f"{check}.npz") as data:
        stored = {name: data[name] for name in data.files}
    assert_close(codec.stages.mel(stored["pcm"]), stored["mel"])
    outputs = codec.stages.encode_mel(stored["mel"])
    assert outputs["acoustic_embed"] is None
    assert_close(outputs["semantic_mu"], stored["semantic_mu"])
    assert_tokens(outputs["tokens"], stored["tokens"], outputs["fsq_in"])
    assert_close(codec.stages.voice(stored["mel"]), stored["paralinguistic"])
    mel = codec.stages.decode_tokens(stored["tokens"], stored["paralinguistic"])
    assert_close(mel, stored["mel_from_tokens"])


def test_threads_change_nothing(codec: Codec, speech: npt.NDArray[np.float32]) -> None:
    encoded = codec.encode(speech[:60000])
    several = codec.with_threads(3)
    again = several.encode(speech[:60000])
    np.testing.assert_array_equal(again.tokens, encoded.tokens)
    np.testing.assert_array_equal(several.decode(again), codec.decode(encoded))


def test_offline_is_the_stages_in_a_row(codec: Codec, speech: npt.NDArray[np.float32]) -> None:
    clip = speech[:50000]
    encoded = codec.encode(clip)
    mel = codec.stages.mel(clip)
    np.testing.assert_array_equal(codec.stages.encode_mel(mel)["tokens"], encoded.tokens)
    np.testing.assert_array_equal(codec.stages.voice(mel), encoded.voice)
    decoded = codec.stages.decode_tokens(encoded.tokens, encoded.voice)
    pcm = codec.stages.vocode(decoded, seed=0)
    np.testing.assert_array_equal(codec.decode(encoded)[: len(pcm)], pcm)


def test_short_prompt_uses_the_whole_clip(codec: Codec, speech: npt.NDArray[np.float32]) -> None:
    mel = codec.stages.mel(speech)[:200]
    voice = codec.stages.voice(mel)
    changed = mel.copy()
    changed[0] += 1.0
    assert np.abs(codec.stages.voice(changed) - voice).max() > 0
    long = codec.stages.mel(speech)[:400]
    outside = long.copy()
    outside[:50] += 1.0
    outside[350:] += 1.0
    np.testing.assert_array_equal(codec.stages.voice(outside), codec.stages.voice(long))
    assert Path(DATA / "speech.flac").stat().st_size < 600_000
