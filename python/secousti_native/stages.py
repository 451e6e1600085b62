"""Single stages of the codec, offline: for tests, research and tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from secousti_native._arguments import check_look_ahead, check_seed, check_voice
from secousti_native._arrays import Array, Floats, as_audio, as_floats, as_tokens, like
from secousti_native._interrupts import interruptible
from secousti_native.model import Model, check_mel_frame

Result = TypeVar("Result")

# Less is done before anybody could press Ctrl-C.
_LONG_FRAMES = 256


class Stages:
    """The stages of a model. Results have the kind of the input: numpy, or torch on the input's device.

    T mel frames of ``hop_length`` samples, N token frames, D = ``dimension``. Section numbers are those of the paper
    (arXiv 2508.02849); shapes are time-major. Ctrl-C ends a call at once; what the engine had begun it ends in the
    background.
    """

    def __init__(self, model: Model) -> None:
        self._model, self._core = model, model._core

    def __reduce__(self) -> tuple[type[Stages], tuple[Model]]:
        return type(self), (self._model,)

    def _run(self, frames: int, call: Callable[[], Result]) -> Result:
        """``call()``, of this many mel frames; Ctrl-C ends it."""
        return interruptible(call, frames >= _LONG_FRAMES)

    def mel(self, audio: Array) -> Array:
        """Audio [samples] at the codec's rate -> natural-log mel [floor(samples / hop_length), n_mels] float32."""
        pcm = check_mel_frame(self._model, as_audio(audio))
        return like(self._run(len(pcm) // self._model.hop_length, lambda: self._core.mel(pcm)), audio)

    def encode_mel(self, mel: Array) -> dict[str, Array]:
        """Log-mel [T, n_mels] -> every result of the encoder.

        ``encoder_out``, ``acoustic_embed`` (None without an acoustic branch), ``semantic_mu``: [N, D] float32;
        ``fsq_in``: [N, quantised dimensions] float32, before tanh; ``tokens``: [N] int64.
        """
        values = self._mel(mel)
        outputs = self._run(len(values), lambda: self._core.encode_mel(values, self._model.threads))
        acoustic = outputs["acoustic_embed"]
        return {
            "encoder_out": like(outputs["encoder_out"], mel),
            "acoustic_embed": None if acoustic is None else like(acoustic, mel),
            "semantic_mu": like(outputs["semantic_mu"], mel),
            "fsq_in": like(outputs["fsq_in"], mel),
            "tokens": like(outputs["tokens"].astype(np.int64), mel),
        }

    def voice(self, mel: Array) -> Array:
        """Log-mel [T, n_mels] of a prompt -> G [D] float32, from its middle ``prompt_frames`` frames."""
        return like(self._core.voice(self._mel(mel)), mel)

    def decode_tokens(self, tokens: Array, voice: Array) -> Array:
        """Tokens [N] and G [D] -> log-mel [N * frame_size / hop_length, n_mels] float32."""
        checked = as_tokens(tokens, self._model.cardinality)
        given = check_voice(voice, self._model.dimension)
        frames, threads = len(checked) * self._model.frames_per_token, self._model.threads
        return like(self._run(frames, lambda: self._core.decode_tokens(checked, given, threads)), tokens)

    def decode_acoustic(self, acoustic: Array) -> Array:
        """Acoustic embedding [N, D] -> log-mel [N * frame_size / hop_length, n_mels] float32."""
        checked = as_floats(acoustic, "acoustic", (None, self._model.dimension))
        frames, threads = len(checked) * self._model.frames_per_token, self._model.threads
        return like(self._run(frames, lambda: self._core.decode_acoustic(checked, threads)), acoustic)

    def vocode(self, mel: Array, seed: int | None = None, look_ahead: int | None = None) -> Array:
        """Log-mel [T, n_mels] -> audio [T * hop_length] float32.

        ``seed`` fixes the noise and phases of a vocoder that has them; None sets them to zero. ``look_ahead`` (mel
        frames, 0 to 3) is for the spectral vocoder; None takes the model's.
        """
        values, noise, ahead = self._mel(mel), check_seed(seed), check_look_ahead(look_ahead)
        threads = self._model.threads
        return like(self._run(len(values), lambda: self._core.vocode(values, noise, ahead, threads)), mel)

    def _mel(self, mel: Array) -> Floats:
        values = as_floats(mel, "mel", (None, self._model.n_mels))
        if len(values) == 0:
            raise ValueError("mel: has no frames")
        return values
