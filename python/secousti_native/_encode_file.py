"""Encoding a file of any length in constant memory."""

from __future__ import annotations

import numpy as np

from secousti_native import _core
from secousti_native._arrays import Floats
from secousti_native._mixing import Collector
from secousti_native._offline import Progress, voice_range
from secousti_native.audio import AudioFile
from secousti_native.encoded import Encoded
from secousti_native.model import Model


def encode_file(model: Model, file: AudioFile, progress: Progress | None = None) -> Encoded:
    """`Codec.encode` of ``file``, bit for bit, a block at a time; its tokens are all that grows.

    The file is read twice: the voice comes from its middle, which is known at its end. ``progress(done, total)`` is
    called with seconds of audio after each block; the total is what the file's header tells, or what is done. Raises
    what `AudioFile.blocks` and `Codec.encode` do.
    """
    stream = _core.Encoder(model._core, model.threads)
    parts, samples = [], 0
    for block in file.blocks(model.sample_rate):
        parts.append(stream.push(block))
        samples += len(block)
        if progress is not None:
            done = samples / model.sample_rate
            progress(done, max(done, file.seconds or 0.0))
    if samples < model.hop_length:
        raise ValueError(
            f"{file.name}: {samples} samples at {model.sample_rate} Hz are shorter than one mel frame "
            f"({model.hop_length} samples)"
        )
    parts.append(stream.flush())
    voice = model._core.voice(model._core.mel(_part(model, file, *voice_range(model, samples))))
    return Encoded(np.concatenate(parts).astype(np.int64), voice, samples, model.identity, model.sample_rate,
                   model.frame_size, model.cardinality)  # fmt: skip


def _part(model: Model, file: AudioFile, begin: int, end: int) -> Floats:
    """Samples [begin, end) of ``file``."""
    collector, at = Collector(end - begin), 0
    for block in file.blocks(model.sample_rate):
        collector.add(block[max(0, begin - at) : max(0, end - at)])
        at += len(block)
        if at >= end:
            break
    return collector.result()
