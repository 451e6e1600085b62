"""What the site adds to the pages: the command line from the program, the project's own pages, and Doxygen's XML.

Pages are written to be read in a repository, too: links are paths, and nothing here is needed there.
"""

from __future__ import annotations

import enum
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
#: Files of the repository that are pages of the site.
PROJECT = {
    "README.md": "project/readme",
    "CONTRIBUTING.md": "project/contributing",
    "SECURITY.md": "project/security",
    "CHANGELOG.md": "project/changes",
}
PAGES = {page: ROOT / name for name, page in PROJECT.items()}
LINK = re.compile(r"(\]\()([^)#\s]+)([^)]*\))")
COMMAND_LINE = "```{secousti-cli}\n```\n"


def link(target: str, written_in: Path, page: Path) -> str:
    """A link's path as the page of the site needs it; files that are no pages become downloads."""
    found = (written_in / target).resolve()
    if "://" in target or not found.is_file():
        return target
    name = found.relative_to(ROOT).as_posix()
    if name in PROJECT:
        found = DOCS / f"{PROJECT[name]}.md"
    relative = Path(os.path.relpath(found, page.parent)).as_posix()
    return relative if found.is_relative_to(DOCS) else f"path:{relative}"


def placeholder(parameter: Any) -> str:
    """What stands for a parameter's value: its own word, its choices, or its type."""
    if parameter.metavar:
        return str(parameter.metavar)
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "{" + ",".join(str(choice.value) for choice in kind) + "}"
    return getattr(kind, "__name__", "value").upper()


def options(command: Any) -> Iterator[str]:
    """Rows of a table: what each argument and option is called, and its help."""
    for parameter in command.params:
        if parameter.name == "help" or parameter.hidden:
            continue
        words = [] if getattr(parameter, "is_flag", False) else [placeholder(parameter)]
        if parameter.param_type_name == "option":
            words.insert(0, ", ".join([*parameter.opts, *parameter.secondary_opts]))
        text = " ".join((parameter.help or "").split()).replace("|", "&#124;").replace("[", "\\[")
        value = getattr(parameter.default, "value", parameter.default)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and "default" not in text:
            text += f" (default {value})"
        yield f"| `{' '.join(words)}` | {text} |"


def command_line(command: Any, path: str, depth: int = 2) -> Iterator[str]:
    """Markdown of a command and of all below it."""
    yield f"{'#' * depth} {path}\n"
    yield (command.help or "").replace("\b\n", "") + "\n"
    rows = list(options(command))
    if rows:
        yield "\n".join(["| argument, option | meaning |", "|---|---|", *rows]) + "\n"
    for name, sub in getattr(command, "commands", {}).items():
        yield from command_line(sub, f"{path} {name}", depth + 1 if depth == 2 else depth)


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """A page's text, as Sphinx reads it."""
    file = PAGES.get(page)
    if file is not None:
        source[0] = file.read_text(encoding="utf-8")
    path = DOCS / f"{page}.md"
    folder = file.parent if file is not None else path.parent
    if file is not None or path.is_file():
        source[0] = LINK.sub(lambda match: match[1] + link(match[2], folder, path) + match[3], source[0])
    if COMMAND_LINE in source[0]:
        from typer.main import get_command

        from secousti_native.cli.app import app as program

        source[0] = source[0].replace(COMMAND_LINE, "\n".join(command_line(get_command(program), "secousti")))


def headers(app: Sphinx, config: Config) -> None:
    """Doxygen's XML of the C and C++ headers, for Breathe."""
    out = Path(app.doctreedir).parent / "doxygen"
    out.mkdir(parents=True, exist_ok=True)
    settings = (DOCS / "Doxyfile").read_text(encoding="utf-8")
    settings += f"\nOUTPUT_DIRECTORY = {out}\nGENERATE_XML = YES\nGENERATE_HTML = NO\n"
    subprocess.run(["doxygen", "-"], input=settings, text=True, cwd=ROOT, check=True)
    config["breathe_projects"] = {"secousti": str(out / "xml")}


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", headers)
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
