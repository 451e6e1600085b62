"""`tools/check_layers.py`: it finds every planted fault, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from scripts import ROOT, load_script

layers = load_script("tools/check_layers.py")

#: A tree without fault, with every layer and ways to write an include or import that are allowed.
CLEAN = {
    "csrc/include/secousti.h": "",
    "csrc/base/error.h": "#include <sys/mman.h>\n#include <vector>",
    "csrc/kernels/backend.h": '#include "base/error.h"',
    "csrc/kernels/cpu/isa_avx2.cpp": '#include <immintrin.h>\n#include "kernels/backend.h"',
    "csrc/kernels/cuda/device.h": '#include "simt.cuh"\n#include "../backend.h"',
    "csrc/kernels/cuda/simt.cuh": '#include <cuda_runtime.h>\n#include <simt_runtime.h>',
    "csrc/emulator/simt_runtime.h": '#include "kernels/cuda/simt.cuh"',
    "csrc/io/json.h": '#include "base/error.h"',
    "csrc/layers/conv.h": '#include "kernels/backend.h"',
    "csrc/models/mel.h": '#include "layers/conv.h"  // malloc(3)\n// \\\n#include "codec/model.h"\n'
    '/*\n#include "cuda/arrays.h"\n*/',
    "csrc/codec/model.h": '#include "models/mel.h"',
    "csrc/cuda/arrays.h": '#include "kernels/cuda/device.h"\n#include "codec/model.h"',
    "csrc/api/model.cpp": '#include "codec/model.h"\n#include "secousti.h"\n#include "handles.h"',
    "csrc/api/handles.h": "",
    "csrc/bindings/core.cpp": '#include "secousti.h"\n#include <pybind11/pybind11.h>',
    "csrc/bindings/kernels.cpp": '#include "layers/conv.h"\n#include "kernels/backend.h"',
    "examples/host.c": '#include "secousti.h"\n#include "wav.h"',
    "examples/wav.h": "",
    "python/secousti_native/__init__.py": "from secousti_native.codec import Codec",
    "python/secousti_native/__main__.py": "from secousti_native.cli import main",
    "python/secousti_native/_core.pyi": "",
    "python/secousti_native/codec.py": "from secousti_native import _core, model\n\ndef f():\n    import torch",
    "python/secousti_native/model.py": "import numpy",
    "python/secousti_native/_weights.py": "def f():\n    from secousti_native.convert import convert_checkpoint",
    "python/secousti_native/reference/__init__.py": "",
    "python/secousti_native/reference/codec.py": "import torch\nfrom ..model import Model",
    "python/secousti_native/convert.py": "import torch\nfrom .reference.codec import SecoustiCodec",
    "python/secousti_native/training/__init__.py": "import torch",
    "python/secousti_native/benchmark/__init__.py": "",
    "python/secousti_native/benchmark/run.py": "from secousti_native import codec\n\n"
    "def f():\n    from secousti_native.reference.codec import C",
    "python/secousti_native/cli/__init__.py": "import typer\nfrom secousti_native.benchmark import run",
}  # fmt: skip

#: (file, what it holds, what the one complaint says)
CPP_FAULTS = [
    ("csrc/kernels/a.cpp", '#include "models/mel.h"', "includes models/mel.h"),
    ("csrc/kernels/a.cpp", '#include "../models/mel.h"', "includes ../models/mel.h"),
    ("csrc/kernels/a.cpp", "#include <models/mel.h>", "includes models/mel.h"),
    ("csrc/kernels/a.cpp", '#include "csrc/models/mel.h"', "includes csrc/models/mel.h"),
    ("csrc/kernels/a.cpp", '#include "cpu/../../models/./mel.h"', "includes cpu/../../models/./mel.h"),
    ("csrc/kernels/a.cpp", '  #  include/**/"models/mel.h"', "includes models/mel.h"),
    ("csrc/kernels/a.cpp", '#include \\\n"models/mel.h"', "includes models/mel.h"),
    ("csrc/kernels/a.cpp", '%:include "models/mel.h"', "includes models/mel.h"),
    ("csrc/kernels/a.cpp", "#include_next <models/mel.h>", "includes models/mel.h"),
    ("csrc/kernels/a.cpp", '#if 0\n#include "models/mel.h"\n#endif', "includes models/mel.h"),
    ("csrc/kernels/a.cpp", "#include MEL", "a macro"),
    ("csrc/kernels/a.cpp", '#include "immintrin2.h"', "does not exist"),
    ("csrc/kernels/a.cpp", '#include "../../examples/wav.h"', "outside of csrc/"),
    ("csrc/kernels/cpu/body.h", "#include <immintrin.h>", "intrinsics"),
    ("csrc/kernels/cpu/b.cpp", '#include "kernels/cuda/device.h"', "includes kernels/cuda/device.h"),
    ("csrc/kernels/cuda/c.cu", '#include "emulator/simt_runtime.h"', "includes emulator/simt_runtime.h"),
    ("csrc/io/d.cpp", '#include "kernels/backend.h"', "includes kernels/backend.h"),
    ("csrc/models/e.cpp", '#include "codec/model.h"', "includes codec/model.h"),
    ("csrc/models/e.cpp", "#include <cuda_runtime.h>", "CUDA headers"),
    ("csrc/codec/f.cpp", '#include "cuda/arrays.h"', "includes cuda/arrays.h"),
    ("csrc/codec/f.cpp", '#include "../cuda/arrays.h"', "includes ../cuda/arrays.h"),
    ("csrc/codec/f.cpp", '#include "kernels/cuda/device.h"', "includes kernels/cuda/device.h"),
    ("csrc/codec/f.cpp", "#include <pybind11/pybind11.h>", "pybind11"),
    ("csrc/codec/f.cpp", "#include <torch/torch.h>", "torch"),
    ("csrc/codec/f.cpp", '#include "secousti.h"', "includes secousti.h"),
    ("csrc/cuda/g.cpp", '#include "api/handles.h"', "includes api/handles.h"),
    ("csrc/api/h.cpp", '#include "cuda/arrays.h"', "includes cuda/arrays.h"),
    ("csrc/api/h.cpp", '#include "kernels/cuda/device.h"', "includes kernels/cuda/device.h"),
    ("csrc/bindings/i.cpp", '#include "codec/model.h"', "includes codec/model.h"),
    ("csrc/bindings/kernels.cpp", '#include "models/mel.h"', "includes models/mel.h"),
    ("csrc/layers/j.cpp", "void* p = malloc(3);", "allocate with operator new"),
    ("csrc/extra/k.h", "", "csrc/extra: not a layer"),
    ("examples/host.c", '#include "../csrc/codec/model.h"', "which no host sees"),
]
PYTHON_FAULTS = [
    ("codec.py", "import torch", "import torch inside the function"),
    ("codec.py", "try:\n    from soxr import resample\nexcept ImportError:\n    pass", "import soxr inside"),
    ("codec.py", "class A:\n    import rich.table", "import rich inside"),
    ("benchmark/run.py", "import torch", "import torch inside"),
    ("_weights.py", "from secousti_native.convert import a", "inside the function"),
    ("streams.py", "def f():\n    from secousti_native.convert import a", "imports secousti_native.convert"),
    ("codec.py", "from .training import trainer", "imports secousti_native.training"),
    ("codec.py", "from . import training", "imports secousti_native.training"),
    ("codec.py", "from secousti_native import training", "imports secousti_native.training"),
    ("codec.py", "from secousti_native.training.trainer import a", "imports secousti_native.training.trainer"),
    ("codec.py", "import secousti_native.training", "imports secousti_native.training"),
    ("codec.py", "import secousti_native.training as t, os", "imports secousti_native.training"),
    ("codec.py", "def f():\n    from secousti_native import cli", "imports secousti_native.cli"),
    ("codec.py", "import importlib\na = importlib.import_module('secousti_native.cli')", "imports secousti_native.cli"),
    ("codec.py", "def f():\n    return __import__('secousti_native.cli')", "imports secousti_native.cli"),
    ("benchmark/run.py", "from ..cli import a", "imports secousti_native.cli"),
    ("benchmark/run.py", "from secousti_native.reference.codec import C", "inside the function"),
    ("reference/codec.py", "from secousti_native import training", "imports secousti_native.training"),
    ("reference/codec.py", "def f():\n    from ..training import a", "imports secousti_native.training"),
    ("training/a.py", "from secousti_native.cli import a", "imports secousti_native.cli"),
    ("convert.py", "def f():\n    from secousti_native import training", "imports secousti_native.training"),
    ("model.py", "from secousti_native.codec import Codec", "secousti_native.codec -> secousti_native.model"),
    ("model.py", "from secousti_native import codec", "secousti_native.codec -> secousti_native.model"),
    ("model.py", "from . import codec", "secousti_native.codec -> secousti_native.model"),
    ("model.py", "def f():\n    import secousti_native.codec", "secousti_native.codec -> secousti_native.model"),
    ("model.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .codec import Codec", "codec -> "),
    ("model.py", "from secousti_native import Codec", "secousti_native.model -> secousti_native"),
    ("extra/__init__.py", "", "secousti_native/extra: not a layer"),
]  # fmt: skip


def plant(root: Path, tree: dict[str, str]) -> None:
    for name, text in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_tree() -> None:
    assert layers.check(ROOT)[0] == []


def test_clean_tree_has_none(tmp_path: Path) -> None:
    plant(tmp_path, CLEAN)
    found, arrows = layers.check(tmp_path)
    assert found == []
    counts = Counter((arrow.layer, arrow.target_layer) for arrow in arrows)
    assert counts["cuda", "kernels/cuda"] == counts["cuda", "codec"] == 1
    assert counts["bindings", "layers"] == counts["bindings", "kernels"] == 1
    assert counts["convert", "reference"] == counts["benchmark", "reference"] == counts["cli", "benchmark"] == 1
    assert not counts["codec", "cuda"]
    assert not counts["package", "cli"]


@pytest.mark.parametrize(("name", "text", "complaint"), CPP_FAULTS)
def test_cpp_faults(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    plant(tmp_path, CLEAN | {name: CLEAN.get(name, "") + "\n" + text})
    found, _ = layers.check(tmp_path)
    assert len(found) == 1, found
    assert complaint in found[0]
    assert (name in found[0]) or "not a layer" in complaint


@pytest.mark.parametrize(("name", "text", "complaint"), PYTHON_FAULTS)
def test_python_faults(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = f"python/secousti_native/{name}"
    plant(tmp_path, CLEAN | {path: CLEAN.get(path, "") + "\n" + text})
    found, _ = layers.check(tmp_path)
    assert len(found) == 1, found
    assert complaint in found[0]


def test_layers_are_listed_in_order() -> None:
    assert list(layers.check_order({"a": [], "b": ["a"]})) == []
    assert len(list(layers.check_order({"a": ["b"], "b": []}))) == 1


def test_table_counts_arrows() -> None:
    arrows = [layers.Arrow("csrc/b/x.h", "b", "a/y.h", "a")] * 3 + [layers.Arrow("csrc/a/y.h", "a", "a/z.h", "a")]
    lines = list(layers.table({"a": [], "b": ["a"], "c": []}, arrows))
    assert lines == ["| from | a |", "|---|---:|", "| a | 1 |", "| b | 3 |", "| c |  |"]
