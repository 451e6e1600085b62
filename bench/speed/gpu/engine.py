"""Steps of our engine, measured as bench.py measures PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from measure import Timing, measure

from secousti_native import Codec


@cache
def codec_of(model: Path, precision: str, device: str) -> Codec:
    return Codec.from_pretrained(model, precision=precision, device=device)


@cache
def config_of(model: Path) -> dict[str, Any]:
    return Codec.from_pretrained(model).config


def noise(streams: int, samples: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return (0.1 * np.random.default_rng(0).standard_normal((streams, samples))).astype(np.float32)


def encode_and_decode(
    model: Path, precision: str, streams: int, steps: int, device: str
) -> Iterator[tuple[str, str, Timing]]:
    """(stage, where the arrays are, seconds of each step): PCM to tokens, tokens to mel."""
    codec = codec_of(model, precision, device)
    pcm = noise(streams, codec.frame_size)
    tokens = np.random.default_rng(1).integers(0, codec.cardinality, streams).astype(np.int32)
    # The window of the attention is full, as in a stream that has run for some seconds.
    window = codec.config["context"] + 8 if steps > 8 else 2
    yield from _measured("encode", codec.encoder_group(streams).step, pcm, steps, window)
    yield from _measured("decode to mel", codec.decoder_group(streams).step_to_mel, tokens, steps, window)


def vocode(model: Path, streams: int, frames: int, steps: int, device: str) -> tuple[Timing, float]:
    """Seconds of the vocoder for `frames` mel frames of every stream, fed at once; and the audio's seconds."""
    codec = codec_of(model, "bf16", device)
    per_token = codec.frame_size // codec.info["hop_length"]
    mel = np.random.default_rng(1).uniform(-8, 0, (streams, frames, codec.info["n_mels"])).astype(np.float32)
    group = codec.decoder_group(streams, max_steps=-(-frames // per_token))
    # Streams that are older than the look-ahead: every call gives all of its samples.
    young = -(-codec.latency.decoder_samples // (frames * codec.info["hop_length"]))
    timing = measure(lambda: group.step_from_mel(mel), steps, 2 + young)
    return timing, streams * frames * codec.info["hop_length"] / codec.sample_rate


def duplex(model: Path, precision: str, streams: int, steps: int, device: str) -> tuple[Timing, float]:
    """Seconds of encoding and decoding to mel one token of every stream; and the seconds that a token lasts."""
    codec = codec_of(model, precision, device)
    encoders, decoders = codec.encoder_group(streams), codec.decoder_group(streams)
    pcm = noise(streams, codec.frame_size)
    window = codec.config["context"] + 8 if steps > 8 else 2
    timing = measure(lambda: decoders.step_to_mel(encoders.step(pcm)), steps, window)
    return timing, codec.frame_size / codec.sample_rate


def corpus(model: Path, precision: str, clips: int, clip_seconds: float, device: str) -> tuple[Timing, float]:
    """Seconds of encoding so many clips in one call, without voices; and the seconds of their audio."""
    codec = codec_of(model, precision, device)
    frames = max(4, round(clip_seconds * codec.sample_rate / codec.frame_size))
    audio = list(noise(clips, frames * codec.frame_size))
    timing = measure(lambda: codec.encode_many(audio, voices=False), 2, 0)
    return timing, clips * frames * codec.frame_size / codec.sample_rate


def _measured(
    stage: str, step: Callable[[Any], object], values: np.ndarray[Any, Any], steps: int, window: int
) -> Iterator[tuple[str, str, Timing]]:
    yield stage, "host", measure(lambda: step(values), steps, window)
    if _torch_has_a_device():
        yield stage, "device", measure(_on_device(step, values), steps, 8)


def _torch_has_a_device() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _on_device(step: Callable[[Any], Any], values: np.ndarray[Any, Any]) -> Callable[[], object]:
    """`step` on a torch tensor in device memory, waiting for the result."""
    import torch

    tensor = torch.from_numpy(values).cuda()

    def call() -> object:
        result = step(tensor)
        torch.cuda.synchronize()
        return result

    return call
