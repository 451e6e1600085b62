#!/usr/bin/env python3
"""Builds the folders that docs/measured/quality.md measures speakers on: synthetic voices, a folder each, with words.

    secousti train synthesise -o shards ...          # or any shards of that format, docs/guide/training.md
    python recipes/make_voice_set.py shards FOLDER [--voices 16] [--utterances 12]

Takes the unblended voices with the most utterances of 2 to 14 seconds, in the order of the shards, and writes each
utterance as 24 kHz FLAC beside a text file with its words.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import soundfile

from secousti_native.training.corpus import Utterance, read_shards

SHORTEST, LONGEST = 2.0, 14.0  # seconds


def write_clip(utterance: Utterance, target: Path) -> None:
    rate = soundfile.info(utterance.audio).samplerate
    begin, count = round(utterance.start * rate), round(utterance.seconds * rate)
    samples, rate = soundfile.read(utterance.audio, start=begin, frames=count, dtype="float32")
    soundfile.write(target, samples, rate)
    target.with_suffix(".txt").write_text(utterance.text + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path, help="what `secousti train synthesise` wrote")
    parser.add_argument("folder", type=Path, help="where the voices go")
    parser.add_argument("--voices", type=int, default=16)
    parser.add_argument("--utterances", type=int, default=12, help="of each voice")
    arguments = parser.parse_args()
    of_voice: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in read_shards(arguments.shards):
        if "+" not in utterance.speaker and SHORTEST <= utterance.seconds <= LONGEST:
            of_voice[utterance.speaker].append(utterance)
    voices = sorted(of_voice, key=lambda voice: (-len(of_voice[voice]), voice))[: arguments.voices]
    if len(voices) < arguments.voices or len(of_voice[voices[-1]]) < arguments.utterances:
        parser.error(f"{arguments.shards}: too few utterances of unblended voices")
    for voice in voices:
        folder = arguments.folder / voice
        folder.mkdir(parents=True, exist_ok=True)
        for utterance in of_voice[voice][: arguments.utterances]:
            write_clip(utterance, folder / f"{utterance.id}.flac")
    print(f"{arguments.folder}: {', '.join(voices)}")


if __name__ == "__main__":
    main()
