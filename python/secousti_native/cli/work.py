"""Encoding and decoding in pieces, so that progress shows and Ctrl-C is heard. The pieces change no result."""

from __future__ import annotations

import numpy as np

from secousti_native._arrays import Floats
from secousti_native.cli.console import Bar
from secousti_native.codec import Codec
from secousti_native.encoded import Encoded

_SECONDS = 2.0


def encode(codec: Codec, pcm: Floats, bar: Bar) -> Encoded:
    """`Codec.encode` of audio at the codec's rate."""
    voice = codec.voice(pcm)
    stream = codec.encoder()
    step = int(_SECONDS * codec.sample_rate)
    parts = []
    for start in range(0, len(pcm), step):
        piece = pcm[start : start + step]
        parts.append(stream.push(piece))
        bar.advance(len(piece) / codec.sample_rate)
    parts.append(stream.flush())
    return Encoded(np.concatenate(parts), voice, len(pcm), codec.identity, codec.sample_rate, codec.frame_size,
                   codec.cardinality)  # fmt: skip


def decode(
    codec: Codec, encoded: Encoded, bar: Bar, *, voice: Floats | None = None, seed: int = 0,
    look_ahead: int | None = None,
) -> Floats:  # fmt: skip
    """`Codec.decode`, ``voice`` replacing the stream's own."""
    encoded.check_num_samples(codec)
    stream = codec.decoder(encoded.voice if voice is None else voice, seed=seed, look_ahead=look_ahead)
    step = max(1, int(_SECONDS * codec.frame_rate))
    parts = []
    for start in range(0, len(encoded.tokens), step):
        piece = encoded.tokens[start : start + step]
        parts.append(stream.push(piece))
        bar.advance(len(piece) / codec.frame_rate)
    parts.append(stream.flush())
    pcm = np.concatenate(parts)[: encoded.num_samples]
    return np.pad(pcm, (0, encoded.num_samples - len(pcm)))
