#!/usr/bin/env python3
"""Checks that no file reaches out of its layer; prints each violation and exits 1 if there is one.

C++: a folder of csrc/ includes only from itself and from the folders that LAYERS names for it, however the include is
spelled. Intrinsics, CUDA and pybind11 headers stand only where they belong, and nothing allocates past the tests'
counters. Examples include what a host sees.

Python: the same for the parts of the package, and no modules import each other in a circle. An import inside a function
or under TYPE_CHECKING is an arrow too: who names a module's types knows it. Only what is imported when a module loads
must be light: heavy libraries are imported where they are used.

With --table it prints the layers and how many includes or imports go from one to another.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "secousti_native"

BELOW = ["base", "kernels", "io", "layers", "models"]
#: What a folder of csrc/ may include beside its own files; only folders above it in this list. `io` knows no kernels,
#: `kernels` no files, `codec` no device: that is registered with it.
LAYERS = {
    "include": [],
    "base": [],
    "kernels": ["base"],
    "kernels/cuda": ["base", "kernels"],
    "emulator": ["base", "kernels", "kernels/cuda"],
    "io": ["base"],
    "layers": ["base", "kernels", "io"],
    "models": ["base", "kernels", "io", "layers"],
    "codec": BELOW,
    "cuda": [*BELOW, "kernels/cuda", "codec"],
    "api": [*BELOW, "codec", "include"],
    "bindings": ["include"],
}
#: Files with more freedom than their folder.
EXCEPTIONS = {
    "bindings/kernels.cpp": ["base", "kernels", "layers"],  # kernels one by one, for tests and measurements
}

#: The same for the parts of the Python package: folders, `convert`, and `package` for all other modules.
PYTHON_LAYERS = {
    "package": [],
    "reference": ["package"],
    "convert": ["package", "reference"],
    "training": ["package", "reference", "convert"],
    "benchmark": ["package", "reference"],
    "evaluation": ["package", "benchmark"],
    "cli": ["package", "convert", "training", "benchmark", "evaluation"],
}
#: Folders whose modules are `package`, as those beside them.
OF_PACKAGE = {"_reading"}
#: Modules with more freedom than their part: what opens a model converts it first if it must.
PYTHON_EXCEPTIONS = {"_hub": ["convert"], "_weights": ["convert", "reference"]}
#: Parts that may import heavy libraries when they are loaded, because nothing loads them unasked.
SEPARATE = {"reference", "convert", "training", "cli"}
HEAVY = {
    "torch", "torchaudio", "soxr", "soundfile", "typer", "rich", "scipy", "pesq", "pystoi", "matplotlib", "safetensors",
    "tensorboard", "pandas", "numba", "sklearn", "speechmos", "resemblyzer", "faster_whisper", "jiwer",
    "whisper_normalizer", "onnx", "onnxruntime", "av", "huggingface_hub", "cupy",
}  # fmt: skip

INTRINSICS = re.compile(r"^(immintrin|x86intrin|[a-z]mmintrin|arm_neon|arm_sve|cpuid)\.h$")
WITH_INTRINSICS = re.compile(r"kernels/cpu/(isa|simd)_\w+\.(h|cpp)$|kernels/dispatch\.cpp$")
CUDA = re.compile(r"^(cuda\w*|cublas\w*|cufft\w*|cooperative_groups|mma)(/.*|\.h|\.hpp)?$")
INCLUDE = re.compile(r"^\s*(?:#|%:)\s*(?:include|include_next|import)\b\s*(.*?)\s*$", re.MULTILINE)
ALLOCATION = re.compile(r"\b(?:malloc|calloc|realloc|alloca)\s*\(")
COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
SOURCES = {".h", ".hpp", ".c", ".cpp", ".cc", ".cu", ".cuh", ".inc", ".inl"}


@dataclass(frozen=True)
class Arrow:
    """One file that includes or imports another of the tree."""

    source: str
    """Name of the file, as violations give it."""
    layer: str
    target: str
    target_layer: str


# ---- C++ ----


def layer_of(name: str) -> str:
    """Of a file of csrc/, by its name relative to that folder."""
    return "kernels/cuda" if name.startswith("kernels/cuda/") else name.split("/", maxsplit=1)[0]


def without_comments(text: str) -> str:
    """The text as the preprocessor sees it: lines that go on are joined, comments are a blank."""
    return COMMENT.sub(lambda match: match[1] or " ", re.sub(r"\\\r?\n", "", text))


def includes(text: str) -> Iterator[str]:
    """What stands behind each #include: ``"a.h"``, ``<a.h>`` or a macro."""
    return (match[1] for match in INCLUDE.finditer(text))


def resolve(header: str, path: Path, root: Path) -> Path | None:
    """The file of the tree that an include means, None if it is none: beside ``path``, or in a folder of the -I's."""
    for folder in (path.parent, root / "csrc", root / "csrc" / "include", root):
        candidate = (folder / header).resolve()
        if candidate.is_file() and candidate.is_relative_to(root):
            return candidate
    return None


