#!/usr/bin/env python3
"""Quality under packet loss: concealment beside repetition and silence. Tables: docs/measured/packet_loss.md.

    python bench/quality/packet_loss.py SPEECH_FOLDER [-m default -m default-21] [--clips 12] > table.md
    python bench/quality/packet_loss.py SPEECH_FOLDER --correlation  # tokens' codes over time: the fit of the hold

Packets hold as many tokens as last about 46 ms. Random losses are independent; bursts come from Gilbert's two-state
channel (1960) with a mean length of three packets. Every method sees the same losses. PESQ and STOI compare with the
clip, and in a second pair of columns with the same stream without loss, which shows the loss alone.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secousti_native import Codec, audio
from secousti_native.quality import pesq_wb, stoi

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Tokens = npt.NDArray[np.int64]

PACKET_SECONDS = 0.0465
METHODS = ("concealed", "repetition", "silence", "concealed, redundancy 1 packet")
RATES = (0.01, 0.05, 0.1, 0.2)
BURSTS = (1, 3)


def losses(packets: int, rate: float, burst: int, rng: np.random.Generator) -> Flags:
    """Which packets are lost. ``burst`` 1: independent; else the mean length of a burst."""
    if burst == 1:
        return rng.random(packets) < rate
    flags = np.zeros(packets, bool)
    bad = rng.random() < rate
    for i in range(packets):
        flags[i] = bad
        bad = rng.random() >= 1 / burst if bad else rng.random() < rate / (1 - rate) / burst
    return flags


def decode(codec: Codec, tokens: Tokens, voice: Floats, lost: Flags, method: str) -> Floats:
    """The stream as a host hears it that handles lost tokens by ``method``."""
    stream = codec.decoder(voice)
    parts = []
    last = None
    for missing, group in itertools.groupby(range(len(tokens)), key=lambda i: bool(lost[i])):
        run = list(group)
        if not missing:
            parts.append(stream.push(tokens[run]))
            last = tokens[run[-1]]
        elif method == "repetition" and last is not None:
            parts.append(stream.push(np.full(len(run), last)))
        else:
            parts.append(stream.conceal(len(run)))
    pcm: Floats = np.concatenate([*parts, stream.flush()])
    if method == "silence":
        pcm = pcm * np.repeat(~lost, codec.frame_size).astype(np.float32)
    return pcm


def with_redundancy(lost: Flags) -> Flags:
    """Packets still missing when each carries the tokens of the one before again (a packet more of delay)."""
    return lost & np.append(lost[1:], True)


def table(model: str, folder: Path, clips: int, seconds: float, rates: Sequence[float]) -> None:
    codec = Codec.from_pretrained(model, precision="fp32")  # as the tables of the docs
    per_packet = max(1, round(PACKET_SECONDS * codec.frame_rate))
    sums: dict[tuple[float, int, str], list[list[float]]] = {}
    for number, path in enumerate(sorted(folder.glob("*.flac"))[:clips]):
        pcm, rate = audio.load(path)
        pcm = audio.resample(pcm, rate, codec.sample_rate)[: int(seconds * codec.sample_rate)]
        encoded = codec.encode(pcm)
        tokens, voice = np.asarray(encoded.tokens), np.asarray(encoded.voice)
        packets = -(-len(tokens) // per_packet)
        clean = decode(codec, tokens, voice, np.zeros(len(tokens), bool), METHODS[0])[: len(pcm)]
        for rate_lost, burst in [(0.0, 1), *itertools.product(rates, BURSTS)]:
            rng = np.random.default_rng([number, burst, round(1000 * rate_lost)])
            lost = losses(packets, rate_lost, burst, rng)
            for method in METHODS if rate_lost else METHODS[:1]:
                packet_lost = with_redundancy(lost) if "redundancy" in method else lost
                flags = np.repeat(packet_lost, per_packet)[: len(tokens)]
                result = decode(codec, tokens, voice, flags, method)[: len(pcm)]
                scores = [judge(reference[: len(result)], result, codec.sample_rate)
                          for reference in (pcm, clean) for judge in (pesq_wb, stoi)]  # fmt: skip
                sums.setdefault((rate_lost, burst, method), []).append([float(s or "nan") for s in scores])
    print(f"\n{model}: {per_packet} tokens a packet ({1000 * per_packet / codec.frame_rate:.1f} ms), {clips} clips\n")
    print("| lost packets | method | PESQ-WB | STOI | PESQ-WB, to no loss | STOI, to no loss |")
    print("|---|---|---|---|---|---|")
    for (rate_lost, burst, method), rows in sums.items():
        kind = "none" if rate_lost == 0 else f"{100 * rate_lost:g} %, {'random' if burst == 1 else 'bursts'}"
        mean = np.nanmean(np.array(rows), axis=0)
        print(f"| {kind} | {method if rate_lost else ''} | " + " | ".join(f"{value:.3f}" for value in mean) + " |")


def correlation(model: str, folder: Path, clips: int) -> None:
    """Mean over clips and dimensions of the correlation of codes some tokens apart."""
    codec = Codec.from_pretrained(model, precision="fp32")  # as the tables of the docs
    levels = np.array(codec.config["fsq_levels"])
    basis = np.concatenate([[1], np.cumprod(levels[:-1])])
    streams = []
    for path in sorted(folder.glob("*.flac"))[:clips]:
        tokens = np.asarray(codec.encode(*audio.load(path)).tokens)
        streams.append((tokens[:, None] // basis % levels - (levels - 1) / 2) / ((levels - 1) / 2))
    print(f"\n{model}, {clips} clips")
    for lag in (1, 2, 4, 8, 16):
        products = sum(float((codes[lag:] * codes[:-lag]).sum()) for codes in streams)
        squares = sum(float((codes[lag:] ** 2).sum()) for codes in streams)
        print(f"{1000 * lag / codec.frame_rate:6.1f} ms: {products / squares:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of FLAC files, as recipes/make_eval_set.py makes it")
    parser.add_argument("-m", "--model", action="append")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each clip")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="of lost packets")
    parser.add_argument("--correlation", action="store_true", help="of codes, instead of the tables")
    arguments = parser.parse_args()
    for model in arguments.model or ("default", "default-21"):
        if arguments.correlation:
            correlation(model, arguments.folder, arguments.clips)
            continue
        table(model, arguments.folder, arguments.clips, arguments.seconds, arguments.rates)


if __name__ == "__main__":
    main()
