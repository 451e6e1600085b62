"""The C++ builds that tests share, in build/tests/: a second run only rebuilds what changed.

``python tests/builds.py`` makes all of them on one core, in the order in which tests need them. `.ci/run` does so
beside the Python tests, which leave a core idle; a test that needs one meanwhile waits for it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILDS = ROOT / "build" / "tests"
NEON_TOOLS = ("aarch64-linux-gnu-g++", "qemu-aarch64")

LIBRARY_ALONE = ("-DSECOUSTI_BUILD_SHARED=OFF", "-DSECOUSTI_BUILD_EXAMPLES=OFF")
SANITIZED = ("-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1 -g1", *LIBRARY_ALONE)
#: Name: options of CMake, and no more targets than tests run, as compiling is most of the time that all tests take.
SHARED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "release": (
        ("-DCMAKE_BUILD_TYPE=Release", "-DSECOUSTI_WERROR=ON", "-DSECOUSTI_BUILD_PYTHON=ON",
         f"-DPython_EXECUTABLE={sys.executable}"),
        ("secousti_static", "secousti_shared", "examples/all", "tests/cpp/all", "tests/simt/all",
         "tests/reliability/all", "secousti_emulated_core"),
    ),
    # Address and undefined behaviour in one build, as they find the same apart; threads need one of their own, where
    # instruction sets beyond the first add nothing: it looks at what threads share.
    "sanitized": ((*SANITIZED, "-DSECOUSTI_SANITIZE=address,undefined"), ("secousti_tests", "secousti_fuzz")),
    "raced": (
        (*SANITIZED, "-DSECOUSTI_SANITIZE=thread", "-DSECOUSTI_ISAS=avx2|neon",
         "-DSECOUSTI_TEST_FILES=test_dispatch|test_stream|test_groups|test_faults"),
        ("secousti_tests",),
    ),
}  # fmt: skip


def tool(name: str) -> str:
    """A tool of this environment (the test extra installs cmake and ninja), else of the system."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    assert found is not None, f"{name} is missing: install the test extra"
    return found


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Standard output; a failure shows all that the command said."""
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
    )
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout[-8000:]}\n{result.stderr[-8000:]}"
    return result.stdout


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time builds in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(
    folder: Path, *options: str, targets: tuple[str, ...] = ("all",), source: Path = ROOT, jobs: int | None = None
) -> Path:
    """Configures ``source`` in ``folder`` and builds ``targets`` there; returns the folder."""
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    ninja = f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"
    cuda = ["-DSECOUSTI_CUDA=OFF"] if source == ROOT else []  # the emulator runs the kernels
    parallel = str(jobs or os.cpu_count() or 1)
    with alone(folder):
        run(tool("cmake"), "-G", "Ninja", ninja, *launcher, *cuda, "-S", source, "-B", folder, *options)
        run(tool("cmake"), "--build", folder, "--parallel", parallel, "--target", *targets)
    return folder


def shared(name: str, jobs: int | None = None) -> Path:
    """One of the builds of `SHARED`."""
    options, targets = SHARED[name]
    return build(BUILDS / name, *options, targets=targets, jobs=jobs)


def neon(*tests: str) -> str:
    """What the kernels' tests for AArch64 say in the emulator; without ``tests``, all of them run."""
    with alone(BUILDS / "neon"):
        path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
        return run("sh", ROOT / "tests" / "run_neon.sh", BUILDS / "neon", *tests, env={"PATH": path})


def main() -> None:
    for name in SHARED:
        shared(name, jobs=1)
    if all(map(shutil.which, NEON_TOOLS)):
        neon("tables_are_complete")


if __name__ == "__main__":
    main()
