"""Files of any length to tokens, a block at a time."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from secousti_native import Codec, audio
from secousti_native._encode_file import encode_file

Floats = npt.NDArray[np.float32]


def stereo_file(pcm: Floats, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.stack([pcm, 0.5 * pcm], axis=1), rate, format="FLAC")
    return file.getvalue()


@pytest.mark.parametrize("name", ["default", "default-21"])
@pytest.mark.parametrize("rate", [22050, 16000])
def test_the_same_as_the_whole_at_once(speech: Floats, name: str, rate: int) -> None:
    codec = Codec.from_pretrained(name)
    random = np.random.default_rng()
    lengths = [256, 1100, 300 * 256, 302 * 256 + 7, *random.integers(256, len(speech), 2).tolist()]
    for length in lengths:
        data = stereo_file(audio.resample(speech[:length], 22050, rate), rate)
        pcm, _ = audio.load(data, codec.sample_rate)
        if len(pcm) < 256:  # resampling may take one away
            continue
        heard: list[tuple[float, float]] = []
        with audio.AudioFile(data) as file:
            found = encode_file(codec, file, lambda done, total, heard=heard: heard.append((done, total)))
        expected = codec.encode(pcm)
        np.testing.assert_array_equal(found.tokens, expected.tokens, err_msg=str(length))
        np.testing.assert_array_equal(found.voice, expected.voice, err_msg=str(length))
        assert found.num_samples == expected.num_samples == len(pcm)
        assert heard == sorted(heard)
        assert heard[-1] == pytest.approx((len(pcm) / codec.sample_rate,) * 2, abs=0.01)


def test_what_is_too_short(codec: Codec, speech: Floats) -> None:
    with (
        audio.AudioFile(stereo_file(speech[:255], 22050)) as file,
        pytest.raises(ValueError, match=r"audio: 255 samples .* are shorter than one mel frame"),
    ):
        encode_file(codec, file)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to read peak memory")
def test_memory_does_not_grow(tmp_path: Path, speech: Floats) -> None:
    script = """
import sys
from secousti_native import Codec, audio
from secousti_native._encode_file import encode_file
def peak(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
codec = Codec.from_pretrained("default-21")
peaks = []
for path in sys.argv[1:]:
    with audio.AudioFile(path) as file:
        encode_file(codec, file)
    peaks.append(peak())
print(*peaks)
"""
    paths = []
    for repeats in (1, 8):
        paths.append(tmp_path / f"{repeats}.flac")
        paths[-1].write_bytes(stereo_file(np.tile(speech, repeats), 22050))
    done = subprocess.run([sys.executable, "-c", script, *map(str, paths)], capture_output=True, check=True, text=True)
    short, long = map(int, done.stdout.split())
    assert long - short < 1500  # KiB; the additional samples have 8,600
