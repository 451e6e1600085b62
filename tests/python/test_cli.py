"""The command line: results, JSON, exit codes, many files, pipes, and that nothing is ever half done."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from conftest import SPEECH
from typer.testing import CliRunner, Result

import secousti_native
from secousti_native import Codec, Encoded, UnsupportedError, audio
from secousti_native.cli.app import app

Floats = npt.NDArray[np.float32]
ASSETS = Path(str(secousti_native.__file__)).parent / "assets"
COMMAND = [sys.executable, "-m", "secousti_native"]


def secousti(*arguments: object) -> Result:
    # So wide that no path, however long the folder of a test's name is, breaks in the middle of a word.
    return CliRunner(env={"COLUMNS": "1000"}).invoke(app, [str(a) for a in arguments])


def said(result: Result) -> str:
    """The output without the frame and the line breaks that errors are printed in."""
    return " ".join(word for word in result.output.split() if not set(word) <= set("│╭╮╰╯─"))


def document(*arguments: object) -> Any:
    result = secousti(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def tree(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# ---- single files ----


def test_encode_and_decode(tmp_path: Path, codec: Codec) -> None:
    out = document("encode", SPEECH, "-o", tmp_path / "x.sec")
    (row,) = out["results"]
    assert out["failed"] == []
    assert row["tokens"] == 1234
    assert row["seconds"] == pytest.approx(14.331)
    assert row["bytes"] == (tmp_path / "x.sec").stat().st_size
    assert row["bit_rate"] == pytest.approx(12.8 * 86.13, rel=1e-3)
    assert row["bit_rate"] < row["bit_rate_with_header"] < row["bit_rate_with_voice"]
    assert 0 < row["real_time_factor"] < 10
    pcm, _ = audio.load(SPEECH, 22050)
    encoded = Encoded.load(tmp_path / "x.sec")
    np.testing.assert_array_equal(encoded.tokens, codec.encode(pcm).tokens)

    assert secousti("decode", tmp_path / "x.sec", "-o", tmp_path / "x.wav").exit_code == 0
    decoded, rate = audio.load(tmp_path / "x.wav")
    assert rate == 22050
    np.testing.assert_allclose(decoded, np.clip(codec.decode(encoded), -1, 1), atol=1.01 / 32768)
    assert len(decoded) == len(pcm)


def test_roundtrip(tmp_path: Path) -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    (row,) = document("roundtrip", SPEECH, "-o", tmp_path / "x.flac", "-m", "default-21")["results"]
    assert row["tokens"] == 309
    assert row["pesq_wb"] > 1.0
    assert row["stoi"] > 0.5
    assert row["real_time_factor"] == pytest.approx(
        row["encode_real_time_factor"] + row["decode_real_time_factor"], abs=2e-4
    )
    assert audio.load(tmp_path / "x.flac")[1] == 22050
    text = secousti("roundtrip", SPEECH)
    assert text.exit_code == 0
    for label in ("tokens", "bit/s", "with header", "with voice", "RTF", "PESQ-WB", "STOI"):
        assert label in text.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.flac"]


def test_voice(tmp_path: Path, codec: Codec, clips: Path) -> None:
    secousti("encode", SPEECH, "-o", tmp_path / "src.sec")
    by_tokens = document("voice", tmp_path / "src.sec", clips / "a.wav", "-o", tmp_path / "1.wav")["results"][0]
    by_audio = document("voice", SPEECH, clips / "a.wav", "-o", tmp_path / "2.wav")["results"][0]
    assert by_tokens["tokens"] == by_audio["tokens"] == 1234
    assert (tmp_path / "1.wav").read_bytes() == (tmp_path / "2.wav").read_bytes()
    expected = codec.decode(Encoded.load(tmp_path / "src.sec"), codec.voice(audio.load(clips / "a.wav")[0], 22050))
    np.testing.assert_allclose(audio.load(tmp_path / "1.wav")[0], np.clip(expected, -1, 1), atol=1.01 / 32768)
    result = secousti("voice", SPEECH, tmp_path / "none.wav", "-o", tmp_path / "3.wav")
    assert result.exit_code == 1
    assert "none.wav" in result.output


def test_info(tmp_path: Path, codec: Codec, clips: Path) -> None:
    secousti("encode", SPEECH, "-o", tmp_path / "x.sec")
    model = ASSETS / "default_21.safetensors"
    found = document("info", "default", model, tmp_path / "x.sec", SPEECH)["results"]
    assert [entry["kind"] for entry in found] == ["model", "model", "tokens", "audio"]
    assert found[0]["identity"] == f"{codec.identity:016x}" == found[2]["model"]
    assert found[0]["latency_ms"]["total"] == pytest.approx(codec.latency.total_ms)
    assert found[0]["config"]["ratios"] == [1, 1]
    assert found[0]["default_precision"] == "int8"
    assert found[2]["intact"]
    assert found[2]["tokens"] == 1234
    assert found[3]["sample_rate_hz"] == 16000
    about = document("info")
    assert about["embedded_models"] == ["default", "default-21"]
    assert secousti("info", "default").exit_code == 0
    for name, content in {"x.txt": b"nothing", "empty": b"", "cut.safetensors": model.read_bytes()[:3000]}.items():
        (tmp_path / name).write_bytes(content)
        result = secousti("info", tmp_path / name)
        assert result.exit_code == 1, name
        assert name in result.output


def test_info_of_a_foreign_safetensors_file(tmp_path: Path) -> None:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(24))
    (found,) = document("info", tmp_path / "x.safetensors")["results"]
    assert (found["kind"], found["parameters"], found["tensors"]) == ("safetensors", 6, {"weight": "F32 [2, 3]"})


TENSOR: dict[str, Any] = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


@pytest.mark.parametrize(
    "header",
    [
        {"__metadata__": 5, "x": TENSOR},
        {"__metadata__": [], "x": TENSOR},
        {"__metadata__": {"format": 5}, "x": TENSOR},
        {"__metadata__": {"a": "\ud800"}, "x": TENSOR},
        {"x": 5},
        {"x": {"shape": [2, 3], "data_offsets": [0, 24]}},
        {"x": TENSOR | {"dtype": 1}},
        {"x": TENSOR | {"shape": 6}},
        {"x": TENSOR | {"shape": [-1, 6]}},
        {"x": TENSOR | {"shape": [2.0, 3]}},
        {"x": TENSOR | {"shape": [9999999999999999999999]}},
        {"x": TENSOR | {"data_offsets": [0]}},
        {"x": TENSOR | {"data_offsets": [0, 25]}},
        {"x": TENSOR | {"data_offsets": [24, 0]}},
        b"{" * 100_000,
        b'{"a":' * 100_000,
        b"{\xff}",
    ],
    ids=lambda header: repr(header)[:40],
)
def test_info_of_a_damaged_safetensors_header(tmp_path: Path, header: Any) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(24))
    result = secousti("info", path)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith(f"{path}: ")
    assert result.stderr.count("\n") == 1


def test_info_shows_names_as_they_are(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"[/b]": "[red]"}, "[/x]": TENSOR}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(24))
    result = secousti("info", tmp_path / "x.safetensors")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in ("[/b]", "[red]", "[/x]"))


def test_info_goes_by_content(tmp_path: Path) -> None:
    secousti("encode", SPEECH, "-o", tmp_path / "x.sec")
    (tmp_path / "x.sec").rename(tmp_path / "x.wav")
    shutil.copy(SPEECH, tmp_path / "y.sec")
    assert [entry["kind"] for entry in document("info", tmp_path / "x.wav", tmp_path / "y.sec")["results"]] == [
        "tokens",
        "audio",
    ]
    damaged = bytearray((tmp_path / "x.wav").read_bytes())
    damaged[:4] = bytes(4)
    (tmp_path / "z.sec").write_bytes(damaged)
    (found,) = document("info", tmp_path / "z.sec")["results"]
    assert (found["kind"], found["intact"]) == ("tokens", False)


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("torch", ("train", "prepare")),
        ("torch", ("convert", "x.pt", "-o", "y.safetensors")),
        ("safetensors", ("convert", "x.pt", "-o", "y.safetensors")),
        ("soundfile", ("info", str(SPEECH))),
        ("soundfile", ("eval", ".")),
    ],
)
def test_missing_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, arguments: tuple[str, ...]
) -> None:
    shutil.copy(SPEECH, tmp_path / "a.flac")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, missing, None)
    for module in ("secousti_native.convert", "safetensors.torch"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    result = secousti(*arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "pip install" in result.stderr


def test_convert(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    model = ASSETS / "default_21.safetensors"
    out = document("convert", model, "-o", tmp_path / "m.safetensors", "--name", "mine", "--dtype", "float16")
    assert out["name"] == "mine"
    assert out["default_precision"] == "int8"  # of the embedded model
    assert Codec.from_pretrained(tmp_path / "m.safetensors").name == "mine"
    out = document("convert", model, "-o", tmp_path / "m.safetensors", "-f", "--default-precision", "bf16")
    assert out["default_precision"] == Codec.from_pretrained(tmp_path / "m.safetensors").precision == "bf16"
    again = secousti("convert", model, "-o", tmp_path / "m.safetensors")
    assert again.exit_code == 2
    assert "-f overwrites" in said(again)
    (tmp_path / "bad.pt").write_bytes(b"no checkpoint")
    bad = secousti("convert", tmp_path / "bad.pt", "-o", tmp_path / "n.safetensors")
    assert bad.exit_code == 1
    assert "bad.pt" in bad.output
    assert not (tmp_path / "n.safetensors").exists()


def test_help_and_usage() -> None:
    for command in ("encode", "decode", "roundtrip", "voice", "info", "convert", "stream", "bench"):
        assert secousti(command, "--help").exit_code == 0
    assert secousti("--version").stdout.startswith("secousti 0.")
    assert secousti("encode").exit_code == 2
    assert secousti("encode", SPEECH).exit_code == 2
    assert secousti("nonsense").exit_code == 2
    assert secousti("encode", SPEECH, "-o", "x.sec", "--threads", "0").exit_code == 2


def test_a_missing_model(tmp_path: Path) -> None:
    result = secousti("encode", SPEECH, "-o", tmp_path / "x.sec", "-m", tmp_path / "none.safetensors")
    assert result.exit_code == 1
    assert "none.safetensors" in result.output


@pytest.mark.parametrize(
    "arguments",
    [("encode", SPEECH, "-o", "{}/x.sec"), ("decode", "{}/x.sec", "-o", "{}/x.wav"), ("roundtrip", SPEECH),
     ("voice", SPEECH, SPEECH, "-o", "{}/x.wav"), ("stream",), ("info", "default"), ("bench", "default"),
     ("eval", SPEECH.parent)],
)  # fmt: skip
def test_every_command_opens_its_model_where_it_is_told(
    arguments: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = []

    def opened(model: object, *, device: str = "cpu", **_: object) -> Codec:
        devices.append(device)
        raise UnsupportedError("no such device here")

    monkeypatch.setattr(Codec, "from_pretrained", opened)
    filled = [str(argument).format(tmp_path) for argument in arguments]
    for device in ("cpu", "cuda"):
        result = secousti(*filled, *(("--device", device) if device != "cpu" else ()))
        assert result.exit_code == 1
        assert "no such device here" in result.output
    assert devices == ["cpu", "cuda"]
    assert secousti(*filled, "--device", "tpu").exit_code == 2


# ---- many files ----


def test_folders_are_mirrored(tmp_path: Path, clips: Path) -> None:
    out = document("encode", clips, "-o", tmp_path / "tokens")
    assert len(out["results"]) == 3
    assert tree(tmp_path / "tokens") == ["a.sec", "b/c.sec", "b/d/e.sec"]
    document("decode", tmp_path / "tokens", "-o", tmp_path / "sound", "--format", "flac")
    assert tree(tmp_path / "sound") == ["a.flac", "b/c.flac", "b/d/e.flac"]
    assert len(audio.load(tmp_path / "sound" / "b" / "c.flac")[0]) == 22050


def test_globs_and_several_inputs(tmp_path: Path, clips: Path) -> None:
    document("encode", clips / "**" / "*.wav", "-o", tmp_path / "one")
    assert tree(tmp_path / "one") == ["a.sec", "b/d/e.sec"]
    document("encode", clips / "a.wav", clips / "b", clips / "b" / "c.flac", "-o", tmp_path / "two")
    assert tree(tmp_path / "two") == ["a.sec", "c.sec", "d/e.sec"]
    table = secousti("encode", clips, "-o", tmp_path / "three")
    assert table.exit_code == 0
    assert table.stdout.count(".wav") + table.stdout.count(".flac") == 3
    for empty in (clips / "*.mp3", tmp_path / "one"):
        result = secousti("encode", empty, "-o", tmp_path / "four")
        assert result.exit_code == 2


def test_a_failing_file_does_not_stop_the_rest(tmp_path: Path, clips: Path) -> None:
    (clips / "b" / "bad.wav").write_bytes(b"RIFF but not really")
    audio.save(clips / "tiny.wav", np.zeros(10, np.float32), 22050)
    result = secousti("encode", clips, clips / "gone.wav", "-o", tmp_path / "out", "--json")
    assert result.exit_code == 1
    out = json.loads(result.stdout)
    assert len(out["results"]) == 3
    failed = {Path(entry["input"]).name: entry["error"] for entry in out["failed"]}
    assert set(failed) == {"bad.wav", "tiny.wav", "gone.wav"}
    assert "shorter than one mel frame" in failed["tiny.wav"]
    assert "No such file" in failed["gone.wav"]
    assert tree(tmp_path / "out") == ["a.sec", "b/c.sec", "b/d/e.sec"]


def test_nothing_is_overwritten_unasked(tmp_path: Path, clips: Path) -> None:
    target = tmp_path / "x.sec"
    target.write_text("precious")
    result = secousti("encode", SPEECH, "-o", target)
    assert result.exit_code == 2
    assert "-f overwrites" in said(result)
    assert target.read_text() == "precious"
    assert secousti("encode", SPEECH, "-o", target, "-f").exit_code == 0
    assert len(Encoded.load(target)) == 1234
    # One existing result stops a whole batch before any work.
    (tmp_path / "out" / "b").mkdir(parents=True)
    (tmp_path / "out" / "b" / "c.sec").write_text("precious")
    assert secousti("encode", clips, "-o", tmp_path / "out").exit_code == 2
    assert tree(tmp_path / "out") == ["b/c.sec"]


def test_colliding_results_are_refused(tmp_path: Path, clips: Path) -> None:
    shutil.copy(clips / "a.wav", clips / "a.flac")
    result = secousti("encode", clips, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "would both become" in said(result)
    result = secousti("roundtrip", clips / "a.wav", "-o", clips / "a.wav", "-f")
    assert result.exit_code == 2
    result = secousti("encode", clips, "-o", clips / "a.wav")
    assert result.exit_code == 2


def test_damaged_streams(tmp_path: Path) -> None:
    secousti("encode", SPEECH, "-o", tmp_path / "x.sec")
    data = bytearray((tmp_path / "x.sec").read_bytes())
    data[1000:1020] = bytes(20)
    (tmp_path / "x.sec").write_bytes(data)
    result = secousti("decode", tmp_path / "x.sec", "-o", tmp_path / "x.wav")
    assert result.exit_code == 1
    assert not (tmp_path / "x.wav").exists()
    (row,) = document("decode", tmp_path / "x.sec", "-o", tmp_path / "x.wav", "--damaged")["results"]
    assert row["notes"]
    assert len(audio.load(tmp_path / "x.wav")[0]) == 315993
    (found,) = document("info", tmp_path / "x.sec")["results"]
    assert not found["intact"]
    assert found["lost_tokens"] > 0


def test_tokens_of_another_model(tmp_path: Path) -> None:
    secousti("encode", SPEECH, "-o", tmp_path / "x.sec", "-m", "default-21")
    result = secousti("decode", tmp_path / "x.sec", "-o", tmp_path / "x.wav")
    assert result.exit_code == 1
    assert "--any-model" in result.output
    assert secousti("decode", tmp_path / "x.sec", "-o", tmp_path / "x.wav", "--any-model").exit_code == 0


def test_audio_as_it_comes(tmp_path: Path, speech: Floats) -> None:
    """Damaged files and channels that cancel are errors that name the option, which then works."""
    soundfile.write(tmp_path / "x.wav", np.stack([speech[:44100], -speech[:44100]], axis=1), 22050)
    failed = secousti("encode", tmp_path / "x.wav", "-o", tmp_path / "x.sec")
    assert failed.exit_code == 1
    assert "out of phase and cancel" in said(failed)
    assert "--channel" in said(failed)
    assert (
        document("encode", tmp_path / "x.wav", "-o", tmp_path / "x.sec", "--channel", 1)["results"][0]["tokens"] > 100
    )
    whole = (tmp_path / "x.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    for command, out in (("encode", tmp_path / "out.sec"), ("roundtrip", tmp_path / "out.wav")):
        failed = secousti(command, tmp_path / "cut.wav", "-o", out, "--channel", 0)
        assert failed.exit_code == 1
        assert "--damaged" in said(failed)
        kept = secousti(command, tmp_path / "cut.wav", "-o", out, "--channel", 0, "--damaged")
        assert kept.exit_code == 0
        assert "warning: " in said(kept)
        assert "bytes of samples that its header promises" in said(kept)
        assert out.is_file()
