"""What the binding itself must refuse, before the library sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import secousti_native
from secousti_native import Codec, _core


def test_a_model_opens_from_contiguous_memory_only(codec21: Codec) -> None:
    model_bytes = (Path(secousti_native.__file__).parent / "assets" / "default_21.safetensors").read_bytes()
    array = np.frombuffer(model_bytes, np.uint8)
    shaped = array.reshape(-1, 2, 2)
    contiguous: list[Any] = [array, shaped, array.view(np.uint32), memoryview(model_bytes), bytearray(model_bytes)]
    for whole in contiguous:
        assert _core.Model.from_memory(whole).info()["identity"] == codec21.identity
    spaced = np.repeat(array, 2)[::2]  # the right bytes, not next to each other
    refused: list[Any] = [array[::-1], spaced, shaped.T, memoryview(model_bytes)[::-1]]
    for scattered in refused:
        with pytest.raises(ValueError, match="data: expected a C-contiguous buffer"):
            _core.Model.from_memory(scattered)
