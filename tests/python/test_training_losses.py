"""Every loss against a case worked out by hand."""

import math

import pytest
import torch

from secousti_native.reference.config import CodecConfig
from secousti_native.reference.fsq import FSQ
from secousti_native.training.losses import (
    LossConfig,
    band_weight,
    code_redundancy,
    contrastive_loss,
    fsq_regularisation,
    kl_divergence,
    kl_with_margin,
    loudness_weight,
    masked_mean,
    mel_losses,
    ramp,
)


def test_contrastive_loss_of_two_orthogonal_pairs() -> None:
    s = torch.tensor([[3.0, 0.0], [0.0, 2.0]])  # lengths must not matter
    p = torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    loss, accuracy = contrastive_loss(s, p, torch.tensor(2.0))
    # Logits are [[2, 0], [0, 2]]: every row and column has loss -log(e^2 / (e^2 + 1)).
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)
    assert accuracy.item() == 1.0


def test_contrastive_loss_is_symmetric() -> None:
    s = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    p = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Logits [[1, 0], [1, 0]]. Rows: log(1 + 1/e) and log(1 + e); columns: log 2 and log 2.
    rows = (math.log(1 + math.exp(-1)) + math.log(1 + math.e)) / 2
    expected = 0.5 * (rows + math.log(2))
    assert contrastive_loss(s, p, torch.tensor(1.0))[0].item() == pytest.approx(expected, abs=1e-6)
    assert contrastive_loss(p, s, torch.tensor(1.0))[0].item() == pytest.approx(expected, abs=1e-6)


def test_frames_of_the_same_phone_are_no_negatives() -> None:
    s = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([7, 7, 9])
    masked = contrastive_loss(s, s, torch.tensor(1.0), labels)[0].item()
    # Rows 0 and 1 see themselves (1) and frame 2 (0); row 2 sees itself (1) and two others (0). Columns likewise.
    expected = (2 * math.log(1 + math.exp(-1)) + math.log(1 + 2 * math.exp(-1))) / 3
    assert masked == pytest.approx(expected, abs=1e-6)
    assert masked < contrastive_loss(s, s, torch.tensor(1.0))[0].item()


def test_kl_of_known_normals() -> None:
    mean = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    log_variance = torch.tensor([[0.0, math.log(4.0)], [0.0, 0.0]])
    # 1/2 (1 + 1 - 1 - 0) + 1/2 (4 + 4 - 1 - log 4), and 0 for the standard normal.
    first = 0.5 + 0.5 * (7 - math.log(4.0))
    assert kl_divergence(mean, log_variance).tolist() == pytest.approx([first, 0.0], abs=1e-6)


@pytest.mark.parametrize(("margin", "expected"), [(0.0, 0.25), (0.1, 0.15), (0.3, 0.0), (3.0, 0.0)])
def test_kl_margin(margin: float, expected: float) -> None:
    mean = torch.tensor([[1.0], [0.0], [50.0]], requires_grad=True)  # KL 0.5, 0 and, masked out, 1250
    loss = kl_with_margin(mean, torch.zeros(3, 1), margin, torch.tensor([True, True, False]))
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert mean.grad is not None
    assert mean.grad[:, 0].tolist() == pytest.approx([0.5 if expected > 0 else 0.0, 0.0, 0.0])


