"""Models and audio that several tests share.

SECOUSTI_TEST_DEVICE=cuda runs the tests that take their models from here on a device, as tests/test_cpp.py does for
test_streams.py: a GPU, or the emulator, which is so slow that models are tiny and inputs short (`few`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from golden_weights import golden_tensors

from secousti_native import Codec, audio

DATA = Path(__file__).resolve().parents[1] / "data"
SPEECH = DATA / "speech.flac"

Floats = npt.NDArray[np.float32]

DEVICE = os.environ.get("SECOUSTI_TEST_DEVICE", "cpu")


def few(usual: int, least: int) -> int:
    """How much of something a test takes: ``least`` on a device."""
    return usual if DEVICE == "cpu" else least


# Shells start background jobs with Ctrl-C ignored, `nohup` with the terminal's end; the processes that tests interrupt
# would inherit that.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Codec]:
    """Random models that an emulated device can bear, at the rates of the real ones: default, default-21 and hift."""
    torch = pytest.importorskip("torch")
    from secousti_native.convert import convert_checkpoint, fold
    from secousti_native.reference.checkpoint import VOCODER_PREFIX
    from secousti_native.reference.codec import SecoustiCodec
    from secousti_native.reference.config import CodecConfig, LayerCounts, VocoderConfig
    from secousti_native.reference.hift import HiFT

    folder = tmp_path_factory.mktemp("tiny")
    hift = VocoderConfig("hift", channels=16, f0_channels=10, f0_layers=2, resblock_dilations=(1, 3), harmonics=3)

    def make(name: str) -> Codec:
        config = CodecConfig(
            name=name, n_mels=20, n_filters=8, dimension=32, head_dim=16, feedforward=48, context=9, prompt_frames=30,
            layers=LayerCounts(0, 2, 1, 2), fsq_levels=(3, 3, 3, 3), ratios=(2, 2) if name == "default-21" else (1, 1),
            vocoder=hift if name == "hift" else VocoderConfig(),
        )  # fmt: skip
        torch.manual_seed(len(name))
        state = SecoustiCodec(config, 0.3).state_dict()
        if name == "hift":
            state |= {VOCODER_PREFIX + key: value for key, value in fold(HiFT(config).state_dict()).items()}
        path = folder / f"{name}.safetensors"
        convert_checkpoint(state, path, config=config)
        return Codec.from_pretrained(path, device=DEVICE, precision="fp32")

    return make


@pytest.fixture(scope="session")
def codec(request: pytest.FixtureRequest) -> Codec:
    """The embedded 86 Hz model, at its own precision: int8. On a device a tiny one, at fp32."""
    return Codec.from_pretrained() if DEVICE == "cpu" else request.getfixturevalue("tiny")("default")


@pytest.fixture(scope="session")
def codec21(request: pytest.FixtureRequest) -> Codec:
    """The embedded 21.5 Hz model, at its own precision: int8. On a device a tiny one, at fp32."""
    return Codec.from_pretrained("default-21") if DEVICE == "cpu" else request.getfixturevalue("tiny")("default-21")


@pytest.fixture(scope="session")
def speech() -> Floats:
    """14.3 s of real speech at 22,050 Hz."""
    pcm, rate = audio.load(SPEECH, 22050)
    assert rate == 22050
    pcm.flags.writeable = False
    return pcm


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Model files in the published layouts '21_5_hz' and '86_hz', with stand-in weights and the HiFT vocoder."""
    pytest.importorskip("torch")
    from secousti_native.convert import convert_checkpoint

    folder = tmp_path_factory.mktemp("published")

    def make(layout: str) -> Path:
        path = folder / f"{layout}.safetensors"
        if not path.exists():
            convert_checkpoint(golden_tensors(layout), path, golden_tensors("hift"))
        return path

    yield make
    for path in folder.iterdir():  # 400 MB each: not left for pytest's own clean-up
        path.unlink()


@pytest.fixture(scope="session")
def published_86(request: pytest.FixtureRequest) -> Codec:
    """The published 86 Hz layout with HiFT."""
    if DEVICE != "cpu":
        made: Codec = request.getfixturevalue("tiny")("hift")
        return made
    return Codec.from_pretrained(request.getfixturevalue("published")("86_hz"))


@pytest.fixture(scope="session")
def published_21(published: Callable[[str], Path]) -> Codec:
    """The published 21.5 Hz layout with HiFT."""
    return Codec.from_pretrained(published("21_5_hz"))


@pytest.fixture
def clips(tmp_path: Path, speech: Floats) -> Path:
    """Three one-second clips in a small tree."""
    folder = tmp_path / "clips"
    for i, name in enumerate(("a.wav", "b/c.flac", "b/d/e.wav")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.save(path, speech[22050 * i : 22050 * (i + 1)], 22050)
    (folder / "notes.txt").write_text("no audio")
    return folder
