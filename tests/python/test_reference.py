"""The PyTorch reference model against stored outputs of the published graph, and against itself."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from golden_weights import GOLDEN, golden_outputs, golden_state, golden_tensors

torch = pytest.importorskip("torch")

import secousti_native  # noqa: E402
from secousti_native.convert import ConversionError  # noqa: E402
from secousti_native.reference.codec import SecoustiCodec  # noqa: E402
from secousti_native.reference.config import CodecConfig, ConfigError, LayerCounts, VocoderConfig  # noqa: E402
from secousti_native.reference.fsq import FSQ  # noqa: E402
from secousti_native.reference.hift import SINE_AMPLITUDE, HiFT  # noqa: E402
from secousti_native.reference.load import load_codec, load_vocoder  # noqa: E402
from secousti_native.reference.mel import LogMel, reflect_pad  # noqa: E402
from secousti_native.reference.streaming import DecoderStep, EncoderStep  # noqa: E402
from secousti_native.reference.transformer import StreamingTransformer, windowed_attention  # noqa: E402

DATA = GOLDEN.parent
ASSETS = Path(secousti_native.__path__[0]) / "assets"
TOLERANCE = 1e-4  # of the output's range
RATIOS = {"86_hz": (1, 1), "21_5_hz": (2, 2)}
SMALL = CodecConfig(
    name="small",
    n_mels=20,
    n_filters=8,
    dimension=32,
    head_dim=8,
    feedforward=48,
    context=5,
    ratios=(2, 3),
    layers=LayerCounts(acoustic=1, semantic=2, connector=1, decoder=2),
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def relative_error(ours: Any, expected: npt.NDArray[Any]) -> float:
    """Largest difference over the range of ``expected``; NaN stays NaN, which no comparison lets pass."""
    a, b = np.asarray(ours.detach() if hasattr(ours, "detach") else ours, np.float64), np.asarray(expected, np.float64)
    assert a.shape == b.shape
    return float(np.max(np.abs(a - b)) / (np.max(b) - np.min(b)))


def assert_tokens_match(tokens: Any, expected: npt.NDArray[Any], fsq_in: npt.NDArray[Any]) -> None:
    """Tokens are equal in every frame whose digits all keep a margin to the rounding threshold."""
    margin = np.abs(np.abs(0.999 * np.tanh(fsq_in.astype(np.float64))) - 0.5).min(-1)
    safe = margin > 1e-4
    assert safe.mean() > 0.9
    assert np.array_equal(np.asarray(tokens)[safe], expected[safe])


@pytest.fixture(scope="module", params=sorted(RATIOS))
def published(request: pytest.FixtureRequest) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    layout = str(request.param)
    codec = SecoustiCodec(CodecConfig(ratios=RATIOS[layout])).eval()
    state = golden_state(layout)
    assert set(codec.state_dict()) == set(state)
    codec.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return codec, golden_outputs(layout)


def test_front_end_matches_golden() -> None:
    data = golden_outputs("frontend")
    pcm = torch.from_numpy(data["pcm"].astype(np.float32) / 32768)
    front = LogMel(CodecConfig())
    assert relative_error(front(pcm), data["mel"]) <= TOLERANCE
    exact = front(pcm.double())
    assert exact.dtype == torch.float64
    assert relative_error(exact, data["mel"]) <= TOLERANCE


def test_encoder_matches_golden(published: tuple[Any, dict[str, npt.NDArray[Any]]]) -> None:
    codec, data = published
    with torch.no_grad():
        out = codec.encode_mel(torch.from_numpy(data["mel"])[None])
    assert relative_error(out["encoder_out"][0].T, data["encoder_out"]) <= TOLERANCE
    assert relative_error(out["acoustic_embed"][0].T, data["acoustic_embed"]) <= TOLERANCE
    assert relative_error(out["semantic_mu"][0], data["semantic_mu"]) <= TOLERANCE
    assert relative_error(out["fsq_in"][0], data["fsq_in"]) <= TOLERANCE
    assert_tokens_match(out["tokens"][0], data["tokens"], data["fsq_in"])


def test_decoder_matches_golden(published: tuple[Any, dict[str, npt.NDArray[Any]]]) -> None:
    codec, data = published
    with torch.no_grad():
        g = codec.paralinguistic(torch.from_numpy(data["mel"])[None])
        mel = codec.decode_tokens(torch.from_numpy(data["tokens"])[None], g)
        acoustic = codec.decode_acoustic(torch.from_numpy(data["acoustic_embed"].T.copy())[None])
    assert relative_error(g[0], data["paralinguistic"]) <= TOLERANCE
    assert relative_error(mel[0], data["mel_from_tokens"]) <= TOLERANCE
    assert relative_error(acoustic[0], data["mel_from_acoustic"]) <= TOLERANCE


@pytest.mark.parametrize("rate", ["86", "21"])
def test_default_models_match_their_recorded_outputs(rate: str) -> None:
    codec = load_codec(ASSETS / f"default_{rate}.safetensors")
    with np.load(DATA / f"default_{rate}_check.npz", allow_pickle=False) as stored:
        data = {name: stored[name] for name in stored.files}
    with torch.no_grad():
        mel = LogMel(codec.config)(torch.from_numpy(data["pcm"].astype(np.float32) / 32768))[None]
        out = codec.encode_mel(mel)
        g = codec.paralinguistic(mel)
        restored = codec.decode_tokens(torch.from_numpy(data["tokens"])[None], g)
        y = codec.fsq.project(torch.from_numpy(data["semantic_mu"]))
    assert relative_error(mel[0], data["mel"]) <= TOLERANCE
    assert relative_error(out["semantic_mu"][0], data["semantic_mu"]) <= TOLERANCE
    assert_tokens_match(out["tokens"][0], data["tokens"], y.numpy())
    assert relative_error(g[0], data["paralinguistic"]) <= TOLERANCE
    assert relative_error(restored[0], data["mel_from_tokens"]) <= TOLERANCE


def hift() -> Any:
    vocoder = HiFT(CodecConfig(vocoder=VocoderConfig(kind="hift")), weight_norm=True).eval()
    state = golden_state("hift")
    assert set(vocoder.state_dict()) == set(state)
    vocoder.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return vocoder


def test_hift_matches_golden() -> None:
    """Each part is given what was stored of the part before it.

    A phase is the sum of all f0 before it: 5e-5 Hz, which is what convolutions summed in another order make of f0,
    are 2e-4 of the excitation's range after a second.
    """
    vocoder, data = hift(), golden_outputs("hift")
    mel, stored = torch.from_numpy(data["mel"])[None], torch.from_numpy(data["f0"])[None]
    with torch.no_grad():
        f0 = vocoder.f0(mel)
        source = vocoder.source(stored, noise=False)
        wav = vocoder.filter(mel, source)
        # The stored excitation rounds its phase to float32, which is off by 1.4e-4 of the range after a second; our
        # phase is exact. So compare ours before the drift, and ours with the same rounding over the whole length.
        steps = stored.repeat_interleave(256, 1)[0, :, None] * torch.arange(1, 10) / 22050 % 1
        rounded = steps.double().cumsum(0).float() % 1
        drifting = vocoder.m_source.mix(SINE_AMPLITUDE * (2 * math.pi * rounded).sin())
        assert torch.equal(vocoder(mel, noise=False), vocoder.filter(mel, vocoder.source(f0, noise=False)))
    assert relative_error(f0[0], data["f0"]) <= TOLERANCE
    assert relative_error(source[0, :8192], data["source"][:8192]) <= TOLERANCE
    assert relative_error(drifting, data["source"]) <= TOLERANCE
    assert relative_error(wav[0], data["wav"]) <= TOLERANCE


def test_hift_noise_follows_the_generator() -> None:
    vocoder = hift()
    mel = torch.from_numpy(golden_outputs("hift")["mel"][:8])[None]
    with torch.no_grad():
        first, again, other = (vocoder(mel, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (1, 8 * 256)


@pytest.mark.parametrize("samples", [0, 1, 255, 256, 257, 300, 384, 385, 1000])
def test_front_end_takes_any_length(samples: int) -> None:
    pcm = torch.linspace(-0.5, 0.5, samples, dtype=torch.float64)
    mel = LogMel(CodecConfig())(pcm)
    assert mel.shape == (samples // 256, 80)
    if samples >= 256:  # numpy mirrors repeatedly too
        padded = np.pad(pcm.numpy(), 384, mode="reflect")
        assert np.array_equal(reflect_pad(pcm, 384).numpy(), padded)


def test_front_end_has_finite_gradients_in_silence() -> None:
    pcm = torch.zeros(1, 1024, requires_grad=True)
    LogMel(CodecConfig())(pcm).sum().backward()
    assert pcm.grad is not None and bool(torch.isfinite(pcm.grad).all())


@pytest.mark.parametrize("length", [1, 4, 5, 6, 9, 10, 11, 37])
def test_windowed_attention_equals_a_plain_loop(length: int) -> None:
    context = 5
    q, k, v = torch.randn(3, 2, 2, length, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.empty_like(q)
    for t in range(length):
        window = slice(max(0, t - context + 1), t + 1)
        weights = (q[..., t : t + 1, :] @ k[..., window, :].mT / math.sqrt(4)).softmax(-1)
        expected[..., t : t + 1, :] = weights @ v[..., window, :]
    assert torch.allclose(windowed_attention(q, k, v, context), expected, atol=1e-12, rtol=0)
    half = windowed_attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), context)  # its own path on a CPU
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.double(), expected, atol=0.05, rtol=0)


def test_positions_are_exact_far_into_a_stream() -> None:
    torch.manual_seed(0)
    transformer = StreamingTransformer(SMALL, 2, layer_scale=0.5).eval()
    x = torch.randn(1, 12, SMALL.dimension)
    with torch.no_grad():
        near, far = transformer(x), transformer(x, first_position=2**31)
    assert relative_error(far, near.numpy()) <= 1e-5


def test_fsq_rounds_packs_and_passes_gradients() -> None:
    fsq = FSQ(SMALL)
    y = torch.tensor([[-9.0, 9.0, 0.0, 0.4, -0.6, 2.0, 0.5, -0.5]], requires_grad=True)
    codes = fsq.quantise(y, straight_through=True)
    assert codes.round().tolist() == [[-1, 1, 0, 0, -1, 1, 0, 0]]
    codes.sum().backward()
    assert y.grad is not None
    assert torch.allclose(y.grad, 0.999 * (1 - y.detach().tanh() ** 2), atol=1e-6)
    digits = [0, 2, 1, 1, 0, 2, 1, 1]
    assert fsq.pack(codes).tolist() == [sum(d * 3**i for i, d in enumerate(digits))]
    every = torch.arange(3**8)
    assert torch.equal(fsq.pack(fsq.unpack(every)), every)
    assert fsq.unpack(every.int()).abs().max().item() == 1


def test_prompt_is_the_middle_or_everything() -> None:
    codec = SecoustiCodec(SMALL.replace(prompt_frames=10))
    mel = torch.arange(25.0)[None, :, None].expand(1, 25, 20)
    assert codec.prompt(mel)[0, :, 0].tolist() == list(range(7, 17))
    assert codec.prompt(mel[:, :6]).shape[1] == 6


def test_batches_are_independent_and_causal() -> None:
    torch.manual_seed(0)
    codec = SecoustiCodec(SMALL, layer_scale=0.5).eval()
    mel = torch.randn(3, 25, 20)
    with torch.no_grad():
        whole = codec.encode_mel(mel)
        single = codec.encode_mel(mel[1:2])
        changed = codec.encode_mel(torch.cat((mel[:, :18], torch.randn(3, 7, 20)), 1))
    assert whole["tokens"].shape == (3, 5)  # ceil(25 / 6)
    for name in ("acoustic_embed", "semantic_mu", "fsq_in"):
        assert torch.allclose(whole[name][1:2], single[name], atol=1e-5)
        assert torch.allclose(whole[name][:, :3], changed[name][:, :3], atol=1e-5)
        assert not torch.allclose(whole[name][:, 3:], changed[name][:, 3:], atol=1e-3)
    with torch.no_grad():
        assert codec(mel).shape == mel.shape


def test_model_without_acoustic_branch() -> None:
    codec = SecoustiCodec(SMALL.replace(layers=LayerCounts(acoustic=0, semantic=1, connector=1, decoder=1)))
    assert "acoustic_embed" not in codec.encode_mel(torch.randn(1, 12, 20))
    assert not any(name.startswith("encoder_transformer") for name in codec.state_dict())
    with pytest.raises(RuntimeError, match="no acoustic branch"):
        codec.encode_acoustic(torch.randn(1, 2, 32))


def test_published_kernels_load_reduced_or_whole() -> None:
    codec = SecoustiCodec(SMALL)
    whole = copy.deepcopy(codec.state_dict())
    name = "paralinguistic_encoder.conv2d_1.weight"
    whole[name] = torch.randn(*whole[name].shape[:2], 3, 3)
    codec.load_state_dict(whole)
    assert torch.equal(codec.state_dict()[name], whole[name][..., 1])
    codec.load_state_dict(codec.state_dict())


def test_folded_normalisation_computes_the_same() -> None:
    torch.manual_seed(0)
    codec = SecoustiCodec(SMALL, layer_scale=0.5).eval()
    codec.set_mel_normalisation(torch.linspace(-6, -3, 20), torch.linspace(1, 3, 20))
    mel = torch.randn(2, 24, 20) * 2 - 5
    tokens = torch.randint(0, 3**8, (2, 4))
    folded = codec.folded()
    with torch.no_grad():
        g = codec.paralinguistic(mel)
        assert relative_error(folded.paralinguistic(mel), g.numpy()) <= 1e-5
        assert relative_error(folded.encode_mel(mel)["fsq_in"], codec.encode_mel(mel)["fsq_in"].numpy()) <= 1e-5
        assert relative_error(folded.decode_tokens(tokens, g), codec.decode_tokens(tokens, g).numpy()) <= 1e-5
    assert folded.normalisation.mean.abs().max().item() == 0
    assert codec.normalisation.mean.abs().max().item() > 0
    assert set(folded.state_dict()) == set(codec.state_dict())


@pytest.mark.parametrize("ratios", [(1, 1), (2, 3)])
def test_streaming_steps_equal_the_whole_sequence(ratios: tuple[int, int]) -> None:
    torch.manual_seed(0)
    codec = SecoustiCodec(SMALL.replace(ratios=ratios), layer_scale=0.5).eval()
    codec.set_mel_normalisation(torch.linspace(-1, 1, 20), torch.linspace(1, 2, 20))
    codec.fsq.project_in.weight.data.mul_(10)
    stride = codec.config.token_stride
    mel = torch.randn(2, 12 * stride, 20)  # more frames than the context of 5, so that the ring wraps
    encoder, decoder = EncoderStep(codec, batch=2), DecoderStep(codec, batch=2)
    with torch.no_grad():
        expected = codec.encode_mel(mel)
        g = codec.paralinguistic(mel)
        restored = codec.decode_tokens(expected["tokens"], g)
        for _ in range(2):  # the second round must not see the first
            encoder.reset()
            decoder.reset()
            tokens = torch.stack([encoder(frames) for frames in mel.split(stride, 1)], 1)
            frames = torch.cat([decoder(token, g) for token in expected["tokens"].unbind(1)], 1)
            assert_tokens_match(tokens, expected["tokens"].numpy(), expected["fsq_in"].numpy())
            assert relative_error(frames, restored.numpy()) <= 1e-5
    assert len(expected["tokens"].unique()) >= 8  # the tokens that agree are not one constant


def test_every_parameter_trains_under_bf16_autocast() -> None:
    torch.manual_seed(0)
    codec = SecoustiCodec(SMALL, layer_scale=0.5).train()
    codec.fsq.project_in.weight.data.mul_(10)  # or every code is zero
    mel = torch.randn(2, 36, 20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = codec.encoder(mel)
        a = codec.encode_acoustic(z)
        mu, log_variance = codec.vae_semantic_transformer.posterior(z)
        codes = codec.fsq.quantise(codec.fsq.project(mu), straight_through=True)
        g, g_log_variance = codec.paralinguistic_encoder.posterior(codec.prompt(mel))
        predicted = codec.connect(codec.fsq.embed(codes), g)
        restored = codec.decode_acoustic(predicted)
    loss = (restored.float() - mel).square().mean() + (predicted.float() - a.float()).square().mean()
    loss = loss + log_variance.float().square().mean() + g_log_variance.float().square().mean()
    loss.backward()
    assert math.isfinite(loss.item())
    without = [n for n, p in codec.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    # A bias in front of batch norm has no effect, so its gradient is rounding noise or zero.
    assert [n for n in without if "conv2d" not in n] == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dimension": 100}, "head_dim"),
        ({"dimension": "512"}, "config.dimension"),
        ({"dimenson": 512}, "unknown field.*dimenson"),
        ({"ratios": [2]}, "ratios"),
        ({"fsq_levels": [4, 3]}, "fsq_levels"),
        ({"mel_fmax": 12000}, "mel_fmax"),
        ({"mel_fmax": math.nan}, "mel_fmax"),
        ({"layers": {"semantic": 0}}, "layers.semantic"),
        ({"layers": 8}, "config.layers"),
        ({"layers": {"decoder": 10**9}}, "layers.decoder"),
        ({"vocoder": {"kind": "wave"}}, "vocoder.kind"),
        ({"vocoder": {"kind": "hift", "upsample_rates": [8, 4]}}, "hop_length"),
        ({"vocoder": {"kind": "hift", "resblock_kernels": [4]}}, "odd"),
    ],
)
def test_bad_configurations_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CodecConfig.from_dict(values)


def test_configuration_survives_json() -> None:
    for config in (SMALL, CodecConfig(vocoder=VocoderConfig(kind="hift"))):
        assert CodecConfig.from_json(config.to_json()) == config
    assert CodecConfig().frame_rate == pytest.approx(86.1328, abs=1e-4)
    assert CodecConfig(ratios=(2, 2)).token_stride == 4
    assert CodecConfig().cardinality == 6561


def test_published_checkpoints_load_by_shape_alone() -> None:
    state = golden_tensors("hift")
    vocoder = load_vocoder(state)
    assert torch.equal(vocoder.state_dict()["conv_post.bias"], state["conv_post.bias"])
    del state["conv_post.bias"]
    with pytest.raises(ConversionError, match=r"conv_post\.bias"):
        load_vocoder(state)
    torch.manual_seed(0)
    codec = SecoustiCodec(SMALL.replace(head_dim=64, dimension=64))
    again = load_codec(codec.state_dict())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in codec.state_dict().items())


def test_golden_data_is_complete() -> None:
    assert {p.name for p in Path(GOLDEN).glob("*.npz")} == {
        f"golden_{name}.npz" for name in ("frontend", "86_hz", "21_5_hz", "hift")
    }
