"""Conversion of published checkpoints: folding is exact, faults are all named, pickles are never run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_weights import golden_outputs, golden_tensors

torch = pytest.importorskip("torch")
import safetensors  # noqa: E402
import safetensors.torch  # noqa: E402

from secousti_native.convert import ConversionError, convert_checkpoint  # noqa: E402
from secousti_native.reference.checkpoint import infer_config  # noqa: E402
from secousti_native.reference.codec import SecoustiCodec  # noqa: E402
from secousti_native.reference.config import CodecConfig, ConfigError, LayerCounts, VocoderConfig  # noqa: E402
from secousti_native.reference.hift import HiFT  # noqa: E402

SMALL = CodecConfig(
    n_mels=20,
    n_filters=8,
    dimension=128,
    feedforward=96,
    ratios=(2, 3),
    layers=LayerCounts(acoustic=0, semantic=2, connector=1, decoder=3),
)


@pytest.fixture(autouse=True)
def leave_no_models_behind(tmp_path: Path) -> Iterator[None]:
    """Pytest keeps temporary folders of its last runs, and a published model has 400 MB."""
    yield
    for path in (*tmp_path.glob("*.pt"), *tmp_path.glob("*.safetensors")):
        path.unlink()


def read(path: Path) -> tuple[dict[str, Any], CodecConfig]:
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        assert (metadata["format"], metadata["format_version"]) == ("secousti", "1")
        return {key: file.get_tensor(key) for key in file.keys()}, CodecConfig.from_json(metadata["config"])  # noqa: SIM118


def stored_dtypes(converted: dict[str, Any]) -> set[Any]:
    """Dtypes of all tensors but the folded batch norms, which keep full precision."""
    folded = {name for name in converted if name.startswith("paralinguistic_encoder.conv_")}
    assert len(folded) == 12 and all(converted[name].dtype == torch.float32 for name in folded)
    return {value.dtype for name, value in converted.items() if name not in folded}


def small_state(n_mels: int = SMALL.n_mels) -> dict[str, Any]:
    """A trained-looking small model: nothing is zero or one, batch norm included."""
    torch.manual_seed(0)
    state = SecoustiCodec(SMALL.replace(n_mels=n_mels), layer_scale=0.5).state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            state[name] = (
                torch.rand_like(value) + 0.5 if name.endswith("running_var") else torch.randn_like(value) * 0.1
            )
    return state


@pytest.mark.parametrize(
    ("layout", "ratios", "rate", "wrapped"), [("86_hz", (1, 1), 86, True), ("21_5_hz", (2, 2), 21, False)]
)
def test_published_files_convert(
    tmp_path: Path, layout: str, ratios: tuple[int, int], rate: int, wrapped: bool
) -> None:
    state = golden_tensors(layout)
    source, out = tmp_path / f"secousticodec_{layout}.pt", tmp_path / "model.safetensors"
    torch.save({"model": state, "epoch": 3} if wrapped else state, source)
    report = convert_checkpoint(source, out)
    converted, config = read(out)
    assert config == report.config == CodecConfig(name=f"secousticodec-{rate}", ratios=ratios)
    assert report.dropped == ()
    assert len(report.training_only) == 10  # two dense_var of two tensors, six step counters
    assert report.bytes == out.stat().st_size
    assert report.parameters == sum(value.numel() for value in converted.values())
    for name, value in converted.items():
        assert value.dtype == torch.float32
        if not name.startswith("paralinguistic_encoder.conv_"):
            assert torch.equal(value, state[name]), name
    assert not any("batchnorm" in name or "conv2d" in name or "dense_var" in name for name in converted)
    assert list(tmp_path.glob("*.tmp")) == []


def test_folded_convolutions_compute_what_the_unfolded_modules_do(tmp_path: Path) -> None:
    state, out = small_state(), tmp_path / "model.safetensors"
    for i in range(1, 7):  # the published kernels are 2-D
        name = f"paralinguistic_encoder.conv2d_{i}.weight"
        state[name] = torch.randn(*state[name].shape[:2], 3, 3)
    convert_checkpoint(state, out)
    converted, _ = read(out)
    x = torch.randn(1, 20, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = x
    for i in range(1, 7):
        old = "paralinguistic_encoder"
        # The published graph: a 2-D convolution of an image of width 1, then batch norm with stored statistics.
        weight, bias = state[f"{old}.conv2d_{i}.weight"].double(), state[f"{old}.conv2d_{i}.bias"].double()
        y = torch.nn.functional.conv2d(x.unsqueeze(-1), weight, bias, padding=1)
        norm = [state[f"{old}.batchnorm_{i}.{p}"].double() for p in ("running_mean", "running_var", "weight", "bias")]
        x = torch.nn.functional.batch_norm(y, *norm, training=False).squeeze(-1).relu()
        weight, bias = converted[f"{old}.conv_{i}.weight"].double(), converted[f"{old}.conv_{i}.bias"].double()
        plain = torch.nn.functional.conv1d(plain, weight, bias, padding=1).relu()
        assert weight.shape[2:] == (3,)
        assert float((plain - x).abs().max() / x.abs().max()) <= 1e-6


def test_vocoder_is_merged_and_folded(tmp_path: Path) -> None:
    source, out = tmp_path / "hift.pt", tmp_path / "model.safetensors"
    torch.save(golden_tensors("hift"), source)
    report = convert_checkpoint(small_state(80), out, vocoder=source)
    assert report.dropped == ()
    converted, config = read(out)
    assert config.vocoder == VocoderConfig(kind="hift")
    folded = HiFT(config).eval()
    folded.load_state_dict({k.removeprefix("vocoder."): v for k, v in converted.items() if k.startswith("vocoder.")})
    data = golden_outputs("hift")
    with torch.no_grad():
        wav = folded(torch.from_numpy(data["mel"])[None], noise=False)[0].numpy()
    assert float(np.abs(wav - data["wav"]).max() / np.ptp(data["wav"])) <= 1e-4

    again = convert_checkpoint(out, tmp_path / "again.safetensors")  # a converted file passes unchanged
    same = (tmp_path / "again.safetensors").read_bytes() == out.read_bytes()  # apart: pytest would print a diff
    assert same
    assert again.config == config


def test_converted_model_takes_a_vocoder_later(tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    convert_checkpoint(small_state(80), first, name="mine")
    report = convert_checkpoint(first, second, vocoder=golden_tensors("hift"), dtype="bfloat16")
    converted, config = read(second)
    assert (config.name, config.vocoder.kind, report.dropped) == ("mine", "hift", ())
    assert stored_dtypes(converted) == {torch.bfloat16}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_other_sizes_convert_from_shapes_or_metadata(tmp_path: Path, dtype: str) -> None:
    state = small_state()
    source, out = tmp_path / "trained.safetensors", tmp_path / "model.safetensors"
    config = SMALL.replace(name="small", head_dim=32, context=100)
    metadata = {"config": json.dumps(config.to_dict())}
    safetensors.torch.save_file({name: value.clone() for name, value in state.items()}, source, metadata)
    assert infer_config(state) == SMALL  # heads and context are not in the shapes
    report = convert_checkpoint(source, out, dtype=dtype)
    converted, stored = read(out)
    assert stored == report.config == config
    assert stored_dtypes(converted) == {getattr(torch, dtype)}
    assert convert_checkpoint(state, out).config == SMALL.replace(name="secousticodec-14")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_files_are_those_of_the_safetensors_package(tmp_path: Path, dtype: str, precision: str) -> None:
    """But for the order of the metadata, which it shuffles."""
    out = tmp_path / "model.safetensors"
    convert_checkpoint(small_state(), out, dtype=dtype, precision=precision)
    ours = out.read_bytes()
    theirs = safetensors.torch.save(*_contents(out))
    length = int.from_bytes(ours[:8], "little")
    assert length % 8 == 0
    assert ours[8 + length :] == theirs[8 + int.from_bytes(theirs[:8], "little") :]
    headers = [json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]) for data in (ours, theirs)]
    assert headers[0] == headers[1]
    assert list(headers[0])[1:] == list(headers[1])[1:]  # the first is the metadata


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    with safetensors.safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def test_all_missing_and_misshapen_tensors_are_named_at_once(tmp_path: Path) -> None:
    state = small_state()
    gone = ["fsq.project_in.bias", "decoder_transformer.transformer.layers.1.linear2.weight"]
    for name in gone:
        del state[name]
    state["encoder.model.0.conv.conv.weight"] = torch.zeros(8, 20, 5)
    state["paralinguistic_encoder.conv2d_2.weight"] = torch.zeros(32, 32, 5, 5)
    state["fsq.project_out.bias"] = torch.zeros(128, dtype=torch.int32)
    state["semantic_connector.semantic_transformer.transformer.layers.0.norm1.bias"] = torch.full((128,), torch.nan)
    out = tmp_path / "model.safetensors"
    with pytest.raises(ConversionError) as caught:
        convert_checkpoint(state, out)
    text = str(caught.value)
    assert "2 missing tensor(s)" in text and "4 unfit tensor(s)" in text
    assert all(name in text for name in gone)
    assert "encoder.model.0.conv.conv.weight: shape [8, 20, 5], expected [8, 20, 7]" in text
    assert "paralinguistic_encoder.conv2d_2.weight: shape [32, 32, 5, 5], expected [32, 32, 3]" in text
    assert "fsq.project_out.bias: int32" in text
    assert "norm1.bias: holds NaN" in text
    assert list(tmp_path.iterdir()) == []


def test_missing_vocoder_tensors_are_named(tmp_path: Path) -> None:
    voice = golden_tensors("hift")
    del voice["conv_post.bias"], voice["resblocks.4.convs2.1.parametrizations.weight.original0"]
    with pytest.raises(ConversionError, match=r"2 missing(.|\n)*resblocks\.4(.|\n)*conv_post\.bias|conv_post\.bias"):
        convert_checkpoint(small_state(), tmp_path / "model.safetensors", vocoder=voice)


def test_extra_tensors_are_listed_and_dropped(tmp_path: Path) -> None:
    state = small_state() | {"phoneme_encoder.weight": torch.zeros(3), "discriminator.0.bias": torch.zeros(1)}
    out = tmp_path / "model.safetensors"
    report = convert_checkpoint(state, out)
    assert report.dropped == ("discriminator.0.bias", "phoneme_encoder.weight")
    assert not any(name in read(out)[0] for name in report.dropped)


def test_absurd_layer_numbers_build_no_absurd_model(tmp_path: Path) -> None:
    name = "decoder_transformer.transformer.layers.{}.norm1.weight"
    extra = [name.format(number) for number in (999, 99999999, "9" * 5000, "\u0663")]
    state = small_state() | {key: torch.zeros(128) for key in extra}
    report = convert_checkpoint(state, tmp_path / "model.safetensors")
    assert report.config.layers == SMALL.layers
    assert set(report.dropped) == set(extra)


def test_training_only_tensors_may_be_absent(tmp_path: Path) -> None:
    state = {name: value for name, value in small_state().items() if "dense_var" not in name}
    report = convert_checkpoint(state, tmp_path / "model.safetensors")
    assert all(name.endswith("num_batches_tracked") for name in report.training_only)


class _Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_pickle_code_is_never_run(tmp_path: Path) -> None:
    marker, source = tmp_path / "executed", tmp_path / "hostile.pt"
    torch.save({"model": small_state(), "extra": _Payload(marker)}, source)
    with pytest.raises(ConversionError, match=r"hostile\.pt.*not run"):
        convert_checkpoint(source, tmp_path / "model.safetensors")
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"short", b"PK\x03\x04" + b"\0" * 40, b"\xff" * 8 + b"{}", b"\x80\x02."])
def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "broken.pt"
    source.write_bytes(content)
    with pytest.raises(ConversionError, match=r"broken\.pt"):
        convert_checkpoint(source, tmp_path / "model.safetensors")


@pytest.mark.parametrize("content", [[1, 2], {}, {"model": {}}, {"weights": 3}, {"model": {"a": 1}}])
def test_files_without_a_state_dict_are_refused(tmp_path: Path, content: Any) -> None:
    source = tmp_path / "odd.pt"
    torch.save(content, source)
    with pytest.raises(ConversionError, match=r"odd\.pt.*state dict"):
        convert_checkpoint(source, tmp_path / "model.safetensors")


def test_unfit_arguments_and_paths(tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    with pytest.raises(ConversionError, match="float8"):
        convert_checkpoint(small_state(), out, dtype="float8")
    with pytest.raises(FileNotFoundError):
        convert_checkpoint(tmp_path / "nowhere.pt", out)
    with pytest.raises(OSError, match="nowhere"):
        convert_checkpoint(small_state(), tmp_path / "nowhere" / "model.safetensors")
    big = small_state()
    big["fsq.project_in.bias"] = torch.full((8,), 1e6)
    with pytest.raises(ConversionError, match=r"fsq\.project_in\.bias is not finite as float16"):
        convert_checkpoint(big, out, dtype="float16")
    with pytest.raises(ConfigError, match="head_dim"):  # 96 channels do not split into heads of 64
        convert_checkpoint(SecoustiCodec(SMALL.replace(dimension=96, head_dim=32)).state_dict(), out)
    assert not out.exists()


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "model.safetensors"
    out.write_bytes(b"precious")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        convert_checkpoint(small_state(), out)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    assert out.read_bytes() == b"precious"


def test_without_torch_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['torch'] = None\nimport secousti_native.convert"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert run.returncode != 0
    assert run.stderr.strip().splitlines()[-1].endswith('pip install "secousti-native[torch]"')


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_unusual_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = small_state()
    monkeypatch.chdir(tmp_path)
    convert_checkpoint(state, "real.safetensors", config=SMALL)
    expected = Path("real.safetensors").read_bytes()

    Path("real.safetensors").write_bytes(b"old")
    Path("link").symlink_to("real.safetensors")
    convert_checkpoint(state, "link", config=SMALL)
    assert Path("link").is_symlink()
    assert Path("real.safetensors").read_bytes() == expected

    os.mkfifo("pipe")
    with Path("copy").open("wb") as copy, subprocess.Popen(["cat", "pipe"], stdout=copy) as reader:
        convert_checkpoint(state, "pipe", config=SMALL)
        assert reader.wait(60) == 0
    assert Path("copy").read_bytes() == expected
    assert Path("pipe").is_fifo()

    with pytest.raises(IsADirectoryError) as found:
        convert_checkpoint(state, ".", config=SMALL)
    assert found.value.filename == "."
    with pytest.raises(FileNotFoundError) as missing:
        convert_checkpoint(state, "none/x.safetensors", config=SMALL)
    assert missing.value.filename == "none/x.safetensors"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "link", "pipe", "real.safetensors"]
