#!/usr/bin/env python3
"""Builds the folder that docs/measured/quality.md measures on: Asterisk's longest English prompts, with words.

    apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-g722 ffmpeg
    python recipes/make_eval_set.py FOLDER [--prompts 40]

Decodes the G.722 files of Debian's package to 16 kHz FLAC, and writes what the package's list says of each into a text
file beside it. Prompts whose entry has brackets are left out: they hold tones, or monkeys.
"""

from __future__ import annotations

import argparse
import gzip
import subprocess
from pathlib import Path

SOUNDS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
SCRIPT = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")


def read_script(path: Path) -> dict[str, str]:
    """Words of each prompt: lines ``name: words``, comments start with a semicolon."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        pairs = [line.partition(":") for line in file if not line.startswith(";")]
    return {name.strip(): " ".join(text.split()) for name, colon, text in pairs if colon}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the prompts go")
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--sounds", type=Path, default=SOUNDS)
    parser.add_argument("--script", type=Path, default=SCRIPT)
    arguments = parser.parse_args()
    words = read_script(arguments.script)
    spoken = {name for name, text in words.items() if text and not set(text) & set("[]()")}
    files = [path for path in arguments.sounds.glob("*.g722") if path.stem in spoken]
    files.sort(key=lambda path: (-path.stat().st_size, path.name))
    if len(files) < arguments.prompts:
        parser.error(f"{arguments.sounds}: {len(files)} prompts with words, {arguments.prompts} wanted")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for path in files[: arguments.prompts]:
        target = arguments.folder / f"{path.stem}.flac"
        command = ["ffmpeg", "-v", "error", "-y", "-f", "g722", "-i", path, "-ac", "1", "-ar", "16000", target]
        subprocess.run(command, check=True)
        target.with_suffix(".txt").write_text(words[path.stem] + "\n", encoding="utf-8")
    print(f"{arguments.folder}: {arguments.prompts} prompts")


if __name__ == "__main__":
    main()
