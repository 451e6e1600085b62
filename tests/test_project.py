"""The project's own rules: layers, formatting, types, versions, nothing of a workplace in the tree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import secousti_native

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent


def tool(name: str) -> str:
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    assert found is not None, f"{name} is missing: install the test extra"
    return found


def check(*command: str | Path) -> None:
    result = subprocess.run([str(c) for c in command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{result.stdout[-6000:]}\n{result.stderr[-6000:]}"


def files(*suffixes: str) -> list[Path]:
    """Files of the tree: those that git tracks, or in an unpacked archive all that no build has made."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        found = [ROOT / name for name in listed.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not {"build", ".venv"} & set(path.relative_to(ROOT).parts)]
    return [path for path in found if path.is_file() and (not suffixes or path.suffix in suffixes)]


def test_import_is_light() -> None:
    script = (
        "import sys, secousti_native; heavy = {'torch', 'soxr', 'soundfile', 'typer', 'rich', 'scipy', 'matplotlib'}; "
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    check(sys.executable, "-c", script)


def test_ruff() -> None:
    check(tool("ruff"), "check", ".")
    check(tool("ruff"), "format", "--check", ".")


def test_mypy() -> None:
    check(tool("mypy"))


def test_clang_format() -> None:
    sources = files(".c", ".h", ".hpp", ".cpp", ".cu", ".cuh")
    assert len(sources) > 50
    check(tool("clang-format"), "--dry-run", "-Werror", *sources)
    # It leaves the lines of comments as they are.
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
        if len(line) > 120
    ]
    assert not long, f"longer than 120 columns: {long}"


def test_no_paths_of_a_workplace() -> None:
    # Absolute paths of a person's or a machine's folders: they help nobody else.
    pattern = re.compile(r"(?<![\w.:/])/(?:home|Users|root|work|opt|tmp|mnt|workspace)/[\w.-]+")
    found = []
    for path in files():
        if path == Path(__file__).resolve():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {match.group()}"
            for number, line in enumerate(text.split("\n"), 1)
            for match in pattern.finditer(line)
        ]
    assert not found, "\n".join(found)


def test_files_stay_readable() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {count} lines"
        for path in files(".py", ".pyi", ".c", ".h", ".hpp", ".cpp", ".cu", ".cuh")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 500
    ]
    assert not long, long


def test_versions_agree() -> None:
    version = secousti_native.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert secousti_native._core.version == version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    minimum = re.search(r"cmake_minimum_required\(VERSION ([\d.]+)\)", (ROOT / "CMakeLists.txt").read_text())
    assert minimum is not None
    assert any(r == f"cmake>={minimum.group(1)}" for r in project["optional-dependencies"]["test"])
    json.loads((ROOT / "CMakePresets.json").read_text())


def test_links_in_the_documentation_lead_somewhere() -> None:
    broken = []
    for path in files(".md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
            if "://" not in target and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert not broken, broken


def test_readme_commands_are_what_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"<!-- (\w+)-command -->\n```bash\n(.+?)\n```", readme)
    assert [name for name, _ in commands] == ["try", "test"]
    assert "secousti roundtrip tests/data/speech.flac" in commands[0][1]
    assert "-m pytest" in commands[1][1]
    assert "test-command" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
