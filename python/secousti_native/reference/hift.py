"""HiFT vocoder, offline (specification section 7): neural source-filter with an inverse STFT head, not causal."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from .config import CodecConfig, ConfigError, VocoderConfig

SINE_AMPLITUDE = 0.1
NOISE_VOICED = 0.003
NOISE_UNVOICED = SINE_AMPLITUDE / 3.0
VOICED_HZ = 10.0
TRUNK_SLOPE = 0.1
HEAD_SLOPE = 0.01
MAX_MAGNITUDE = 100.0
MAX_SAMPLE = 0.99

Wrap = Callable[[nn.Module], nn.Module]


class Snake(nn.Module):
    """x + sin^2(a x) / a with one learnt frequency a per channel (Ziyin et al. 2020), over ``[B, C, T]``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.alpha[:, None]
        return x + (alpha * x).sin().square() / (alpha + 1e-9)


class ResBlock(nn.Module):
    """For each dilation: x += conv(snake(dilated conv(snake(x)))), all symmetric."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...], wrap: Wrap) -> None:
        super().__init__()

        def conv(dilation: int) -> nn.Module:
            pad = dilation * (kernel - 1) // 2
            return wrap(nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=pad))

        self.convs1 = nn.ModuleList(conv(d) for d in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)
        self.activations1 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.activations2 = nn.ModuleList(Snake(channels) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for snake1, conv1, snake2, conv2 in zip(
            self.activations1, self.convs1, self.activations2, self.convs2, strict=True
        ):
            x = x + conv2(snake2(conv1(snake1(x))))
        return x


class F0Predictor(nn.Module):
    """Mel ``[B, n_mels, T]`` to fundamental frequency in Hz, ``[B, T]``."""

    def __init__(self, n_mels: int, config: VocoderConfig, wrap: Wrap) -> None:
        super().__init__()
        widths = [n_mels] + [config.f0_channels] * config.f0_layers
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [wrap(nn.Conv1d(before, after, config.f0_kernel, padding=config.f0_kernel // 2)), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(config.f0_channels, 1)

    def forward(self, mel: Tensor) -> Tensor:
        f0: Tensor = self.classifier(self.condnet(mel).transpose(1, 2))
        return f0.squeeze(-1).abs()


class HarmonicSource(nn.Module):
    """Fundamental frequency per sample ``[B, samples]`` in Hz to an excitation in (-1, 1) of the same shape."""

    def __init__(self, harmonics: int, sample_rate: int) -> None:
        super().__init__()
        self.harmonics, self.sample_rate = harmonics, sample_rate
        self.l_linear = nn.Linear(harmonics, 1)

    def cycles(self, f0: Tensor) -> Tensor:
        """Phase of each harmonic in cycles, float64 ``[B, samples, harmonics]`` in [0, 1).

        Double precision, wrapped before the sine: a float32 sum of cycles drifts audibly within minutes.
        """
        order = torch.arange(1, self.harmonics + 1, device=f0.device, dtype=torch.float64)
        return (f0.double().unsqueeze(-1) * order / self.sample_rate).cumsum(1) % 1.0

    def mix(self, waves: Tensor) -> Tensor:
        """Harmonics ``[B, samples, harmonics]`` to the excitation ``[B, samples]``."""
        mixed: Tensor = self.l_linear(waves)
        return mixed.squeeze(-1).tanh()

    def forward(self, f0: Tensor, noise: bool = True, generator: torch.Generator | None = None) -> Tensor:
        """``noise=False`` leaves out the noise and starts every harmonic at phase zero."""
        cycles = self.cycles(f0)
        if noise:
            start = torch.rand(f0.shape[0], 1, self.harmonics, generator=generator, device=f0.device) - 0.5
            start[..., 0] = 0.0
            cycles = cycles + start
        voiced = (f0 > VOICED_HZ).unsqueeze(-1)
        waves = SINE_AMPLITUDE * (2.0 * math.pi * cycles).sin().to(f0.dtype) * voiced
        if noise:
            sigma = torch.where(voiced, NOISE_VOICED, NOISE_UNVOICED).to(f0.dtype)
            waves = waves + sigma * torch.randn(waves.shape, generator=generator, device=f0.device)
        return self.mix(waves)


class HiFT(nn.Module):
    """Log-mel ``[B, T, n_mels]`` to samples ``[B, T hop_length]`` within +-0.99.

    ``weight_norm=True`` has the tensors of a published checkpoint (gain and direction apart), ``False`` the folded
    ones of a converted model. Raises `ConfigError` unless ``config.vocoder.kind`` is ``hift``.
    """

    window: Tensor

    def __init__(self, config: CodecConfig, weight_norm: bool = False) -> None:
        super().__init__()
        vocoder = config.vocoder
        if vocoder.kind != "hift":
            raise ConfigError(f"vocoder.kind: {vocoder.kind!r} is not hift")
        self.config, self.n_fft, self.hop = vocoder, vocoder.istft_n_fft, vocoder.istft_hop
        self.hop_length = config.hop_length
        wrap: Wrap = parametrizations.weight_norm if weight_norm else lambda module: module

        self.m_source = HarmonicSource(vocoder.harmonics, config.sample_rate)
        self.f0_predictor = F0Predictor(config.n_mels, vocoder, wrap)
        self.conv_pre = wrap(nn.Conv1d(config.n_mels, vocoder.channels, 7, padding=3))
        self.ups, self.source_downs, self.source_resblocks = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.resblocks = nn.ModuleList()
        bins = self.n_fft + 2  # real and imaginary parts
        channels = vocoder.channels
        for i, (rate, kernel) in enumerate(zip(vocoder.upsample_rates, vocoder.upsample_kernels, strict=True)):
            half = channels // 2
            self.ups.append(wrap(nn.ConvTranspose1d(channels, half, kernel, rate, padding=(kernel - rate) // 2)))
            down = math.prod(vocoder.upsample_rates[i + 1 :])  # the source's STFT frames per frame of this stage
            size, pad = (1, 0) if down == 1 else (2 * down, down // 2)
            self.source_downs.append(nn.Conv1d(bins, half, size, stride=down, padding=pad))
            dilations = vocoder.resblock_dilations
            self.source_resblocks.append(ResBlock(half, vocoder.source_resblock_kernels[i], dilations, wrap))
            self.resblocks.extend(ResBlock(half, k, dilations, wrap) for k in vocoder.resblock_kernels)
            channels = half
        self.conv_post = wrap(nn.Conv1d(channels, bins, 7, padding=3))
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)

    def f0(self, mel: Tensor) -> Tensor:
        """Log-mel ``[B, T, n_mels]`` to fundamental frequency ``[B, T]`` in Hz."""
        f0: Tensor = self.f0_predictor(mel.transpose(1, 2))
        return f0

    def source(self, f0: Tensor, noise: bool = True, generator: torch.Generator | None = None) -> Tensor:
        """Fundamental frequency ``[B, T]`` in Hz to the excitation ``[B, T hop_length]``."""
        source: Tensor = self.m_source(f0.repeat_interleave(self.hop_length, 1), noise, generator)
        return source

    def filter(self, mel: Tensor, source: Tensor) -> Tensor:
        """Log-mel ``[B, T, n_mels]`` and excitation ``[B, T hop_length]`` to samples ``[B, T hop_length]``."""
        excitation = torch.stft(source, self.n_fft, self.hop, window=self.window, center=True, return_complex=True)
        excitation = torch.cat((excitation.real, excitation.imag), 1)
        x: Tensor = self.conv_pre(mel.transpose(1, 2))
        blocks = len(self.config.resblock_kernels)
        last = len(self.ups) - 1
        stages = zip(self.ups, self.source_downs, self.source_resblocks, strict=True)
        for i, (up, down, source_block) in enumerate(stages):
            x = up(F.leaky_relu(x, TRUNK_SLOPE))
            if i == last:
                x = F.pad(x, (1, 0), mode="reflect")  # centred frames are one more than hops
            x = x + source_block(down(excitation))
            parallel = [block(x) for block in list(self.resblocks)[i * blocks : (i + 1) * blocks]]
            x = torch.stack(parallel).mean(0)
        x = self.conv_post(F.leaky_relu(x, HEAD_SLOPE))
        log_magnitude, phase = x.float().chunk(2, 1)
        magnitude, phase = log_magnitude.exp().clamp_max(MAX_MAGNITUDE), phase.sin()
        spectrum = torch.polar(magnitude, phase)
        samples = torch.istft(spectrum, self.n_fft, self.hop, window=self.window, center=True)
        return samples.clamp(-MAX_SAMPLE, MAX_SAMPLE)

    def forward(self, mel: Tensor, noise: bool = True, generator: torch.Generator | None = None) -> Tensor:
        return self.filter(mel, self.source(self.f0(mel), noise, generator))
