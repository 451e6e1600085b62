"""Models opened at bf16 and int8: what they report, that streams stay exact, how near they are to fp32 on speech."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import SPEECH
from test_cli import document, said, secousti

import secousti_native
from secousti_native import Codec, ModelFormatError, SnapshotError, UnsupportedError, quality
from secousti_native.benchmark.roofline import step_bytes

Floats = npt.NDArray[np.float32]
MODELS = ("default", "default-21")
ASSETS = Path(secousti_native.__file__).parent / "assets"
REDUCED = ("bf16", "int8")

# On tests/data/speech.flac: all tokens are those of fp32, because the embedded models demand it, and the mean absolute
# difference of log-mels decoded from them is what was measured (docs/measured/precision.md) and a margin.
MEL_ERROR = {"bf16": 0.004, "int8": 0.010}
# The vocoder's iterations amplify the last bits of a mel: fp32 itself scores from 1.897 to 1.937, by instruction set.
PESQ_LOSS = 0.08


@pytest.fixture(scope="module", params=[(m, p) for m in MODELS for p in REDUCED], ids="-".join)
def opened(request: pytest.FixtureRequest) -> Codec:
    model, precision = request.param
    return Codec.from_pretrained(model, precision=precision)


@pytest.fixture(scope="module")
def full() -> dict[str, Codec]:
    """The same models at fp32, by name."""
    codecs = [Codec.from_pretrained(model, precision="fp32") for model in MODELS]
    return {codec.name: codec for codec in codecs}


def saying(path: Path, default: str | None) -> Path:
    """A copy of the embedded 21.5 Hz model at ``path`` whose file says this default precision; None: nothing of it."""
    data = (ASSETS / "default_21.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    config = json.loads(header["__metadata__"]["config"])
    config.pop("default_precision")
    config |= {} if default is None else {"default_precision": default}
    header["__metadata__"]["config"] = json.dumps(config)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    return path


@pytest.mark.parametrize("model", MODELS)
def test_the_embedded_models_open_at_what_was_measured(model: str, speech: Floats) -> None:
    codec, asked = Codec.from_pretrained(model), Codec.from_pretrained(model, precision="int8")
    assert codec.precision == codec.config["default_precision"] == "int8"
    clip = speech[:40000]
    encoded = codec.encode(clip)
    np.testing.assert_array_equal(codec.decode(encoded), asked.decode(asked.encode(clip)))
    asked.restore(codec.encoder().snapshot())


def test_a_file_says_its_default_precision(tmp_path: Path, codec21: Codec) -> None:
    for default, expected in ((None, "fp32"), ("fp32", "fp32"), ("bf16", "bf16"), ("int8", "int8")):
        path = saying(tmp_path / "m.safetensors", default)
        opened = Codec.from_pretrained(path)
        assert opened.precision == expected
        assert opened.identity == codec21.identity  # it is the same model: its tokens stay playable
        for asked in ("fp32", "bf16", "int8"):
            assert Codec.from_pretrained(path, precision=asked).precision == asked
    # What a stream's state belongs to is the weights and the precision in use, whoever chose it.
    codec21.restore(Codec.from_pretrained(path).decoder().snapshot())


@pytest.mark.parametrize("value", ["fp16", "INT8", ""])
def test_an_unknown_default_precision_is_named(tmp_path: Path, value: str) -> None:
    path = saying(tmp_path / "m.safetensors", value)
    with pytest.raises(ModelFormatError, match=f"default_precision: is '{value}', expected 'fp32', 'bf16' or 'int8'"):
        Codec.from_pretrained(path)
    result = secousti("encode", SPEECH, "-o", tmp_path / "x.sec", "-m", path)
    assert result.exit_code == 1
    assert "default_precision" in said(result)


def test_a_model_says_its_precision(full: dict[str, Codec]) -> None:
    codec = full["default-86"]
    assert codec.precision == codec.info["precision"] == "fp32"
    memory = codec.info["memory_bytes"]
    assert codec.info["half_weights"] and memory < 2.1 * codec.info["parameters"]
    for precision in REDUCED:
        other = Codec.from_pretrained(precision=precision)
        assert other.precision == other.info["precision"] == other.with_threads(2).precision == precision
        assert f"{precision}, threads=1" in repr(other)
        assert other.identity == codec.identity
        # float16, as the file, takes what bf16 does; the part that leads to tokens keeps it at every precision.
        assert (
            other.info["memory_bytes"] == memory if precision == "bf16" else other.info["memory_bytes"] < 0.75 * memory
        )


@pytest.mark.parametrize("precision", ["fp16", "INT8", "", "int4"])
def test_unknown_precisions_are_refused(precision: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=f"{precision!r} is not supported; 'fp32', 'bf16', 'int8' are"):
        Codec.from_pretrained(precision=precision)
    result = secousti("encode", SPEECH, "-o", tmp_path / "x.sec", "--precision", precision)
    assert result.exit_code == 1
    assert "is not supported" in said(result)
    assert not (tmp_path / "x.sec").exists()


def test_streams_equal_whole_inputs(opened: Codec, speech: Floats) -> None:
    pcm = speech[: 4 * 22050]
    whole = opened.encode(pcm)
    encoder = opened.encoder()
    tokens = [encoder.push(part) for part in np.array_split(pcm, 37)]
    tokens.append(encoder.flush())
    assert np.array_equal(np.concatenate(tokens), whole.tokens)
    decoder = opened.decoder(whole.voice)
    audio = [decoder.push(part) for part in np.array_split(whole.tokens, 11)]
    audio.append(decoder.flush())
    assert np.array_equal(np.concatenate(audio)[: len(pcm)], opened.decode(whole)[: len(pcm) // 256 * 256])


def test_snapshots_belong_to_a_precision(full: dict[str, Codec]) -> None:
    codec = full["default-86"]
    other = Codec.from_pretrained(precision="bf16")
    with pytest.raises(SnapshotError):
        other.restore(codec.encoder().snapshot())
    with pytest.raises(SnapshotError):
        codec.restore(other.decoder().snapshot())
    other.restore(other.encoder().snapshot())


def test_speech_stays_near_fp32(opened: Codec, full: dict[str, Codec], speech: Floats) -> None:
    reference, precision = full[opened.name], opened.precision
    expected = reference.encode(speech)
    encoded = opened.encode(speech)
    mels: list[Any] = [c.stages.decode_tokens(expected.tokens, expected.voice) for c in (opened, reference)]
    error = float(np.abs(mels[0] - mels[1]).mean())
    print(f"{opened.name} {precision}: log-mel error {error:.5f}")
    assert np.array_equal(encoded.tokens, expected.tokens)
    assert 0.0 < error <= MEL_ERROR[precision]
    assert np.array_equal(encoded.voice, expected.voice)  # the voice's encoder stays fp32


def test_pesq_loss(opened: Codec, full: dict[str, Codec], speech: Floats) -> None:
    pytest.importorskip("pesq")
    reference = full[opened.name]
    scores = [quality.pesq_wb(speech, c.decode(c.encode(speech)), 22050) for c in (opened, reference)]
    assert scores[0] is not None
    assert scores[1] is not None
    assert scores[0] >= scores[1] - PESQ_LOSS


def test_bytes_of_a_step() -> None:
    config = {"dimension": 4, "feedforward": 10, "context": 3, "layers": {"a": 2}}
    # A layer: 4 * 4 * 4 + 2 * 4 * 10 weights; keys and values 2 * 3 * 4.
    assert step_bytes(config, ("a",), "bf16") == 2 * 2 * (144 + 24)
    assert step_bytes(config, ("a",), "int8") == 2 * (144 + 24)


def test_command_line(tmp_path: Path) -> None:
    encoded = tmp_path / "x.sec"
    document("encode", SPEECH, "-o", encoded, "--precision", "int8")
    (row,) = document("decode", encoded, "-o", tmp_path / "x.wav", "--precision", "bf16")["results"]
    assert row["tokens"] == 1234
    report = document("bench", "default-21", "--seconds", "0.1", "--precision", "int8")
    assert {row["precision"] for row in report["models"]} == {"int8"}


def test_the_command_line_opens_models_at_what_they_say(tmp_path: Path) -> None:
    path = saying(tmp_path / "m.safetensors", "bf16")
    secousti("encode", SPEECH, "-o", tmp_path / "x.sec", "-m", path)
    heard = {}
    for name, options in {"none": (), "bf16": ("--precision", "bf16"), "fp32": ("--precision", "fp32")}.items():
        secousti("decode", tmp_path / "x.sec", "-o", tmp_path / f"{name}.wav", "-m", path, *options)
        heard[name] = (tmp_path / f"{name}.wav").read_bytes()
    assert heard["none"] == heard["bf16"] != heard["fp32"]
    (found,) = document("info", path)["results"]
    assert found["default_precision"] == "bf16"
    report = document("bench", path, "--seconds", "0.1", "--opening", path)
    for part in ("models", "rows", "opening"):
        assert {row["precision"] for row in report[part]} == {"bf16"}
    assert list(report["machine"]["peak_gops"]) == ["bf16"]


def test_snapshots_belong_to_one_model_at_one_precision(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    default = Codec.from_pretrained()
    data = (ASSETS / "default_86.safetensors").read_bytes()
    tensors = safetensors.load(data)
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    name = "encoder.model.0.conv.conv.weight"  # what tokens mean stays the same, what a stream remembers does not
    tensors[name] = tensors[name] * np.float16(0.5)
    safetensors.save_file(tensors, tmp_path / "other.safetensors", metadata=metadata)
    other = Codec.from_pretrained(tmp_path / "other.safetensors")
    assert other.identity == default.identity
    streams = (default.encoder().snapshot(), default.decoder().snapshot())
    for snapshot in streams:
        default.restore(snapshot)
        for codec in (other, Codec.from_pretrained(precision="bf16")):
            with pytest.raises(SnapshotError, match="another model"):
                codec.restore(snapshot)
    reduced = Codec.from_pretrained(precision="bf16").encoder().snapshot()
    with pytest.raises(SnapshotError, match="another model"):
        Codec.from_pretrained(precision="int8").restore(reduced)
