"""Single kernels on every instruction set that this machine runs, against double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from secousti_native import UnsupportedError, _core, _kernels

Doubles = npt.NDArray[np.float64]
ISAS = _kernels.isas()


def floats(generator: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    return generator.standard_normal(shape).astype(np.float32)


def expect_close(actual: npt.NDArray[np.float32], expected: Any, tolerance: float) -> None:
    error = np.abs(actual.astype(np.float64) - expected).max()
    assert error <= tolerance * max(1.0, float(np.abs(expected).max())), error


def gelu(x: Doubles) -> Doubles:
    from math import erf, sqrt

    return np.asarray(x * 0.5 * (1.0 + np.vectorize(erf)(x / sqrt(2.0))), np.float64)


ACTIVATIONS: dict[str, Any] = {
    "none": lambda x: x,
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": gelu,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.1 * x),
    "tanh": np.tanh,
}


def test_names() -> None:
    assert ",".join(ISAS) == _core.available_isas()
    assert ISAS[-1] == "scalar"
    with pytest.raises(UnsupportedError, match="scalar"):
        _kernels.activate("mmx", np.zeros(3, np.float32), "relu")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"), [(1, 1, 1), (1, 192, 577), (3, 65, 17), (7, 512, 64), (30, 48, 95)]
)
def test_linear(isa: str, rows: int, inputs: int, outputs: int) -> None:
    g = np.random.default_rng(rows * inputs + outputs)
    x, w, b = floats(g, rows, inputs), floats(g, outputs, inputs), floats(g, outputs)
    scale, residual = floats(g, outputs), floats(g, rows, outputs)
    product = x.astype(np.float64) @ w.T.astype(np.float64)
    expect_close(_kernels.linear(isa, x, w), product, 1e-5)
    for name, function in ACTIVATIONS.items():
        expected = residual + scale * function(product + b)
        actual = _kernels.linear(isa, x, w, b, name, 0.1, scale, residual)  # type: ignore[arg-type]
        expect_close(actual, expected, 1e-5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(7, 1, 1), (4, 2, 1), (3, 1, 5), (16, 8, 1)])
def test_convolution(isa: str, kernel: int, stride: int, dilation: int) -> None:
    g = np.random.default_rng(kernel)
    channels, outputs = 13, 21
    x, w = floats(g, 60, channels), floats(g, outputs, kernel * channels)
    span = (kernel - 1) * dilation + 1
    windows = [x[t : t + span : dilation].reshape(-1) for t in range(0, len(x) - span + 1, stride)]
    expected = np.asarray(windows, np.float64) @ w.T.astype(np.float64)
    actual = _kernels.linear(isa, x, w, kernel=kernel, stride=stride, dilation=dilation)
    assert actual.shape == expected.shape
    expect_close(actual, expected, 1e-5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("position", [0, 5, 19, 20, 2**31 - 3, 2**40 + 7])
def test_attention(isa: str, position: int) -> None:
    """Against a plain loop over the last ``context`` keys, wherever in the stream the ring is."""
    g = np.random.default_rng(position % 97)
    heads, head_dim, context, rows, start = 3, 64, 20, 9, max(0, position - 1000)
    keys, values = floats(g, heads, context, head_dim), floats(g, heads, context, head_dim)
    qkv = floats(g, rows, 3 * heads * head_dim)
    angles = g.uniform(-np.pi, np.pi, (rows, head_dim // 2))
    cosines, sines = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    ring_k, ring_v = keys.astype(np.float64), values.astype(np.float64)
    split = qkv.astype(np.float64).reshape(rows, 3, heads, head_dim)

    def rotate(x: Doubles, t: int) -> Doubles:
        even, odd = x[:, 0::2], x[:, 1::2]
        result = np.empty_like(x)
        result[:, 0::2] = even * cosines[t] - odd * sines[t]
        result[:, 1::2] = even * sines[t] + odd * cosines[t]
        return result

    expected = np.zeros((rows, heads * head_dim))
    for t in range(rows):
        q, k, v = rotate(split[t, 0], t), rotate(split[t, 1], t), split[t, 2]
        here = position + t
        ring_k[:, here % context], ring_v[:, here % context] = k, v
        slots = [p % context for p in range(max(start, here - context + 1), here + 1)]
        for h in range(heads):
            scores = ring_k[h, slots] @ q[h] / np.sqrt(head_dim)
            weights = np.exp(scores - scores.max())
            expected[t, h * head_dim : (h + 1) * head_dim] = weights / weights.sum() @ ring_v[h, slots]
    actual = _kernels.attention(isa, qkv, cosines, sines, keys, values, position, start)
    expect_close(actual, expected, 5e-6)
    expect_close(keys, ring_k, 1e-6)
    np.testing.assert_array_equal(values, ring_v.astype(np.float32))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("count", [1, 15, 16, 17, 1003])
def test_elementwise(isa: str, count: int) -> None:
    x = np.random.default_rng(count).uniform(-20, 20, count).astype(np.float32)
    double = x.astype(np.float64)
    for name, function in ACTIVATIONS.items():
        expect_close(_kernels.activate(isa, x, name, 0.1), function(double), 1e-6)  # type: ignore[arg-type]
    exact = np.exp(double)
    assert (np.abs(_kernels.exp(isa, x) - exact) <= 1e-6 * exact).all()
    positive = np.abs(x)
    expect_close(_kernels.log_floor(isa, positive, 1e-5), np.log(np.maximum(positive.astype(np.float64), 1e-5)), 1e-6)
    expect_close(_kernels.magnitude(isa, x, x[::-1].copy(), 1e-9), np.sqrt(double**2 + double[::-1] ** 2 + 1e-9), 1e-6)


@pytest.mark.parametrize("isa", ISAS)
def test_layer_norm_and_snake(isa: str) -> None:
    g = np.random.default_rng(0)
    for rows, dim in ((1, 1), (3, 192), (2, 513)):
        x, gamma, beta = floats(g, rows, dim), floats(g, dim), floats(g, dim)
        double = x.astype(np.float64)
        mean, variance = double.mean(1, keepdims=True), double.var(1, keepdims=True)
        expect_close(
            _kernels.layer_norm(isa, x, gamma, beta), (double - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 1e-5
        )
        alpha = np.abs(gamma) + np.float32(0.1)
        inverse = (1.0 / alpha).astype(np.float32)
        expect_close(_kernels.snake(isa, x, alpha, inverse), double + np.sin(double * alpha) ** 2 * inverse, 1e-5)


@pytest.mark.parametrize("isa", ISAS)
def test_fsq(isa: str) -> None:
    g = np.random.default_rng(1)
    for levels in ([3] * 8, [5, 3, 7], [3]):
        y = (3 * floats(g, 200, len(levels))).astype(np.float32)
        half = (np.array(levels) - 1) / 2
        bounded = half * 0.999 * np.tanh(y.astype(np.float64))
        clear = (np.abs(bounded - np.floor(bounded) - 0.5) > 1e-5).all(axis=1)
        expected = ((np.rint(bounded) + half) * np.cumprod([1, *levels[:-1]])).sum(axis=1)
        tokens = _kernels.fsq_quantise(isa, y, levels)
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(tokens[clear], expected[clear].astype(np.int32))
        assert ((tokens >= 0) & (tokens < np.prod(levels))).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("length", [16, 32, 64, 1024, 4096])
def test_fft(isa: str, length: int) -> None:
    x = floats(np.random.default_rng(length), length)
    re, im = _kernels.rfft(isa, x)
    exact = np.fft.rfft(x.astype(np.float64))
    expect_close(re, exact.real, 1e-6)
    expect_close(im, exact.imag, 1e-6)
    expect_close(_kernels.irfft(isa, re, im), x, 1e-6)
    with pytest.raises(ValueError, match="power of two"):
        _kernels.rfft(isa, np.zeros(24, np.float32))


@pytest.mark.parametrize("isa", ISAS)
def test_polar_head(isa: str) -> None:
    x = (4 * floats(np.random.default_rng(2), 5, 18)).astype(np.float32)
    double = x.astype(np.float64)
    magnitude, phase = np.minimum(np.exp(double[:, :9]), 100.0), np.sin(double[:, 9:])
    expect_close(_kernels.polar_head(isa, x), np.hstack([magnitude * np.cos(phase), magnitude * np.sin(phase)]), 2e-6)


@pytest.mark.parametrize("isa", ISAS)
def test_rows_are_independent(isa: str) -> None:
    """A row's bits do not depend on how many rows come with it: what makes chunked equal whole."""
    g = np.random.default_rng(3)
    x, w, b = floats(g, 37, 100), floats(g, 51, 100), floats(g, 51)
    whole = _kernels.linear(isa, x, w, b, "gelu")
    for rows in (1, 2, 5, 16):
        parts = [_kernels.linear(isa, x[i : i + rows], w, b, "gelu") for i in range(0, 37, rows)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
