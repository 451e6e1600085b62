"""Groups in `secousti bench`: how many live calls one machine holds.

A step is one token's worth of audio in and one token out for every slot of an encoder and of a decoder group. Slots
start from streams whose transformers' windows have filled. "In real time" is the largest group whose median step is no
longer than the audio that it stands for. ``roofline_ms`` is that of the transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from secousti_native._arrays import Floats
from secousti_native.benchmark.roofline import group_bound
from secousti_native.benchmark.timing import Row, measure, voiced_signal
from secousti_native.codec import Codec
from secousti_native.groups import DecoderGroup, EncoderGroup

_SIZES = (8, 32)
_LARGEST = 1024
# Bytes of states that a machine which runs the benchmark can be expected to spare.
_MEMORY = 4e9


def group_rows(codec: Codec, seconds: float) -> Iterator[Row]:
    """Rows of groups of a few sizes, and of the largest in real time: to mel, and to PCM if there is a vocoder."""
    pcm = voiced_signal(codec.frame_size * (codec.config["context"] + 8), codec.sample_rate)
    encoder, decoder = codec.encoder(), codec.decoder()
    tokens = encoder.push(pcm)
    decoder.push_to_mel(tokens)
    encoded, to_mel = encoder.snapshot(), decoder.snapshot()
    kinds = [("to mel", to_mel)]
    if codec.info["has_vocoder"]:
        decoder.reset()
        decoder.push(tokens)
        kinds.append(("to PCM", decoder.snapshot()))
    audio_seconds = codec.frame_size / codec.sample_rate
    limit = min(_LARGEST, int(_MEMORY / (len(encoded) + len(to_mel))))
    blocks = pcm.reshape(-1, codec.frame_size)
    for name, decoded in kinds:

        def row(size: int, stage: str, decoded: bytes = decoded, name: str = name) -> Row:
            step = _step(codec, size, encoded, decoded, blocks, name == "to mel")
            steps = max(8, min(100, round(seconds / audio_seconds)))
            timed = measure(step, steps, 2, audio_seconds, at_most=seconds / 4)
            bound = {"roofline_ms": group_bound(codec, size)} if codec.device == "cpu" else {}
            return timed.row(codec.name, f"{stage}, full duplex {name}") | {"streams": size} | bound

        yield from (row(size, f"group of {size}") for size in _SIZES)
        yield _largest(partial(row, stage="most in real time"), limit)


def _step(
    codec: Codec,
    size: int,
    encoded: bytes,
    decoded: bytes,
    blocks: Floats,
    to_mel: bool,
) -> Callable[[int], object]:
    encoders: EncoderGroup = codec.encoder_group(size)
    decoders: DecoderGroup = codec.decoder_group(size)
    for slot in range(size):
        encoders.restore(slot, encoded)
        decoders.restore(slot, decoded)
    decode: Callable[[object], object] = decoders.step_to_mel if to_mel else decoders.step
    slots = np.arange(size)
    return lambda i: decode(encoders.step(blocks[(slots + i) % len(blocks)]))


def _largest(row: Callable[[int], Row], limit: int) -> Row:
    """The largest group in real time, from the time of one whose size is guessed, corrected a few times."""
    size, best = 16, None
    for _ in range(6):
        found = row(min(size, limit))
        fits = found["p50_ms"] <= found["audio_ms"]
        if fits and (best is None or found["streams"] > best["streams"]):
            best = found
        guess = max(1, int(found["streams"] * found["audio_ms"] / found["p50_ms"]))
        if fits and (guess <= found["streams"] or found["streams"] == limit):
            break
        size = guess if fits else min(guess, size - 1)
        if size < 1 or (best is not None and size <= best["streams"]):
            break
    return best if best is not None else found
