"""Checkpoints, state dicts and modules open as they are: the same checks and the same bits as a converted file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hub_server import published_files, saved, tiny_config, tiny_hift, tiny_state
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from secousti_native import Codec, ModelFormatError  # noqa: E402
from secousti_native.cli.app import app  # noqa: E402
from secousti_native.convert import convert_checkpoint, convert_to_bytes  # noqa: E402
from secousti_native.reference.codec import SecoustiCodec  # noqa: E402

Floats = npt.NDArray[np.float32]
CHECKPOINT = "secousticodec_86_hz.pt"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return published_files()


@pytest.fixture
def folder(tmp_path: Path, files: dict[str, bytes]) -> Path:
    """The published files, in tiny."""
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.fixture(scope="module")
def noise() -> Floats:
    return (np.random.default_rng(1).standard_normal(22050) * 0.1).astype(np.float32)


def same(a: Codec, b: Codec, pcm: Floats) -> None:
    """The same model: its name and config, its tokens, voices and audio, to the bit."""
    assert (a.identity, a.config) == (b.identity, b.config)
    first, second = a.encode(pcm), b.encode(pcm)
    np.testing.assert_array_equal(first.tokens, second.tokens)
    np.testing.assert_array_equal(first.voice, second.voice)
    decoded = a.decode(first)
    assert np.ptp(decoded) > 0
    np.testing.assert_array_equal(decoded, b.decode(second))


def test_every_way_gives_the_bits_of_a_converted_file(folder: Path, noise: Floats) -> None:
    convert_checkpoint(folder / CHECKPOINT, folder / "model.safetensors", folder / "hift.pt")
    converted = Codec.from_pretrained(folder / "model.safetensors")
    assert converted.info["vocoder"] == "hift"
    state, hift = tiny_state(), tiny_hift()
    assert convert_to_bytes(state, hift) == (folder / "model.safetensors").read_bytes()
    module = SecoustiCodec(tiny_config())
    module.load_state_dict(state)
    shutil.copy(folder / CHECKPOINT, folder / "weights.bin")
    ways: list[Callable[[], Codec]] = [
        lambda: Codec.from_pretrained(folder / CHECKPOINT, vocoder=folder / "hift.pt"),
        lambda: Codec.from_pretrained(folder / CHECKPOINT, vocoder=hift),
        lambda: Codec.from_pretrained(folder / CHECKPOINT, vocoder="hift"),
        lambda: Codec.from_pretrained(f"{folder / CHECKPOINT}+hift"),
        lambda: Codec.from_pretrained(f"{folder / CHECKPOINT}+{folder / 'hift.pt'}"),
        lambda: Codec.from_pretrained(folder / "weights.bin", vocoder="hift"),
        lambda: Codec.from_pretrained(folder, variant="86", vocoder="hift"),
        lambda: Codec.from_pretrained(folder, variant=86, vocoder="hift"),
        lambda: Codec.from_pretrained(folder / "model.safetensors", vocoder="hift"),
        lambda: Codec.from_state_dict(state, hift),
        lambda: Codec.from_state_dict({"model": state}, folder / "hift.pt"),
        lambda: Codec.from_module(module, hift, config=tiny_config().to_dict()),
    ]
    for way in ways:
        same(way(), converted, noise)
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*published_files(), "model.safetensors", "weights.bin"]
    )  # nothing is written beside them


def test_spectral_is_the_default_and_can_be_asked_for(folder: Path, noise: Floats) -> None:
    convert_checkpoint(folder / CHECKPOINT, folder / "plain.safetensors")
    convert_checkpoint(folder / CHECKPOINT, folder / "hift.safetensors", folder / "hift.pt")
    plain = Codec.from_pretrained(folder / "plain.safetensors")
    assert plain.info["vocoder"] == "spectral"
    same(Codec.from_pretrained(folder / CHECKPOINT), plain, noise)
    same(Codec.from_pretrained(folder / CHECKPOINT, vocoder="spectral"), plain, noise)
    same(Codec.from_pretrained(folder / "hift.safetensors", vocoder="spectral"), plain, noise)
    same(Codec.from_pretrained(folder / "plain.safetensors", vocoder="spectral"), plain, noise)
    assert Codec.from_pretrained(folder / "hift.safetensors").info["vocoder"] == "hift"
    assert Codec.from_pretrained(folder / "plain.safetensors", vocoder="hift").info["vocoder"] == "hift"
    assert Codec.from_pretrained(folder, variant=21.5).frame_rate == pytest.approx(21.53, abs=0.01)


def test_options_are_passed_on(folder: Path) -> None:
    for precision in ("fp32", "bf16", "int8"):
        assert Codec.from_pretrained(folder / CHECKPOINT, precision=precision).precision == precision
        assert Codec.from_state_dict(tiny_state(), precision=precision, threads=2).precision == precision
    with pytest.raises(RuntimeError, match="fp16"):
        Codec.from_state_dict(tiny_state(), precision="fp16")
    with pytest.raises(RuntimeError, match="tpu"):
        Codec.from_module(SecoustiCodec(tiny_config()), device="tpu")


def test_modules_in_training_and_wrapped(noise: Floats) -> None:
    module = SecoustiCodec(tiny_config().replace(context=100, name="mine"), 0.3).train()
    mean, deviation = torch.randn(20), torch.rand(20) + 0.5
    module.set_mel_normalisation(mean, deviation)
    plain = Codec.from_state_dict(module.folded().state_dict(), config=module.config.to_dict())
    assert (plain.name, plain.config["context"]) == ("mine", 100)
    same(Codec.from_module(module), plain, noise)
    assert module.training and torch.equal(module.normalisation.mean, mean)  # it is left as it was
    same(Codec.from_module(torch.nn.DataParallel(module)), plain, noise)
    system = torch.nn.Module()
    system.codec = module
    same(Codec.from_module(system), plain, noise)

    class Foreign(torch.nn.Module):  # somebody's own code with the published names
        def state_dict(self, *arguments: Any, **options: Any) -> Any:
            return {name: value.bfloat16() for name, value in module.folded().state_dict().items()}

    rounded = {name: value.bfloat16() for name, value in module.folded().state_dict().items()}
    same(Codec.from_module(Foreign()), Codec.from_state_dict(rounded), noise)


def test_checkpoints_of_training_runs(tmp_path: Path, noise: Floats) -> None:
    module = SecoustiCodec(tiny_config().replace(name="run", default_precision="int8"), 0.3)
    normalisation = torch.randn(20), torch.rand(20) + 0.5
    average = {"codec." + name: value for name, value in module.state_dict().items()} | {"vq.weight": torch.zeros(1)}
    checkpoint = {"codec": module.config.to_dict(), "average": average, "normalisation": normalisation, "step": 3}
    (tmp_path / "best.pt").write_bytes(saved(checkpoint))
    module.set_mel_normalisation(*normalisation)
    codec = Codec.from_pretrained(tmp_path / "best.pt")
    assert (codec.name, codec.precision) == ("run", "fp32")  # what the weights lose below was not measured
    config = module.config.replace(default_precision="fp32").to_dict()
    same(codec, Codec.from_module(module, config=config), noise)
    (tmp_path / "best.pt").write_bytes(saved(checkpoint | {"average": {}}))
    with pytest.raises(ModelFormatError, match=r"best\.pt: a damaged checkpoint of a training run"):
        Codec.from_pretrained(tmp_path / "best.pt")


def test_faults_are_named(folder: Path) -> None:
    state = tiny_state()
    del state["fsq.project_in.bias"]
    with pytest.raises(ModelFormatError, match=r"(?s)1 missing tensor.*fsq\.project_in\.bias"):
        Codec.from_state_dict(state)
    broken = tiny_hift()
    broken["conv_post.bias"] = torch.full_like(broken["conv_post.bias"], torch.nan)
    with pytest.raises(ModelFormatError, match=r"conv_post\.bias: holds NaN"):
        Codec.from_state_dict(tiny_state(), broken)
    with pytest.raises(TypeError, match="module"):
        Codec.from_module(3)
    with pytest.raises(TypeError, match="config"):
        Codec.from_state_dict(tiny_state(), config=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="beside a file"):
        Codec.from_state_dict(tiny_state(), "hift")
    with pytest.raises(FileNotFoundError):
        Codec.from_state_dict(tiny_state(), folder / "none.pt")
    (folder / "text.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ModelFormatError, match=r"text\.pt: not a readable checkpoint|text\.pt: not a checkpoint"):
        Codec.from_pretrained(folder / "text.pt")
    with pytest.raises(FileNotFoundError, match="no such model file"):
        Codec.from_pretrained(folder / "none.pt")
    with pytest.raises(FileNotFoundError, match=r"'21\.5', '86'"):
        Codec.from_pretrained(folder)
    with pytest.raises(FileNotFoundError, match="no variant '43'"):
        Codec.from_pretrained(folder, variant="43")
    with pytest.raises(ValueError, match="one file"):
        Codec.from_pretrained(folder / CHECKPOINT, variant="86")
    with pytest.raises(ValueError, match="local path"):
        Codec.from_pretrained(folder, variant="86", revision="main")
    (folder / "hift.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"needs hift\.pt beside the model"):
        Codec.from_pretrained(folder / CHECKPOINT, vocoder="hift")
    with pytest.raises(FileNotFoundError, match=r"needs hift\.pt"):
        Codec.from_pretrained(vocoder="hift")


class _Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.target,)


def test_pickle_code_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "hostile.pt").write_bytes(saved({"model": tiny_state(), "extra": _Payload(tmp_path / "executed")}))
    with pytest.raises(ModelFormatError, match=r"hostile\.pt.*not run"):
        Codec.from_pretrained(tmp_path / "hostile.pt")
    assert not (tmp_path / "executed").exists()


def test_published_names_in_a_safetensors_file(tmp_path: Path, noise: Floats) -> None:
    import safetensors.torch

    safetensors.torch.save_file({k: v.clone() for k, v in tiny_state().items()}, tmp_path / "trained.safetensors")
    same(Codec.from_pretrained(tmp_path / "trained.safetensors"), Codec.from_state_dict(tiny_state()), noise)
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelFormatError):
        Codec.from_pretrained(tmp_path / "other.safetensors")


def test_command_line(folder: Path, noise: Floats) -> None:
    from secousti_native import audio

    audio.save(folder / "in.wav", noise, 22050)
    runner = CliRunner()

    def run(*arguments: object) -> str:
        result = runner.invoke(app, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    model = f"{folder / CHECKPOINT}+hift"
    run("encode", folder / "in.wav", "-o", folder / "x.sec", "--model", model)
    run("decode", folder / "x.sec", "-o", folder / "out.wav", "--model", model)
    run("roundtrip", folder / "in.wav", "-o", folder / "round.wav", "--model", folder / CHECKPOINT)
    assert "hift" in run("info", model)
    assert "spectral" in run("info", folder / CHECKPOINT)
    assert len(audio.load(folder / "out.wav")[0]) == len(audio.load(folder / "round.wav")[0]) == len(noise)
    bad = runner.invoke(app, ["roundtrip", str(folder / "in.wav"), "-o", str(folder / "n.wav"), "--model", "none.pt"])
    assert bad.exit_code == 1
    assert "none.pt" in bad.output
