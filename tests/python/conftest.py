"""Models and audio that several tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from golden_weights import golden_state

from secousti_native import Codec, audio

DATA = Path(__file__).resolve().parents[1] / "data"
SPEECH = DATA / "speech.flac"

Floats = npt.NDArray[np.float32]

# Shells start background jobs with Ctrl-C ignored, and the processes that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def codec() -> Codec:
    """The embedded 86 Hz model."""
    return Codec.from_pretrained()


@pytest.fixture(scope="session")
def codec21() -> Codec:
    """The embedded 21.5 Hz model."""
    return Codec.from_pretrained("default-21")


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
    torch = pytest.importorskip("torch")
    from secousti_native.convert import convert_checkpoint

    folder = tmp_path_factory.mktemp("published")

    def state(layout: str) -> dict[str, Any]:
        return {name: torch.from_numpy(np.asarray(value)) for name, value in golden_state(layout).items()}

    def make(layout: str) -> Path:
        path = folder / f"{layout}.safetensors"
        if not path.exists():
            convert_checkpoint(state(layout), path, state("hift"))
        return path

    yield make
    for path in folder.iterdir():  # 400 MB each: not left for pytest's own clean-up
        path.unlink()


@pytest.fixture(scope="session")
def published_86(published: Callable[[str], Path]) -> Codec:
    """The published 86 Hz layout with HiFT."""
    return Codec.from_pretrained(published("86_hz"))


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
