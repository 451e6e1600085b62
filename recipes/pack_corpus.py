"""Packs the audio of a manifest for a machine that is reached by small transfers: parts of a bounded size.

    python recipes/pack_corpus.py manifest.jsonl parts --part-mib 34

Files that are Opus already travel as they are. All others are joined into Opus files of about ten minutes. Each part is
an uncompressed tar with a manifest of its own; `cat */manifest.jsonl` of the unpacked parts is the whole manifest.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soxr

from secousti_native.training.corpus import Utterance, load_audio, read_manifest

RATE = 24_000
SHARD_SECONDS = 600
GAP = RATE // 5  # silence between joined utterances: Opus smears a little across cuts


def joined(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    """Groups of about `SHARD_SECONDS`."""
    group: list[Utterance] = []
    for utterance in utterances:
        group.append(utterance)
        if sum(u.seconds for u in group) >= SHARD_SECONDS:
            yield group
            group = []
    if group:
        yield group


def encode(group: list[Utterance], path: Path, kbps: int) -> list[Utterance]:
    """Writes the utterances of ``group`` one after another to ``path``; returns them with their new places."""
    pieces, placed, position = [], [], 0
    for audio, same_file in itertools.groupby(group, key=lambda u: u.audio):
        samples, rate = load_audio(Path(audio))
        for utterance in same_file:
            begin = round(utterance.start * rate)
            cut = samples[begin : begin + round(utterance.seconds * rate)]
            pcm = soxr.resample(cut, rate, RATE)
            pieces += [pcm, np.zeros(GAP, np.float32)]
            start, seconds = position / RATE, len(pcm) / RATE
            placed.append(dataclasses.replace(utterance, audio=path.name, start=start, seconds=seconds))
            position += len(pcm) + GAP
    raw = np.concatenate(pieces).astype("<f4").tobytes()
    source = ["-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", "-"]
    target = ["-c:a", "libopus", "-b:a", f"{kbps}k", "-application", "voip", "-compression_level", "5"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *source, *target, str(path)], input=raw, check=True)
    return placed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--part-mib", type=float, default=60, help="largest part")
    parser.add_argument("--kbps", type=int, default=18, help="of the Opus files made here")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    utterances = sorted(read_manifest(options.manifest), key=lambda u: (u.audio, u.start))
    files: list[tuple[Path, list[Utterance]]] = []
    opus = [u for u in utterances if u.audio.endswith(".opus")]
    for audio, same in itertools.groupby(opus, key=lambda u: u.audio):
        path = Path(audio)
        files.append((path, [dataclasses.replace(u, audio=path.name) for u in same]))
    with tempfile.TemporaryDirectory() as folder:
        groups = list(joined(u for u in utterances if not u.audio.endswith(".opus")))
        paths = [Path(folder) / f"joined-{number:03d}.opus" for number in range(len(groups))]
        with ThreadPoolExecutor(options.jobs) as pool:
            files += zip(paths, pool.map(encode, groups, paths, [options.kbps] * len(groups)), strict=True)
        limit = options.part_mib * 2**20
        parts: list[list[tuple[Path, list[Utterance]]]] = [[]]
        size = 0.0
        for path, group in files:
            if size + path.stat().st_size > 0.97 * limit and parts[-1]:
                parts.append([])
                size = 0.0
            parts[-1].append((path, group))
            size += path.stat().st_size
        for number, part in enumerate(parts):
            name = options.out / f"part-{number}.tar"
            manifest = Path(folder) / "manifest.jsonl"
            lines = (json.dumps(dataclasses.asdict(u), ensure_ascii=False) for _, group in part for u in group)
            manifest.write_text("\n".join(lines) + "\n", encoding="utf8")
            with tarfile.open(name, "w") as tar:
                tar.add(manifest, f"part-{number}/manifest.jsonl")
                for path, _ in part:
                    tar.add(path, f"part-{number}/{path.name}")
            print(f"{name}: {name.stat().st_size / 2**20:.1f} MiB, {len(part)} files")


if __name__ == "__main__":
    main()
