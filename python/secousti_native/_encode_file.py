"""Encoding a file of any length in constant memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from secousti_native._arrays import Floats
from secousti_native._mixing import Collector
from secousti_native.audio import AudioFile
from secousti_native.encoded import Encoded

if TYPE_CHECKING:
    from secousti_native.codec import Codec


def encode_file(codec: Codec, file: AudioFile, advance: Callable[[float], None] = lambda seconds: None) -> Encoded:
    """`Codec.encode` of ``file``, bit for bit, a block at a time; its tokens are all that grows.

    The file is read twice: the voice comes from its middle, which is known at its end. ``advance`` hears of each block
    how many seconds it has. Raises what `AudioFile.blocks` and `Codec.encode` do.
    """
    stream = codec.encoder()
    parts, samples = [], 0
    for block in file.blocks(codec.sample_rate):
        parts.append(stream.push(block))
        samples += len(block)
        advance(len(block) / codec.sample_rate)
    try:
        voice = _voice(codec, file, samples)
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from None
    parts.append(stream.flush())
    return Encoded(np.concatenate(parts), voice, samples, codec.identity, codec.sample_rate, codec.frame_size,
                   codec.cardinality)  # fmt: skip


def _voice(codec: Codec, file: AudioFile, samples: int) -> Floats:
    """`Codec.voice` of all of ``file``, from the part that it depends on."""
    info = codec.info
    hop, frames = info["hop_length"], samples // info["hop_length"]
    used = min(frames, info["prompt_frames"])
    first = (frames - used) // 2
    # No frame reaches further than the encoder waits; only at the clip's own ends is it reflected.
    margin = -(-codec.latency.encoder_samples // hop)
    before = min(first, margin)
    pcm = _part(codec, file, (first - before) * hop, min(samples, (first + used + margin) * hop))
    mel = codec.stages.mel(pcm)
    voice: Floats = codec.stages.voice(mel[before : before + used])
    return voice


def _part(codec: Codec, file: AudioFile, start: int, stop: int) -> Floats:
    collector, at = Collector(stop - start), 0
    for block in file.blocks(codec.sample_rate):
        collector.add(block[max(0, start - at) : max(0, stop - at)])
        at += len(block)
        if at >= stop:
            break
    return collector.result()
