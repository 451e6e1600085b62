"""Streaming steps under pytest-benchmark, for comparing versions on one machine:

    python -m pytest bench --benchmark-autosave --benchmark-compare

The models are the embedded ones, and those of SECOUSTI_BENCH_MODELS (files, separated by the path separator; see
bench/speed/cpu/golden_models.py). Nothing passes or fails by its time.
"""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from secousti_native import Codec
from secousti_native.benchmark.timing import voiced_signal

PRECISIONS = ("fp32", "int8")
MODELS = ["default", "default-21", *filter(None, os.environ.get("SECOUSTI_BENCH_MODELS", "").split(os.pathsep))]


@pytest.fixture(scope="module", params=[f"{model}, {precision}" for model in MODELS for precision in PRECISIONS])
def codec(request: pytest.FixtureRequest) -> Codec:
    model, precision = request.param.rsplit(", ", 1)
    return Codec.from_pretrained(model, precision=precision)


def test_encode_one_token(benchmark: BenchmarkFixture, codec: Codec) -> None:
    stream = codec.encoder()
    blocks = voiced_signal(codec.frame_size * 300, codec.sample_rate).reshape(300, -1)
    for block in blocks:  # fills the transformers' windows
        stream.push(block)
    chunks = itertools.cycle(blocks)
    tokens = benchmark(lambda: stream.push(next(chunks)))
    assert len(tokens) == 1


def test_decode_one_token_to_mel(benchmark: BenchmarkFixture, codec: Codec) -> None:
    stream = codec.decoder()
    tokens = np.random.default_rng(0).integers(codec.cardinality, size=(300, 1))
    for token in tokens:
        stream.push_to_mel(token)
    chunks = itertools.cycle(tokens)
    mel = benchmark(lambda: stream.push_to_mel(next(chunks)))
    assert np.isfinite(mel).all()


@pytest.mark.parametrize("frames", [1, 4, 16])
def test_vocode(benchmark: BenchmarkFixture, codec: Codec, frames: int) -> None:
    mel = codec.stages.mel(voiced_signal(codec.frame_size * 300, codec.sample_rate))
    stream = codec.decoder()
    stream.push_from_mel(mel[:64])
    chunks = itertools.cycle(mel[i : i + frames] for i in range(0, len(mel) - frames, frames))
    pcm = benchmark(lambda: stream.push_from_mel(next(chunks)))
    assert len(pcm) == frames * codec.info["hop_length"]
    assert np.isfinite(pcm).all()