def check_cpp(root: Path, arrows: list[Arrow]) -> Iterator[str]:
    """Violations in csrc/; what includes what is added to ``arrows``."""
    csrc = root / "csrc"
    folders = {path.name for path in csrc.iterdir() if path.is_dir()}
    for unknown in sorted(folders - set(LAYERS)):
        yield f"csrc/{unknown}: not a layer; add it to LAYERS with what it may include"
    for path in sorted(p for p in csrc.rglob("*") if p.suffix in SOURCES):
        name = path.relative_to(csrc).as_posix()
        layer = layer_of(name)
        allowed = {layer, *LAYERS.get(layer, []), *EXCEPTIONS.get(name, [])}
        text = without_comments(path.read_text(encoding="utf-8"))
        for spelled in includes(text):
            if spelled[:1] not in {'"', "<"}:
                yield f"csrc/{name}: includes {spelled}, a macro; name the header"
                continue
            header = spelled[1:-1]
            found = resolve(header, path, root)
            if found is not None and found.is_relative_to(csrc):
                target = found.relative_to(csrc).as_posix()
                arrows.append(Arrow(f"csrc/{name}", layer, target, layer_of(target)))
                if layer_of(target) not in allowed:
                    yield f"csrc/{name}: includes {header}, but {layer} may only include {sorted(allowed)}"
            elif found is not None:
                yield f"csrc/{name}: includes {header}, which is outside of csrc/"
            elif spelled[0] == '"':
                yield f"csrc/{name}: includes {header}, which does not exist; system headers stand in <>"
            yield from check_system_header(name, header, found is None)
        if layer not in {"bindings", "include"} and ALLOCATION.search(text):
            yield f"csrc/{name}: allocate with operator new (Arena, std::vector): tests count its calls"


def check_system_header(name: str, header: str, foreign: bool) -> Iterator[str]:
    if INTRINSICS.match(header) and not WITH_INTRINSICS.match(name):
        yield f"csrc/{name}: intrinsics belong into kernels/cpu/isa_*.cpp and simd_*.h"
    if foreign and CUDA.match(header) and not name.startswith("kernels/cuda/"):
        yield f"csrc/{name}: CUDA headers belong into kernels/cuda/"
    if header.startswith(("pybind11", "Python.h")) and not name.startswith("bindings/"):
        yield f"csrc/{name}: pybind11 belongs into bindings/"
    if header.startswith(("torch", "ATen", "c10")):
        yield f"csrc/{name}: the engine does not know torch"


def check_examples(root: Path) -> Iterator[str]:
    """Examples show what a host sees: nothing of csrc/ but include/."""
    for path in sorted(p for p in (root / "examples").rglob("*") if p.suffix in SOURCES):
        for spelled in includes(without_comments(path.read_text(encoding="utf-8"))):
            found = resolve(spelled[1:-1], path, root)
            inside = found is not None and found.is_relative_to(root / "csrc")
            if found is not None and inside and not found.is_relative_to(root / "csrc" / "include"):
                yield f"{path.relative_to(root).as_posix()}: includes {spelled[1:-1]}, which no host sees"


# ---- Python ----


@dataclass(frozen=True)
class Import:
    line: int
    module: str
    """Absolute name; of ``from a import b`` it is a.b where that is a module of the package, else a."""
    at_load: bool
    """Done when the importing module is loaded, not within a function or for a type checker alone."""


