"""An open model: what streams, groups, stages, token streams and packets know of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from secousti_native import _core
from secousti_native._arguments import check_threads
from secousti_native._arrays import Floats


@dataclass(frozen=True)
class Latency:
    """Algorithmic latency, counted from the last sample that an output depends on. Compute time comes on top."""

    encoder_samples: int
    """From a token's first sample until the token can be emitted: mel window and token hop."""
    decoder_samples: int
    """Delay that the vocoder adds at its default look-ahead."""
    sample_rate: int

    @property
    def total_samples(self) -> int:
        return self.encoder_samples + self.decoder_samples

    @property
    def encoder_ms(self) -> float:
        return 1000.0 * self.encoder_samples / self.sample_rate

    @property
    def decoder_ms(self) -> float:
        return 1000.0 * self.decoder_samples / self.sample_rate

    @property
    def total_ms(self) -> float:
        return self.encoder_ms + self.decoder_ms


class Model:
    """An open model of the engine, and what it is. `secousti_native.Codec` is one, with all that can be done with it.

    Immutable, and safe to share between threads.
    """

    def __init__(self, core: _core.Model, threads: int = 1) -> None:
        self._core = core
        self._info = core.info()
        self._threads = check_threads(threads)

    @property
    def name(self) -> str:
        return self._info["name"]

    @property
    def identity(self) -> int:
        """64-bit name of the model in `Encoded` and in ``.sec`` files."""
        return self._info["identity"]

    # ---- sizes ----

    @property
    def sample_rate(self) -> int:
        """Hz of decoded audio; other rates are resampled on the way in."""
        return self._info["sample_rate"]

    @property
    def frame_rate(self) -> float:
        """Tokens per second."""
        return self._info["frame_rate"]

    @property
    def frame_size(self) -> int:
        """Samples per token, at ``sample_rate``."""
        return self._info["frame_size"]

    @property
    def cardinality(self) -> int:
        """Number of different tokens."""
        return self._info["cardinality"]

    @property
    def dimension(self) -> int:
        """Of a voice, and of the acoustic embedding."""
        return self._info["dimension"]

    @property
    def hop_length(self) -> int:
        """Samples per mel frame."""
        return self._info["hop_length"]

    @property
    def n_mels(self) -> int:
        """Bands of a mel frame."""
        return self._info["n_mels"]

    @property
    def frames_per_token(self) -> int:
        """Mel frames per token."""
        return self._info["frame_size"] // self._info["hop_length"]

    @property
    def latency(self) -> Latency:
        info = self._info
        return Latency(info["encoder_latency"], info["decoder_latency"], info["sample_rate"])

    # ---- how it was opened ----

    @property
    def config(self) -> dict[str, Any]:
        """The model file's configuration, a fresh copy."""
        config: dict[str, Any] = json.loads(self._info["config_json"])
        return config

    @property
    def info(self) -> dict[str, Any]:
        """Everything the engine says about the model: sizes, latencies (samples), kernels, memory (bytes)."""
        return dict(self._info)

    @property
    def precision(self) -> str:
        """Of the transformers' weights in memory: "fp32", "bf16" or "int8"."""
        return self._info["precision"]

    @property
    def device(self) -> str:
        """Where it works: "cpu" or "cuda"."""
        return self._info["device"]

    @property
    def threads(self) -> int:
        """Of the CPU that work on one call, the caller's included."""
        return self._threads


def check_mel_frame(model: Model, pcm: Floats) -> Floats:
    """``pcm`` [samples] at the model's rate; ValueError unless it has at least one mel frame."""
    if len(pcm) < model.hop_length:
        raise ValueError(
            f"audio: {len(pcm)} samples at {model.sample_rate} Hz are shorter than one mel frame "
            f"({model.hop_length} samples)"
        )
    return pcm
