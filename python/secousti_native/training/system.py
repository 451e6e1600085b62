"""Everything that is trained, and the loss of each stage: a module whose `forward` maps a batch to named scalars."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secousti_native.reference.codec import SecoustiCodec
from secousti_native.reference.config import CodecConfig, ConfigError
from secousti_native.reference.mel import hz_to_mel
from secousti_native.training.augment import Augmentation, Views
from secousti_native.training.batches import Batch
from secousti_native.training.config import TrainConfig
from secousti_native.training.disturbance import Disturbance
from secousti_native.training.losses import (
    band_weight,
    code_redundancy,
    contrastive_loss,
    fsq_regularisation,
    kl_with_margin,
    masked_mean,
    mel_losses,
    ramp,
)
from secousti_native.training.phonemes import PhonemeEncoder, expand
from secousti_native.training.vq import VectorQuantiser

LOW_HZ = 1000.0  # below it the harmonics lie that decide how a voice is judged
PLAIN_TERMS = (
    *("mel_l1", "mel_mse", "mel_slope", "disturbance", "acoustic"),
    *("contrastive", "fsq", "entropy", "prompt_mean"),
)


class TrainingSystem(nn.Module):
    """The codec with the training-only parts: phoneme encoder, linear probe of G, a codebook for the VQ ablation."""

    bands: Tensor | None

    def __init__(self, codec: SecoustiCodec, symbols: int, config: TrainConfig) -> None:
        super().__init__()
        self.config, self.codec = config, codec
        dimension = codec.config.dimension
        self.phonemes = PhonemeEncoder(symbols, dimension) if config.losses.contrastive else None
        self.prompt_mean = nn.Linear(dimension, codec.config.n_mels) if config.losses.prompt_mean else None
        self.vq = VectorQuantiser(codec.config.cardinality, dimension) if config.quantiser.kind == "vq" else None
        self.disturbance = Disturbance(codec.config) if config.losses.disturbance else None
        factor, bands = config.losses.low_bands, codec.config.n_mels
        weight = None if factor == 1 else band_weight(bands, _bands_below(LOW_HZ, codec.config), factor)
        self.register_buffer("bands", weight, persistent=False)
        self.augmentation = Augmentation(config.augment)
        if config.stage != "joint" and codec.encoder_transformer is None:
            raise ConfigError(f"codec.layers.acoustic: the {config.stage} stage needs an acoustic branch, but it is 0")
        for parameter in codec.parameters():
            parameter.requires_grad_(False)
        for name in config.modules:
            module = codec.get_submodule(name)
            assert isinstance(module, nn.Module)
            module.requires_grad_(True)
        # What a stage's loss does not reach is frozen too: DDP and weight decay would trip over it.
        if config.stage != "acoustic":
            codec.vae_semantic_transformer.dense_var.requires_grad_(self._needs_semantic_variance())
            codec.paralinguistic_encoder.dense_var.requires_grad_(config.losses.kl_paralinguistic > 0)
        if self.vq is not None:
            codec.fsq.requires_grad_(False)

    def _needs_semantic_variance(self) -> bool:
        return self.config.quantiser.sample or self.config.losses.kl_semantic > 0

    def train(self, mode: bool = True) -> TrainingSystem:
        """Frozen modules stay in evaluation mode: their batch statistics must not move."""
        super().train(mode)
        for name, module in self.codec.named_children():
            if name not in self.config.modules:
                module.eval()
        return self

    def forward(self, batch: Batch, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Unweighted terms, metrics, and under ``loss`` what to minimise.

        ``generator``, of the batch's device, supplies all randomness.
        """
        views = self.augmentation(batch, generator)
        if self.config.stage == "acoustic":
            terms = self._acoustic(batch, views)
        else:
            terms = self._tokens(batch, views, step, generator)
        terms["loss"] = self._total(terms, step)
        return terms

    @torch.no_grad()
    def reconstruct(self, mel: Tensor) -> tuple[Tensor, Tensor | None]:
        """Log-mel ``[B, T, n_mels]`` through the stage's path, as in inference; also its tokens ``[B, N]`` if any."""
        codec, length = self.codec, mel.shape[1]
        z = codec.encoder(mel)
        if self.config.stage == "acoustic":
            return codec.decode_acoustic(codec.encode_acoustic(z))[:, :length], None
        s = codec.vae_semantic_transformer(z)
        if self.vq is not None:
            z_q, tokens, _ = self.vq(s)
        else:
            codes = codec.fsq.quantise(codec.fsq.project(s))
            z_q, tokens = codec.fsq.embed(codes), codec.fsq.pack(codes)
        return codec.decode_acoustic(codec.connect(z_q, codec.paralinguistic(mel)))[:, :length], tokens

    def _total(self, terms: dict[str, Tensor], step: int) -> Tensor:
        losses = self.config.losses
        kl = ramp(step, losses.kl_start, losses.kl_end)
        total = torch.zeros((), device=next(iter(terms.values())).device)
        for name in PLAIN_TERMS:
            if name in terms:
                total = total + getattr(losses, name) * terms[name]
        if "vq" in terms:
            total = total + terms["vq"]
        for name in ("kl_semantic", "kl_paralinguistic"):
            if name in terms:
                total = total + kl * getattr(losses, name) * terms[name]
        return total

    def _mel(self, predicted: Tensor, batch: Batch, views: Views) -> dict[str, Tensor]:
        length = batch.mel.shape[1]
        deviation = self.codec.normalisation.deviation
        predicted, losses = predicted[:, :length], self.config.losses
        terms = mel_losses(predicted, views.target, batch.valid, deviation, losses, self.bands)
        if self.disturbance is not None:
            terms["disturbance"] = self.disturbance(predicted, views.target, batch.valid)
        return terms

    def _acoustic(self, batch: Batch, views: Views) -> dict[str, Tensor]:
        a = self.codec.encode_acoustic(self.codec.encoder(views.target))
        return self._mel(self.codec.decode_acoustic(a), batch, views)

    def _tokens(self, batch: Batch, views: Views, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        codec, losses = self.codec, self.config.losses
        valid = _token_rows(batch.valid, codec.config.token_stride)
        terms: dict[str, Tensor] = {}
        z = codec.encoder(views.encoder)
        if self._needs_semantic_variance():
            mean, log_variance = codec.vae_semantic_transformer.posterior(z)
            if losses.kl_semantic:
                terms["kl_semantic"] = kl_with_margin(mean, log_variance, losses.kl_margin, valid)
            s = _sample(mean, log_variance, generator) if self.config.quantiser.sample else mean
        else:
            s = codec.vae_semantic_transformer(z)
        z_q = self._quantise(s, valid, step, generator, terms)
        if losses.kl_paralinguistic:
            mean, log_variance = codec.paralinguistic_encoder.posterior(views.prompt)
            terms["kl_paralinguistic"] = kl_with_margin(mean, log_variance, losses.kl_margin)
            g = _sample(mean, log_variance, generator)
        else:
            g = codec.paralinguistic_encoder(views.prompt)
        if self.prompt_mean is not None:
            average = codec.normalisation.normalise(views.prompt.mean(1))
            terms["prompt_mean"] = F.mse_loss(self.prompt_mean(g).float(), average)
        predicted = codec.connect(z_q, g)
        if losses.acoustic:
            with torch.no_grad():
                a = codec.encode_acoustic(codec.encoder(views.target))
            terms["acoustic"] = masked_mean((predicted - a).float().square(), valid)
        if losses.mel_l1 or losses.mel_mse or losses.mel_slope or losses.disturbance:
            terms |= self._mel(codec.decode_acoustic(predicted), batch, views)
        if self.phonemes is not None:
            terms |= self._contrastive(self.phonemes, z_q, batch, generator)
        return terms

    def _quantise(
        self, s: Tensor, valid: Tensor, step: int, generator: torch.Generator, terms: dict[str, Tensor]
    ) -> Tensor:
        z_q: Tensor
        config, fsq = self.config.quantiser, self.codec.fsq
        if self.vq is not None:
            z_q, tokens, terms["vq"] = self.vq(s)
        else:
            y = fsq.project(s)
            codes = fsq.quantise(y, straight_through=True)
            share = ramp(step, config.start, config.end)
            if share < 1:
                hard = torch.rand(len(y), 1, 1, generator=generator, device=y.device) < share
                noise = 2 * torch.rand(y.shape, generator=generator, device=y.device) - 1
                codes = torch.where(hard, codes, fsq.bound(y) + config.dither * noise)
            z_q = fsq.embed(codes)
            tokens = fsq.pack(fsq.quantise(y.detach()))
            if self.config.losses.fsq:
                terms["fsq"] = fsq_regularisation(y[valid])
            if self.config.losses.entropy:
                terms["entropy"] = code_redundancy(fsq.bound(y)[valid], self.codec.config.fsq_levels)
        terms["distinct"] = tokens[valid].unique().numel() / valid.sum().clamp_min(1)  # codes, as a share of frames
        return z_q

    def _contrastive(
        self, phonemes: PhonemeEncoder, z_q: Tensor, batch: Batch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Over all token frames whose phone is known; a token has the phone of its block's middle frame."""
        losses, stride = self.config.losses, self.codec.config.token_stride
        segment = F.pad(batch.segment, (0, -batch.segment.shape[1] % stride), value=-1)[:, stride // 2 :: stride]
        known = segment >= 0
        p = expand(phonemes(batch.phones), segment)[known]
        s, labels = z_q[known], batch.phones.gather(1, segment.clamp_min(0))[known]
        limit = losses.contrastive_frames
        if 0 < limit < len(s):
            chosen = torch.randperm(len(s), generator=generator, device=s.device)[:limit]
            s, p, labels = s[chosen], p[chosen], labels[chosen]
        if len(s) == 0:  # keeps every parameter in the graph, as DDP wants
            zero = p.sum() + s.sum() + 0.0 * phonemes.log_scale
            return {"contrastive": zero, "contrastive_accuracy": zero.detach()}
        masked = labels if losses.contrastive_mask_same else None
        with torch.autocast(s.device.type, enabled=False):
            loss, accuracy = contrastive_loss(s, p, phonemes.scale(), masked)
        return {"contrastive": loss, "contrastive_accuracy": accuracy}


def _sample(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    return mean + noise * (0.5 * log_variance).exp()


def _token_rows(valid: Tensor, stride: int) -> Tensor:
    """``[B, T]`` of mel frames to ``[B, N]``: a token counts if its first frame does."""
    return valid[:, ::stride]


def _bands_below(hertz: float, config: CodecConfig) -> int:
    """How many mel bands have their centre below ``hertz``."""
    low, high = hz_to_mel(config.mel_fmin), hz_to_mel(config.mel_fmax)
    step = (high - low) / (config.n_mels + 1)
    return sum(low + step * (i + 1) < hz_to_mel(hertz) for i in range(config.n_mels))
