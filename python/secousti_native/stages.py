"""Single stages of the codec, offline: for tests, research and tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from secousti_native._arrays import Array, as_audio, as_floats, as_tokens, like

if TYPE_CHECKING:
    from secousti_native.codec import Codec


class Stages:
    """The stages of ``codec``. Results have the kind of the input: numpy, or torch on the input's device.

    T mel frames of ``hop_length`` samples, N token frames, D = ``dimension``. Section numbers are those of the paper
    (arXiv 2508.02849); shapes are time-major.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._model = codec._model
        self._bands = codec._info["n_mels"]
        self._dimension = codec._info["dimension"]

    def mel(self, audio: Array) -> Array:
        """Audio [samples] at the codec's rate -> natural-log mel [floor(samples / hop_length), n_mels] float32."""
        return like(self._model.mel(self._codec._whole_frames(as_audio(audio))), audio)

    def encode_mel(self, mel: Array) -> dict[str, Array]:
        """Log-mel [T, n_mels] -> every result of the encoder.

        ``encoder_out``, ``acoustic_embed`` (None without an acoustic branch), ``semantic_mu``: [N, D] float32;
        ``fsq_in``: [N, quantised dimensions] float32, before tanh; ``tokens``: [N] int64.
        """
        outputs = self._model.encode_mel(self._mel(mel), self._codec.threads)
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
        return like(self._model.voice(self._mel(mel)), mel)

    def decode_tokens(self, tokens: Array, voice: Array) -> Array:
        """Tokens [N] and G [D] -> log-mel [N * frame_size / hop_length, n_mels] float32."""
        checked = as_tokens(tokens, self._codec.cardinality)
        voice = as_floats(voice, "voice", (self._dimension,))
        return like(self._model.decode_tokens(checked, voice, self._codec.threads), tokens)

    def decode_acoustic(self, acoustic: Array) -> Array:
        """Acoustic embedding [N, D] -> log-mel [N * frame_size / hop_length, n_mels] float32."""
        checked = as_floats(acoustic, "acoustic", (None, self._dimension))
        return like(self._model.decode_acoustic(checked, self._codec.threads), acoustic)

    def vocode(self, mel: Array, seed: int | None = None, look_ahead: int | None = None) -> Array:
        """Log-mel [T, n_mels] -> audio [T * hop_length] float32.

        ``seed`` fixes the noise and phases of a vocoder that has them; None sets them to zero. ``look_ahead`` (mel
        frames, 0 to 3) is for the spectral vocoder; None takes the model's.
        """
        ahead = check_look_ahead(look_ahead)
        return like(self._model.vocode(self._mel(mel), check_seed(seed), ahead, self._codec.threads), mel)

    def _mel(self, mel: Array) -> Array:
        values = as_floats(mel, "mel", (None, self._bands))
        if len(values) == 0:
            raise ValueError("mel: has no frames")
        return values


def check_look_ahead(look_ahead: int | None) -> int:
    """What the core takes: -1 for None, the model's default. TypeError or ValueError."""
    if look_ahead is None:
        return -1
    if isinstance(look_ahead, bool) or not isinstance(look_ahead, int | np.integer):
        raise TypeError(f"look_ahead: expected an integer or None, got {type(look_ahead).__name__}")
    if not 0 <= look_ahead < 2**31:
        raise ValueError(f"look_ahead: {look_ahead} is negative or too large")
    return int(look_ahead)


def check_seed(seed: int | None) -> int | None:
    """A 64-bit seed or None. TypeError or ValueError."""
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed: expected an integer or None, got {type(seed).__name__}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed: {seed} is not in [0, 2**64)")
    return int(seed)