def test_ramp_is_linear_between_its_steps() -> None:
    assert [ramp(s, 20, 30) for s in (0, 20, 25, 30, 99)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert [ramp(s, 5, 5) for s in (4, 5)] == [0.0, 1.0]


def test_straight_through_gradient_is_that_of_the_bounded_digits() -> None:
    fsq = FSQ(CodecConfig())
    y = torch.tensor([[-2.0, -0.3, 0.0, 0.3, 0.549, 0.56, 1.0, 9.0]], requires_grad=True)
    codes = fsq.quantise(y, straight_through=True)
    assert codes.tolist() == [[-1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]
    weights = torch.arange(1.0, 9.0)
    (codes * weights).sum().backward()
    assert y.grad is not None
    expected = [w * 0.999 * (1 - math.tanh(v) ** 2) for w, v in zip(weights.tolist(), y[0].tolist(), strict=True)]
    assert y.grad[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_masked_mean_counts_only_valid_frames() -> None:
    values = torch.tensor([[[1.0, 3.0], [100.0, 100.0]], [[5.0, 7.0], [0.0, 2.0]]])
    mask = torch.tensor([[True, False], [True, True]])
    assert masked_mean(values, mask).item() == pytest.approx((1 + 3 + 5 + 7 + 0 + 2) / 6)
    assert masked_mean(values, torch.zeros(2, 2, dtype=torch.bool)).item() == 0.0


def test_mel_losses_by_hand() -> None:
    target = torch.zeros(1, 3, 2)
    predicted = torch.tensor([[[1.0, 4.0], [3.0, 4.0], [99.0, 99.0]]])
    mask = torch.tensor([[True, True, False]])
    deviation = torch.tensor([1.0, 2.0])  # differences become [[1, 2], [3, 2]]
    losses = mel_losses(predicted, target, mask, deviation, LossConfig(mel_slope=1.0))
    assert losses["mel_l1"].item() == pytest.approx(2.0)
    assert losses["mel_mse"].item() == pytest.approx((1 + 4 + 9 + 4) / 4)
    assert losses["mel_slope"].item() == pytest.approx((2 + 0) / 2 + (1 + 1) / 2)


def test_weighted_bands_by_hand() -> None:
    weight = band_weight(4, 1, 3.0)
    assert weight.tolist() == pytest.approx([2.0, 2 / 3, 2 / 3, 2 / 3])
    target = torch.zeros(1, 2, 4)
    predicted = torch.tensor([[[1.0, 0, 0, 3.0], [1.0, 0, 0, 0]]])
    losses = mel_losses(predicted, target, torch.ones(1, 2, dtype=torch.bool), torch.ones(4), LossConfig(), weight)
    assert losses["mel_l1"].item() == pytest.approx((2 + 2 + 2) / 8)
    assert losses["mel_mse"].item() == pytest.approx((2 + 6 + 2) / 8)


def test_loudness_weight_favours_loud_bins_and_keeps_the_mean() -> None:
    target = torch.tensor([[[0.0, -5.0], [-10.0, 0.0]]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    weight = loudness_weight(target, mask, 0.5)
    assert weight.mean().item() == pytest.approx(1.0, abs=1e-6)
    raw = [1.0, math.exp(-2.3), math.exp(-4.6), 1.0]
    assert weight.flatten().tolist() == pytest.approx([0.5 + 0.5 * r / (sum(raw) / 4) for r in raw], abs=1e-5)
    assert loudness_weight(target, mask, 0.0).tolist() == [[[1.0, 1.0], [1.0, 1.0]]]


def test_fsq_regularisation_vanishes_only_where_it_should() -> None:
    unit = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    scale = 0.9 / unit.std(0).mean().item()
    assert fsq_regularisation(unit * scale).item() == pytest.approx(0.0, abs=1e-5)
    assert fsq_regularisation(unit * scale + 0.5).item() == pytest.approx(0.25, abs=1e-4)
    same = torch.stack([unit[:, 0], unit[:, 0]], 1) * scale  # correlation 1, twice among four entries
    assert fsq_regularisation(same).item() == pytest.approx(0.5, abs=1e-3)
    assert fsq_regularisation(3 * unit * scale).item() == pytest.approx(1.8**2, abs=1e-3)


def test_code_redundancy_by_hand() -> None:
    levels = (3, 3, 3)
    every = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0])] * 3)
    assert code_redundancy(every, levels, sharpness=100).item() == pytest.approx(0.0, abs=1e-5)
    one = torch.zeros(27, 3)
    assert code_redundancy(one, levels, sharpness=100).item() == pytest.approx(1.0, abs=1e-5)
    # All digits equal: uncorrelated with nothing left to say, three codes of 27.
    same = torch.tensor([-1.0, 0.0, 1.0]).repeat(9)[:, None].expand(27, 3)
    assert code_redundancy(same, levels, sharpness=100).item() == pytest.approx(2 / 3, abs=1e-5)
    # Halfway between two levels a frame counts for both.
    half = torch.tensor([[0.5, 0.0, 0.0]]).expand(27, 3)
    assert code_redundancy(half, levels, sharpness=100).item() == pytest.approx(
        1 - math.log(2) / math.log(27), abs=1e-5
    )


def test_code_redundancy_pulls_codes_apart() -> None:
    torch.manual_seed(0)
    shared = torch.randn(400, 1)
    y = (shared.sign() * torch.randn(400, 4).abs()).requires_grad_()  # uncorrelated magnitudes, but one common sign
    optimiser = torch.optim.Adam([y], lr=0.05)
    before = code_redundancy(y.tanh(), (3,) * 4).item()
    for _ in range(100):
        optimiser.zero_grad()
        loss = code_redundancy(y.tanh(), (3,) * 4)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert loss.item() < 0.5 * before
