"""Model files: what opens, and what is refused with a message that says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import secousti_native
from secousti_native import Codec, ModelFormatError, _core

Floats = npt.NDArray[np.float32]
ASSETS = Path(secousti_native.__file__).parent / "assets"

# ---- model files ----


def test_missing_and_foreign_model_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="default-21"):
        Codec.from_pretrained("nonsense")
    with pytest.raises(FileNotFoundError):
        Codec.from_pretrained(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError):
        _core.Model(bytes(tmp_path / "none.safetensors"))
    with pytest.raises(FileNotFoundError):
        Codec.from_pretrained(tmp_path / "checkpoint.pt")
    with pytest.raises(OSError):
        Codec.from_pretrained(tmp_path)
    for name, content in {"empty": b"", "short": b"\1\2", "text": b"hello " * 100, "zeros": bytes(4096)}.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(ModelFormatError):
            Codec.from_pretrained(path)


def _parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def _file(header: Any, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


@pytest.fixture(scope="module")
def model_bytes() -> bytes:
    return (ASSETS / "default_21.safetensors").read_bytes()


def test_a_model_opens_from_memory(model_bytes: bytes, codec21: Codec) -> None:
    assert _core.Model.from_memory(model_bytes).info()["identity"] == codec21.identity


@pytest.mark.parametrize("keep", [0, 7, 8, 9, 100, 5000, 0.5, -1])
def test_truncated_models(model_bytes: bytes, keep: float) -> None:
    count = int(len(model_bytes) * keep) if isinstance(keep, float) else keep % len(model_bytes)
    with pytest.raises(ModelFormatError):
        _core.Model.from_memory(model_bytes[:count])


def test_hostile_models(model_bytes: bytes) -> None:
    header, body = _parts(model_bytes)
    name = next(key for key in header if key != "__metadata__")

    def changed(**entry: Any) -> bytes:
        return _file(header | {name: header[name] | entry}, body)

    def config(**fields: Any) -> bytes:
        meta = dict(header["__metadata__"])
        meta["config"] = json.dumps(json.loads(meta["config"]) | fields)
        return _file(header | {"__metadata__": meta}, body)

    begin, end = header[name]["data_offsets"]
    hostile = {
        "header longer than the file": (2**63).to_bytes(8, "little") + model_bytes[8:],
        "no metadata": _file({k: v for k, v in header.items() if k != "__metadata__"}, body),
        "tensor beyond the end": changed(data_offsets=[begin, len(body) + 8]),
        "negative offset": changed(data_offsets=[-8, end]),
        "backwards": changed(data_offsets=[end, begin]),
        "unknown dtype": changed(dtype="I7"),
        "shape overflow": changed(shape=[2**40, 2**40]),
        "negative shape": changed(shape=[-1, 4]),
        "dimension": config(dimension=2**30),
        "zero layers": config(layers={"acoustic": 0, "semantic": 0, "connector": 0, "decoder": 0}),
        "negative filters": config(n_filters=-4),
        "levels": config(fsq_levels=[3] * 60),
        "not an object": _file([1, 2, 3], body),
        "deep": b"\x40\x00\x00\x00\x00\x00\x00\x00" + b"[" * 64 + body,
    }
    for what, data in hostile.items():
        with pytest.raises(ModelFormatError):
            _core.Model.from_memory(data)
            pytest.fail(what)


def test_missing_and_misshapen_tensors_are_all_named(model_bytes: bytes) -> None:
    header, body = _parts(model_bytes)
    names = [key for key in header if key != "__metadata__"]
    missing, misshapen = names[3:5], [key for key in names[5:] if len(set(header[key]["shape"])) > 1][:2]
    faulty = {("extra." + key if key in missing else key): dict(entry) for key, entry in header.items()}
    for name in misshapen:
        faulty[name]["shape"] = faulty[name]["shape"][::-1]
    with pytest.raises(ModelFormatError) as caught:
        _core.Model.from_memory(_file(faulty, body))
    for name in missing + misshapen:
        assert name in str(caught.value)
    extra = _file(header | {"extra.tensor": {"dtype": "F32", "shape": [0], "data_offsets": [len(body)] * 2}}, body)
    assert _core.Model.from_memory(extra).info()["name"] == "default-21"


def test_nan_weights_are_refused(model_bytes: bytes) -> None:
    header, body = _parts(model_bytes)
    name = next(key for key, value in header.items() if key != "__metadata__" and value["dtype"] == "F16")
    begin = header[name]["data_offsets"][0]
    with pytest.raises(ModelFormatError, match=name.replace(".", r"\.")):
        _core.Model.from_memory(_file(header, body[:begin] + b"\x00\x7e" + body[begin + 2 :]))