def statements(body: Iterable[ast.AST], at_load: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes below, each with whether it runs when the module is loaded."""
    for node in body:
        yield node, at_load
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from statements(ast.iter_child_nodes(node), False)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(node.body, False)
            yield from statements(node.orelse, at_load)
        else:
            yield from statements(ast.iter_child_nodes(node), at_load)


def imports(path: Path, module: str, modules: set[str]) -> Iterator[Import]:
    """Of the file ``path``, whose module has the name ``module``, also by import_module and __import__."""
    parents = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    for node, at_load in statements(tree.body):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{a.name}" if f"{base}.{a.name}" in modules else base for a in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).split(".")[-1]
            name = node.args[0].value
            if called in {"import_module", "__import__"} and isinstance(name, str):
                names = [".".join([*parents, name.lstrip(".")]) if name.startswith(".") else name]
        for name in dict.fromkeys(names):
            yield Import(getattr(node, "lineno", 0), name, at_load)


def part_of(module: str) -> str:
    """Of a module of the package: the layer."""
    name = [*module.split("."), ""][1]
    return name if name in PYTHON_LAYERS else "package"


def check_python(root: Path, arrows: list[Arrow]) -> Iterator[str]:
    """Violations in the package; what imports what is added to ``arrows``."""
    package = root / "python" / PACKAGE
    files = {}
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.pyi")]):  # the latter: of compiled modules
        names = [PACKAGE, *path.relative_to(package).with_suffix("").parts]
        files[".".join(names[:-1] if names[-1] == "__init__" else names)] = path
    folders = {path.name for path in package.iterdir() if list(path.glob("*.py"))}
    for unknown in sorted(folders - set(PYTHON_LAYERS) - OF_PACKAGE):
        yield f"{PACKAGE}/{unknown}: not a layer; add it to PYTHON_LAYERS with what it may import"
    graph: dict[str, set[str]] = {module: set() for module in files}
    for module, path in files.items():
        part = "cli" if module == f"{PACKAGE}.__main__" else part_of(module)
        name = f"{PACKAGE}/{path.relative_to(package).as_posix()}"
        for found in imports(path, module, set(files)):
            where = f"{name}:{found.line}"
            top = found.module.split(".")[0]
            if found.at_load and part not in SEPARATE and top in HEAVY:
                yield f"{where}: import {top} inside the function that needs it"
            if top != PACKAGE:
                continue
            target = part_of(found.module)
            arrows.append(Arrow(name, part, found.module, target))
            allowed = [part, *PYTHON_LAYERS[part], *PYTHON_EXCEPTIONS.get(module.partition(".")[2], [])]
            if target not in allowed:
                yield f"{where}: imports {found.module}, but {part} may only import {allowed}"
                continue  # of circles those within what is allowed are left
            if found.at_load and target in SEPARATE and part not in SEPARATE:
                yield f"{where}: import {found.module} inside the function that needs it; it loads heavy libraries"
            if found.module in graph:
                graph[module].add(found.module)
    for circle, together in circles(graph):
        others = f" (and {len(together) - len(circle)} more)" if len(together) > len(circle) else ""
        yield f"{PACKAGE}: modules import each other in a circle: {' -> '.join([*circle, circle[0]])}{others}"


def circles(graph: dict[str, set[str]]) -> Iterator[tuple[list[str], set[str]]]:
    """For each set of nodes that reach each other, a shortest circle and the set."""
    reach = {node: reachable(graph, node) for node in graph}
    done: set[str] = set()
    for node in sorted(graph):
        if node in done or node not in reach[node]:
            continue
        together = {other for other in reach[node] if node in reach[other]}
        done |= together
        yield shortest_circle(graph, node, together), together


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    queue = [start]
    while queue:
        new = graph[queue.pop()] - found
        found |= new
        queue += new
    return found


def shortest_circle(graph: dict[str, set[str]], start: str, together: set[str]) -> list[str]:
    paths = [[start]]
    for path in paths:  # grows: breadth first
        for node in sorted(graph[path[-1]] & together):
            if node == start:
                return path
            if node not in path:
                paths.append([*path, node])
    raise AssertionError(start)


# ---- all of it ----


def check_order(layers: dict[str, list[str]]) -> Iterator[str]:
    """A layer may only name layers that stand above it in the list: so there can be no circle."""
    known: set[str] = set()
    for layer, allowed in layers.items():
        for target in allowed:
            if target not in known:
                yield f"check_layers.py: {layer} may use {target}, which does not stand before it"
        known.add(layer)


def check(root: Path) -> tuple[list[str], list[Arrow]]:
    """All violations, and all arrows."""
    arrows: list[Arrow] = []
    found = [*check_order(LAYERS), *check_order(PYTHON_LAYERS), *check_cpp(root, arrows), *check_examples(root),
             *check_python(root, arrows)]  # fmt: skip
    return found, arrows


def table(layers: dict[str, list[str]], arrows: list[Arrow]) -> Iterator[str]:
    """Lines of a Markdown table: from each row's layer to the columns', how many files of it are named."""
    counts = Counter((arrow.layer, arrow.target_layer) for arrow in arrows)
    columns = [layer for layer in layers if any(to == layer for _, to in counts)]
    yield f"| from | {' | '.join(columns)} |"
    yield f"|---|{'---:|' * len(columns)}"
    for layer in layers:
        yield f"| {layer} | {' | '.join(str(counts[layer, to] or '') for to in columns)} |"


def main(arguments: list[str]) -> int:
    found, arrows = check(ROOT)
    if "--table" in arguments:
        cpp = [arrow for arrow in arrows if arrow.layer in LAYERS and arrow.source.startswith("csrc/")]
        order = list(LAYERS)
        upward = [a for a in cpp if order.index(a.target_layer) > order.index(a.layer)]
        print("Includes in csrc/, lower layers first:\n", *table(LAYERS, cpp), sep="\n")
        for arrow in upward:
            print(f"\nUpward: {arrow.source} includes {arrow.target}")
        print("\nImports in the Python package:\n")
        print(*table(PYTHON_LAYERS, [arrow for arrow in arrows if arrow not in cpp]), sep="\n")
        print()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
