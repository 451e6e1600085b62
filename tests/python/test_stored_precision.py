"""Model files whose matrices are stored at reduced precision: the same numbers, fewer bytes, and nothing trusted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import safetensors  # noqa: E402
import safetensors.torch  # noqa: E402

from secousti_native import Codec, ModelFormatError  # noqa: E402
from secousti_native.benchmark.timing import voiced_signal  # noqa: E402
from secousti_native.convert import ConversionError, convert_checkpoint, is_matrix  # noqa: E402
from secousti_native.reference.codec import SecoustiCodec  # noqa: E402
from secousti_native.reference.config import CodecConfig, LayerCounts  # noqa: E402

# 66 and 200 are no multiples of a panel or of a group of four.
SMALL = CodecConfig(
    n_mels=20, n_filters=8, dimension=66, head_dim=22, feedforward=201, ratios=(1, 2), context=20,
    layers=LayerCounts(acoustic=1, semantic=2, connector=1, decoder=1),
)  # fmt: skip
MATRIX = "decoder_transformer.transformer.layers.0.linear1.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model stored at each precision."""
    torch.manual_seed(0)
    state = SecoustiCodec(SMALL, layer_scale=0.5).state_dict()
    state["fsq.project_in.weight"] *= 100.0  # a fresh model has one token for everything
    state[MATRIX][3] = 0.0  # an output without weights
    path = tmp_path_factory.mktemp("stored")
    for precision in ("fp32", "bf16", "int8"):
        convert_checkpoint(state, path / f"{precision}.safetensors", config=SMALL, precision=precision)
    return path


def results(path: Path, precision: str) -> tuple[list[int], np.ndarray[Any, Any]]:
    codec = Codec.from_pretrained(str(path), precision=precision)
    pcm = voiced_signal(40 * codec.frame_size, codec.sample_rate)
    encoded = codec.encode(pcm)
    return list(encoded.tokens), np.asarray(codec.stages.decode_tokens(encoded.tokens, encoded.voice))


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_quantised_when_stored_or_when_opened_is_the_same(folder: Path, precision: str) -> None:
    tokens, mel = results(folder / f"{precision}.safetensors", precision)
    expected_tokens, expected_mel = results(folder / "fp32.safetensors", precision)
    assert len(set(tokens)) > 1
    assert tokens == expected_tokens
    np.testing.assert_array_equal(mel, expected_mel)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_float16_is_kept_in_two_bytes_and_changes_nothing(folder: Path, tmp_path: Path, precision: str) -> None:
    half, wide = tmp_path / "half.safetensors", tmp_path / "wide.safetensors"
    convert_checkpoint(folder / "fp32.safetensors", half, dtype="float16")
    convert_checkpoint(half, wide, dtype="float32")
    tokens, mel = results(half, precision)
    expected_tokens, expected_mel = results(wide, precision)
    assert tokens == expected_tokens
    np.testing.assert_array_equal(mel, expected_mel)
    halves, floats = (Codec.from_pretrained(str(path), precision=precision).info for path in (half, wide))
    assert halves["half_weights"] and not floats["half_weights"]
    if precision == "fp32":
        assert 0.5 < halves["memory_bytes"] / floats["memory_bytes"] < 0.75  # what is no product's stays float32


