#!/usr/bin/env python3
"""How the voice of a live call gets better while it goes on. docs/measured/voice.md explains the table.

    python bench/quality/voice.py SPEAKER_FOLDER... [-m default -m default-21] > table.md

Each folder holds speech of one speaker. The first clips, one after another, are the call; the last --held clips are
decoded with the voice learnt so far. Speaker similarity needs Resemblyzer.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secousti_native import Codec, audio
from secousti_native.errors import MissingDependencyError

Floats = npt.NDArray[np.float32]

TIMES = (0.0, 0.6, 1.2, 2.4, 3.5, 7.0, 14.0, 28.0)
STEP_SECONDS = 0.02
PART_BYTES, PART_HEADER = 66, 2


def embedder() -> Callable[[Floats, int], Floats] | None:
    try:
        from secousti_native.evaluation.judges import RATE, Speaker

        judge = Speaker()
    except MissingDependencyError:
        return None
    return lambda pcm, rate: judge.embed(audio.resample(pcm, rate, RATE))


def cosine(a: Floats, b: Floats) -> float:
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norms if norms > 0 else 0.0


def sending_bits(dimension: int) -> int:
    """Of one G in packets: eight bits a value, a scale for each 64, and the parts' headers."""
    size = dimension + 2 * -(-dimension // 64)
    return 8 * (size + PART_HEADER * -(-size // PART_BYTES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="SPEAKER_FOLDER")
    parser.add_argument("-m", "--model", action="append")
    parser.add_argument("--held", type=int, default=4, help="clips that are decoded")
    arguments = parser.parse_args()
    embed = embedder()
    for name in arguments.model or ("default", "default-21"):
        codec = Codec.from_pretrained(name, precision="fp32")  # as the tables of the docs
        rows: dict[float, list[list[float]]] = {time: [] for time in TIMES}
        for folder in arguments.folders:
            clips = []
            for path in sorted(folder.glob("*.flac")):
                pcm, rate = audio.load(path)
                clips.append(audio.resample(pcm, rate, codec.sample_rate))
            held = [clip[: 8 * codec.sample_rate] for clip in clips[-arguments.held :]]
            call = np.concatenate(clips[: -arguments.held])
            for time, row in learn(codec, call, held, embed).items():
                rows[time].append(row)
        report(codec, name, rows, len(arguments.folders), arguments.held)


def learn(
    codec: Codec, call: Floats, held: list[Floats], embed: Callable[[Floats, int], Floats] | None
) -> dict[float, list[float]]:
    """Seconds of speech -> cosine to the held voice, mel L1, speaker similarity and bits of G so far."""
    encoded = [codec.encode(clip) for clip in held]
    own = np.mean([np.asarray(e.voice) for e in encoded], axis=0)
    mels = [np.asarray(codec.stages.mel(clip)) for clip in held]
    voices = [] if embed is None else [embed(clip, codec.sample_rate) for clip in held]
    estimator = codec.voice_estimator()
    step = int(STEP_SECONDS * codec.sample_rate)
    renewals = 0
    found: dict[float, list[float]] = {}

    def judge() -> list[float]:
        g = estimator.voice
        errors, similar = [], []
        for i, stream in enumerate(encoded):
            mel = np.asarray(codec.stages.decode_tokens(stream.tokens, g))
            frames = min(len(mel), len(mels[i]))
            errors.append(float(np.abs(mel[:frames] - mels[i][:frames]).mean()))
            if embed is not None:
                pcm = np.asarray(codec.decode(stream.tokens, g))
                similar.append(cosine(embed(pcm, codec.sample_rate), voices[i]))
        speaker = float(np.mean(similar)) if similar else float("nan")
        return [cosine(g, own), float(np.mean(errors)), speaker, float(renewals * sending_bits(codec.dimension))]

    for begin in range(0, len(call), step):
        while len(found) < len(TIMES) and estimator.seconds >= TIMES[len(found)]:
            found[TIMES[len(found)]] = judge()
        if len(found) == len(TIMES):
            break
        renewals += estimator.push(call[begin : begin + step])
    return found


def report(codec: Codec, name: str, rows: dict[float, list[list[float]]], speakers: int, held: int) -> None:
    print(f"\n{name}: G of {codec.dimension} values, {sending_bits(codec.dimension)} bits each time it is sent; "
          f"{speakers} speakers, {held} clips of each\n")  # fmt: skip
    print("| speech heard (s) | cosine to the clips' own G | mel L1 | speaker similarity | bits of G so far |")
    print("|---|---|---|---|---|")
    for time, values in rows.items():
        if not values:
            continue
        mean = np.mean(np.array(values), axis=0)
        similarity = "" if np.isnan(mean[2]) else f"{mean[2]:.3f}"
        print(f"| {time:g} | {mean[0]:.3f} | {mean[1]:.3f} | {similarity} | {mean[3]:.0f} |")


if __name__ == "__main__":
    main()
