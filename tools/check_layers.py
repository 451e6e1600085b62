#!/usr/bin/env python3
"""Checks that no file reaches out of its layer; prints each violation and exits 1 if there is one.

C++: a folder of csrc/ includes only from itself and the folders named for it in ARROWS; intrinsics, CUDA and pybind11
headers only where they belong; no raw allocation. Python: importing the package must not import heavy libraries.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

BELOW = ["base", "kernels", "io", "layers", "models"]
#: What a folder of csrc/ may include beside its own files. `io` knows no kernels, `kernels` no files.
ARROWS = {
    "include": [],
    "base": [],
    "kernels": ["base"],
    "io": ["base"],
    "layers": ["base", "kernels", "io"],
    "models": ["base", "kernels", "io", "layers"],
    "codec": BELOW,
    "cuda": [*BELOW, "codec"],
    "api": [*BELOW, "codec", "include"],
    "emulator": ["base", "kernels"],
    "bindings": ["include"],
}
#: Files with more freedom than their folder.
EXCEPTIONS = {
    "bindings/kernels.cpp": ["include", "base", "kernels", "layers"],
    "kernels/cuda/simt.h": ["base", "emulator"],  # where no GPU compiler is
}

INTRINSICS = re.compile(r"^(immintrin|x86intrin|[a-z]mmintrin|arm_neon|arm_sve|cpuid)\.h$")
CUDA = re.compile(r"^(cuda\w*|cublas\w*|cufft\w*|cooperative_groups|mma)(/.*|\.h|\.hpp)?$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
ALLOCATION = re.compile(r"\b(?:malloc|calloc|realloc|alloca)\s*\(")

#: Imported where they are used, with an error that says what to install.
HEAVY = {
    "torch", "torchaudio", "soxr", "soundfile", "typer", "rich", "scipy", "pesq", "pystoi", "matplotlib", "safetensors",
    "tensorboard", "pandas", "numba", "sklearn", "speechmos", "resemblyzer", "faster_whisper", "jiwer",
    "whisper_normalizer", "onnx", "onnxruntime",
}  # fmt: skip
#: Parts of the package that are only imported on purpose, by those who have what they need.
SEPARATE = {"reference", "training", "cli", "convert"}


def strip_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)


def check_cpp(csrc: Path) -> Iterator[str]:
    folders = {path.name for path in csrc.iterdir() if path.is_dir()}
    for unknown in sorted(folders - set(ARROWS)):
        yield f"csrc/{unknown}: not a layer; add it to ARROWS with what it may include"
    for path in sorted(p for p in csrc.rglob("*") if p.suffix in {".h", ".hpp", ".c", ".cpp", ".cu", ".cuh"}):
        name = path.relative_to(csrc).as_posix()
        folder = name.split("/")[0]
        allowed = {folder, *EXCEPTIONS.get(name, ARROWS.get(folder, []))}
        text = path.read_text(encoding="utf-8")
        for bracket, header in INCLUDE.findall(text):
            target = header.split("/")[0]
            if bracket == '"':
                if target not in ARROWS:  # a public header, or a neighbour by its bare name
                    target = "include" if (csrc / "include" / header).is_file() else folder
                if target not in allowed:
                    yield f"csrc/{name}: includes {header}, but {folder} may only include {sorted(allowed)}"
            if INTRINSICS.match(header) and not re.match(
                r"kernels/cpu/(isa|simd)_\w+\.(h|cpp)$|kernels/dispatch.cpp$", name
            ):
                yield f"csrc/{name}: intrinsics belong into kernels/cpu/isa_*.cpp and simd_*.h"
            if bracket == "<" and CUDA.match(header) and not name.startswith("kernels/cuda/"):
                yield f"csrc/{name}: CUDA headers belong into kernels/cuda/"
            if header.startswith(("pybind11", "Python.h")) and folder != "bindings":
                yield f"csrc/{name}: pybind11 belongs into bindings/"
            if header.startswith(("torch", "ATen", "c10")):
                yield f"csrc/{name}: the engine does not know torch"
        if folder not in {"bindings", "include"} and ALLOCATION.search(strip_comments(text)):
            yield f"csrc/{name}: allocate with operator new (Arena, std::vector): tests count its calls"


def imports_at_load(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Modules imported when the module itself is: not those inside functions or `if TYPE_CHECKING`."""
    queue: list[ast.stmt] = list(tree.body)
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
        elif isinstance(node, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(node.test):
                queue += node.body
            queue += node.orelse
        elif isinstance(node, (ast.Try, ast.With, ast.ClassDef)):
            queue += node.body
            if isinstance(node, ast.Try):
                queue += [*node.orelse, *node.finalbody, *(s for handler in node.handlers for s in handler.body)]


def check_python(package: Path) -> Iterator[str]:
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        part = name.split("/")[0].removesuffix(".py")
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for line, module in imports_at_load(tree):
            top = module.lstrip(".").split(".")[0]
            where = f"{package.name}/{name}:{line}"
            if part not in SEPARATE:
                if not module.startswith(".") and top in HEAVY:
                    yield f"{where}: import {top} inside the function that needs it"
                if module.startswith(".") and top in SEPARATE and part != "__main__":
                    yield f"{where}: the package does not import its {top} part at load time"
            if part == "reference" and module.startswith("..") and top == "training":
                yield f"{where}: the reference model does not know its training"


def violations(root: Path) -> list[str]:
    return [*check_cpp(root / "csrc"), *check_python(root / "python" / "secousti_native")]


def main() -> int:
    found = violations(ROOT)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