@pytest.mark.parametrize("stored", ["bf16", "int8"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_files_open_at_any_precision(folder: Path, stored: str, precision: str) -> None:
    _, mel = results(folder / f"{stored}.safetensors", precision)
    assert np.isfinite(mel).all()


def test_files_hold_integers_and_scales(folder: Path) -> None:
    sizes = {p: (folder / f"{p}.safetensors").stat().st_size for p in ("fp32", "bf16", "int8")}
    assert sizes["int8"] < sizes["bf16"] < sizes["fp32"]
    with safetensors.safe_open(folder / "fp32.safetensors", framework="pt") as file:
        whole = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    stored = safetensors.torch.load_file(folder / "int8.safetensors")
    matrices = {name for name in whole if is_matrix(name)}
    assert len(matrices) == 4 * 5
    assert set(stored) == set(whole) | {name + ".scale" for name in matrices}
    for name, value in whole.items():
        if name in matrices:
            assert stored[name].dtype == torch.int8
            error = (stored[name].float() * stored[name + ".scale"][:, None] - value).abs().amax(dim=1)
            assert bool((error <= 0.501 * stored[name + ".scale"] + 1e-12).all()), name
            assert int(stored[name].max()) <= 127 and int(stored[name].min()) >= -127
        else:
            assert torch.equal(stored[name], value), name
    assert not bool(stored[MATRIX][3].any())


def test_converting_a_quantised_file_again_keeps_its_integers(folder: Path, tmp_path: Path) -> None:
    convert_checkpoint(folder / "int8.safetensors", tmp_path / "wide.safetensors")
    convert_checkpoint(tmp_path / "wide.safetensors", tmp_path / "again.safetensors", precision="int8")
    first = safetensors.torch.load_file(folder / "int8.safetensors")
    again = safetensors.torch.load_file(tmp_path / "again.safetensors")
    for name, value in first.items():
        if value.dtype == torch.int8:
            assert torch.equal(value, again[name]), name


def test_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="precision: 'int4' is not one of fp32, bf16, int8"):
        convert_checkpoint({}, tmp_path / "x.safetensors", precision="int4")


def drop_scale(state: dict[str, Any]) -> None:
    del state[MATRIX + ".scale"]


def misshape_scale(state: dict[str, Any]) -> None:
    state[MATRIX + ".scale"] = torch.ones(200)


def poison_scale(state: dict[str, Any]) -> None:
    state[MATRIX + ".scale"][7] = float("nan")


def out_of_range(state: dict[str, Any]) -> None:
    state[MATRIX][200, 65] = -128


def quantise_scale(state: dict[str, Any]) -> None:
    state[MATRIX + ".scale"] = torch.ones(201, dtype=torch.int8)


def unsigned(state: dict[str, Any]) -> None:
    state[MATRIX] = state[MATRIX].to(torch.uint8)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_scale, f"missing: {MATRIX}.scale [201]"),
        (misshape_scale, f"misshapen: {MATRIX}.scale is [200], expected [201]"),
        (poison_scale, f"tensor '{MATRIX}.scale': NaN at index [7]"),
        (out_of_range, f"tensor '{MATRIX}': holds -128"),
        (quantise_scale, f"tensor '{MATRIX}.scale': dtype I8"),
        (unsigned, f"tensor '{MATRIX}': dtype U8"),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_damaged_integers_are_named(
    folder: Path, tmp_path: Path, damage: Callable[[dict[str, Any]], None], message: str, precision: str
) -> None:
    state = safetensors.torch.load_file(folder / "int8.safetensors")
    with safetensors.safe_open(folder / "int8.safetensors", framework="pt") as file:
        metadata = file.metadata()
    damage(state)
    path = tmp_path / "damaged.safetensors"
    safetensors.torch.save_file(state, path, metadata)
    with pytest.raises(ModelFormatError, match=re.escape(message)):
        Codec.from_pretrained(str(path), precision=precision)


def test_token_precision_is_kept_in_the_file_and_by_the_engine(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = SecoustiCodec(SMALL, layer_scale=0.5).state_dict()
    state["fsq.project_in.weight"] *= 100.0
    path = tmp_path / "exact.safetensors"
    report = convert_checkpoint(state, path, config=SMALL, precision="int8", token_precision="fp32")
    assert report.config.token_precision == "fp32"
    stored = safetensors.torch.load_file(path)
    semantic = [name for name in stored if is_matrix(name) and "vae_semantic_transformer" in name]
    assert len(semantic) == 4 * 2
    assert all(stored[name].dtype == torch.float32 for name in semantic)
    assert stored[MATRIX].dtype == torch.int8
    assert results(path, "int8")[0] == results(path, "fp32")[0]
    again = convert_checkpoint(path, tmp_path / "again.safetensors")
    assert again.config.token_precision == "fp32"
    with pytest.raises(ValueError, match="token_precision: 'fp8' is not one of fp32, bf16, int8"):
        convert_checkpoint(state, path, config=SMALL, token_precision="fp8")


def test_default_precision_is_kept_in_the_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = SecoustiCodec(SMALL, layer_scale=0.5).state_dict()
    plain, path, again = (tmp_path / f"{name}.safetensors" for name in ("plain", "said", "again"))
    # Nothing was measured unless somebody says so, whatever the file stores.
    assert convert_checkpoint(state, plain, config=SMALL, precision="int8").config.default_precision == "fp32"
    assert Codec.from_pretrained(plain).precision == "fp32"
    assert "default_precision" not in Codec.from_pretrained(plain).config
    assert convert_checkpoint(plain, path, default_precision="bf16").config.default_precision == "bf16"
    assert Codec.from_pretrained(path).precision == "bf16"
    assert convert_checkpoint(path, again).config.default_precision == "bf16"
    assert convert_checkpoint(path, again, token_precision="int8").config.default_precision == "bf16"  # as it is
    assert convert_checkpoint(path, again, token_precision="bf16").config.default_precision == "fp32"  # not measured
    convert_checkpoint(path, again, default_precision="fp32")
    assert Codec.from_pretrained(again).precision == "fp32"
    with pytest.raises(ValueError, match="default_precision: 'fp8' is not one of fp32, bf16, int8"):
        convert_checkpoint(state, path, config=SMALL, default_precision="fp8")


def test_another_vocoder_has_to_be_measured_again(tmp_path: Path) -> None:
    from secousti_native.reference.config import VocoderConfig
    from secousti_native.reference.hift import HiFT

    kind = VocoderConfig("hift", channels=16, f0_channels=10, f0_layers=2, resblock_dilations=(1, 3), harmonics=3)
    config = SMALL.replace(default_precision="int8")
    state = SecoustiCodec(config, layer_scale=0.5).state_dict()
    voice = HiFT(config.replace(vocoder=kind), weight_norm=True).state_dict()
    path = tmp_path / "m.safetensors"
    assert convert_checkpoint(state, path, config=config).config.default_precision == "int8"
    assert convert_checkpoint(path, path, voice).config.default_precision == "fp32"
    assert convert_checkpoint(path, path, voice, default_precision="bf16").config.default_precision == "bf16"
