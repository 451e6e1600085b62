"""The whole codec between log-mel frames and tokens; its state dict has the names of the published checkpoints."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from .config import CodecConfig
from .fsq import FSQ
from .paralinguistic import ParalinguisticEncoder
from .seanet import MelNormalisation, SEANetDecoder, SEANetEncoder
from .transformer import SemanticTransformer, StreamingTransformer, VariationalSemanticTransformer


class SecoustiCodec(nn.Module):
    """SecoustiCodec (Qiang et al., arXiv 2508.02849) for batches ``[B, T, n_mels]`` of log-mel frames.

    N = ceil(T / token_stride) token frames, D = dimension. ``layer_scale`` is the initial layer scale of every
    transformer. `forward` resynthesises through tokens; training calls the single stages.
    """

    def __init__(self, config: CodecConfig, layer_scale: float = 0.01) -> None:
        super().__init__()
        self.config = config
        layers = config.layers
        self.normalisation = MelNormalisation(config.n_mels)
        self.paralinguistic_encoder = ParalinguisticEncoder(config, self.normalisation)
        self.fsq = FSQ(config)
        self.encoder = SEANetEncoder(config, self.normalisation)
        self.decoder = SEANetDecoder(config, self.normalisation)
        self.encoder_transformer = (
            StreamingTransformer(config, layers.acoustic, layer_scale) if layers.acoustic > 0 else None
        )
        self.decoder_transformer = StreamingTransformer(config, layers.decoder, layer_scale)
        self.vae_semantic_transformer = VariationalSemanticTransformer(config, layers.semantic, layer_scale)
        self.semantic_connector = SemanticTransformer(config, layers.connector, layer_scale)

    # Single stages.

    def encode_acoustic(self, encoder_out: Tensor) -> Tensor:
        """SEANet output ``[B, N, D]`` to the continuous acoustic embedding A ``[B, N, D]``.

        Raises `RuntimeError` if the model has no acoustic branch.
        """
        if self.encoder_transformer is None:
            raise RuntimeError(f"model {self.config.name!r} has no acoustic branch (layers.acoustic is 0)")
        a: Tensor = self.encoder_transformer(encoder_out)
        return a

    def connect(self, z_q: Tensor, g: Tensor) -> Tensor:
        """Quantised frames ``[B, N, D]`` and G (``[B, D]`` or one per frame) to the predicted A ``[B, N, D]``."""
        a: Tensor = self.semantic_connector(z_q + (g.unsqueeze(1) if g.dim() == 2 else g))
        return a

    def prompt(self, mel: Tensor) -> Tensor:
        """The middle ``prompt_frames`` of ``[B, T, n_mels]``; all of a shorter utterance."""
        start = max(0, (mel.shape[1] - self.config.prompt_frames) // 2)
        return mel[:, start : start + self.config.prompt_frames]

    # Inference.

    def encode_mel(self, mel: Tensor) -> dict[str, Tensor]:
        """Log-mel ``[B, T, n_mels]`` to every intermediate of the encoder.

        ``encoder_out``, ``acoustic_embed`` (if there is an acoustic branch) and ``semantic_mu`` ``[B, N, D]``,
        ``fsq_in`` ``[B, N, digits]``, ``tokens`` int64 ``[B, N]``.
        """
        z = self.encoder(mel)
        acoustic = {} if self.encoder_transformer is None else {"acoustic_embed": self.encode_acoustic(z)}
        mu = self.vae_semantic_transformer(z)
        y = self.fsq.project(mu)
        tokens = self.fsq.pack(self.fsq.quantise(y))
        return {"encoder_out": z, **acoustic, "semantic_mu": mu, "fsq_in": y, "tokens": tokens}

    def paralinguistic(self, mel: Tensor) -> Tensor:
        """Log-mel ``[B, T, n_mels]`` of a whole utterance, T >= 1, to G ``[B, D]``."""
        g: Tensor = self.paralinguistic_encoder(self.prompt(mel))
        return g

    def decode_acoustic(self, a: Tensor) -> Tensor:
        """Acoustic embedding ``[B, N, D]`` to log-mel ``[B, N token_stride, n_mels]``."""
        mel: Tensor = self.decoder(self.decoder_transformer(a))
        return mel

    def decode_tokens(self, tokens: Tensor, g: Tensor) -> Tensor:
        """Tokens ``[B, N]`` and G ``[B, D]`` to log-mel ``[B, N token_stride, n_mels]``."""
        return self.decode_acoustic(self.connect(self.fsq.decode(tokens), g))

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel through tokens and back, cut to its own length."""
        restored = self.decode_tokens(self.encode_mel(mel)["tokens"], self.paralinguistic(mel))
        return restored[:, : mel.shape[1]]

    # Normalisation of training.

    @torch.no_grad()
    def set_mel_normalisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Lets the weights work on (mel - mean) / deviation, both ``[n_mels]``; inputs and outputs stay raw log-mel."""
        self.normalisation.mean.copy_(mean)
        self.normalisation.deviation.copy_(deviation)

    @torch.no_grad()
    def unfold(self, mean: Tensor, deviation: Tensor) -> None:
        """Makes a codec without normalisation compute the same with one, for fine-tuning: the inverse of `folded`."""
        self.set_mel_normalisation(mean, deviation)
        self.normalisation.unfold_from_input(self.encoder.first.layer)
        self.normalisation.unfold_from_input(self.paralinguistic_encoder.first)
        self.normalisation.unfold_from_output(self.decoder.last.layer)

    def folded(self) -> SecoustiCodec:
        """A copy that computes the same without normalisation, for export in the published layout."""
        model = copy.deepcopy(self)
        norm = model.normalisation
        norm.fold_into_input(model.encoder.first.layer)
        norm.fold_into_input(model.paralinguistic_encoder.first)
        norm.fold_into_output(model.decoder.last.layer)
        norm.mean.zero_()
        norm.deviation.fill_(1.0)
        return model
