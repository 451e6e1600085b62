"""The documentation: links lead to files and headings, examples run, the site builds without a warning."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import yaml

from test_project import files

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """Of a page's headings, as GitHub and MyST make them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    heads = [re.sub(r"\]\([^)]*\)|[\[`*]", "", head) for head in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", head.strip().lower()).replace(" ", "-") for head in heads}


def broken_links(pages: list[Path]) -> list[str]:
    found = []
    for page in pages:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            target, _, anchor = link.partition("#")
            if "://" in target:
                continue  # of the network, which tests do not use
            path = page.parent / target if target else page
            if not path.exists():
                found.append(f"{page}: there is no {target}")
            elif anchor and path.suffix == ".md" and anchor not in anchors(path.read_text(encoding="utf-8")):
                found.append(f"{page}: {target} has no heading #{anchor}")
    return found


def test_links_lead_to_files_and_headings() -> None:
    pages = files(".md")
    assert len(pages) > 20
    assert not broken_links(pages), "\n".join(broken_links(pages))


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A `b` [c](d.md)\n[x](e.md) [y](#a-b-c) [z](#nowhere)\n```\n# no heading\n```\n")
    (tmp_path / "d.md").write_text("[w](a.md#no-heading)")
    found = broken_links([tmp_path / "a.md", tmp_path / "d.md"])
    assert [line.rsplit(" ", 1)[1] for line in found] == ["e.md", "#nowhere", "#no-heading"]


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = [
        path for path in sorted(DOCS.rglob("*")) if path.suffix in (".md", ".rst", ".ipynb") and path.name != "index.md"
    ]
    assert [p for p in pages if f"\n{p.relative_to(DOCS).with_suffix('').as_posix()}\n" not in index] == []


def missing_paths(page: Path) -> list[str]:
    """Paths of this repository that a page names and that do not exist. `*`, `<topic>` and NAME stand for any name."""
    folders = "csrc|python|tests|bench|recipes|tools|cmake|examples|docs"
    named = re.findall(rf"(?<![\w/.])(?:{folders})/[\w./*<>-]+", page.read_text(encoding="utf-8"))
    patterns = {re.sub(r"<\w+>|NAME", "*", name).rstrip(".:") for name in named}
    return sorted(pattern for pattern in patterns if not any(ROOT.glob(pattern.rstrip("/"))))


def test_paths_in_documents_exist(tmp_path: Path) -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DOCS.glob("guide/*.md")]
    found = {
        page.name: missing_paths(page) for page in [*pages, *DOCS.glob("design/*.md"), *DOCS.glob("measured/*.md")]
    }
    assert {name: paths for name, paths in found.items() if paths} == {}
    (tmp_path / "a.md").write_text("see `csrc/nowhere/file.h`, `csrc/base/*.h`, build/release/tests/nothing")
    assert missing_paths(tmp_path / "a.md") == ["csrc/nowhere/file.h"]


def code(page: Path, language: str) -> str:
    return "\n".join(
        re.findall(rf"^```{language}\n(.+?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )


@pytest.mark.parametrize("page", ["python", "mimi", "server", "live"])
def test_python_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    text = code(DOCS / "guide" / f"{page}.md", "python")
    scope: dict[str, object] = {}
    exec(compile(text, f"{page}.md", "exec"), scope)
    assert "codec" in scope
    if page == "live":
        call = "for packet in microphone(second):\n    network(packet)\nheard = loudspeaker()"
        exec(call, scope | (run := {"second": np.zeros(22050, np.float32)}), run)
        assert isinstance(run["heard"], np.ndarray)


def test_environment_variables_are_documented() -> None:
    page = (DOCS / "guide" / "environment.md").read_text(encoding="utf-8")
    sources = files(".py", ".h", ".cpp", ".cu", ".cuh", ".cmake")
    read = re.compile(r"(?:getenv\(|environ(?:\.get\(|\[)|ENV\{)\"?(SECOUSTI_\w+)")
    names = {name for path in sources for name in read.findall(path.read_text(encoding="utf-8"))}
    assert len(names) > 4
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_yaml_files_parse() -> None:
    found = files(".yml", ".yaml")
    assert len(found) > 3
    for path in found:
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "jobs"} <= set(workflow), path
        assert True in workflow, f"{path}: no triggers"  # YAML 1.1 reads `on` as true
        for name, job in workflow["jobs"].items():
            assert {"runs-on", "steps"} <= set(job), f"{path}: {name}"
            assert all(len({"uses", "run"} & set(step)) == 1 for step in job["steps"]), f"{path}: {name}"


class Page(HTMLParser):
    """Links and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.links += [values[name] for name in ("href", "src") if name in values]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("sphinx", "myst_nb", "breathe", "furo"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is missing: install the docs extra")
    if shutil.which("doxygen") is None:
        pytest.skip("needs doxygen")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", out / "doctrees", DOCS, out / "html"]
    result = subprocess.run([str(c) for c in command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-6000:]
    return out / "html"


def test_the_site_has_no_broken_links(site: Path) -> None:
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 25
    broken = []
    for path, page in pages.items():
        for link in page.links:
            target, _, anchor = unquote(link.split("?")[0]).partition("#")
            if re.match(r"\w+:|//", target):
                continue
            to = (path.parent / target).resolve() if target else path
            to = to / "index.html" if to.is_dir() else to
            if not to.is_file() or (anchor and to in pages and anchor not in pages[to].anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken, "\n".join(broken[:40])


def test_the_site_has_the_command_line_the_headers_and_the_notebook_s_results(site: Path) -> None:
    from typer.main import get_command

    from secousti_native.cli.app import app

    text = (site / "guide" / "cli.html").read_text(encoding="utf-8")
    command = get_command(app)
    for name, sub in command.commands.items():  # type: ignore[attr-defined]
        assert f"secousti {name}" in text
        for parameter in sub.params:
            assert all(option in text for option in parameter.opts if option.startswith("--") and option != "--help"), (
                name
            )
    reference = (site / "reference" / "c.html").read_text(encoding="utf-8")
    for header in sorted((ROOT / "csrc" / "include").glob("*.h")):
        names = re.findall(r"SECOUSTI_API [\w \*]*?\b(secousti_\w+)\(", header.read_text(encoding="utf-8"))
        assert names, header
        assert [name for name in names if f">{name}<" not in reference] == []
    assert "secousti_native.Codec.encode" in (site / "reference" / "python.html").read_text(encoding="utf-8")
    notebook = json.loads((DOCS / "guide" / "tour.ipynb").read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") for cell in notebook["cells"])  # made when the site is built
    assert (site / "guide" / "tour.html").read_text(encoding="utf-8").count("data:audio/wav") == 3
    assert len(list(site.rglob("*.png"))) >= 3
