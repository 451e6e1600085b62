"""Audio files, mixdown and resampling."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import SPEECH

from secousti_native import audio

Floats = npt.NDArray[np.float32]


def tone(rate: int, seconds: float, hertz: float = 440.0) -> Floats:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def test_load_speech() -> None:
    pcm, rate = audio.load(SPEECH)
    assert rate == 16000
    assert pcm.dtype == np.float32
    assert pcm.shape == (229292,)
    assert 0.1 < np.abs(pcm).max() < 1.0


@pytest.mark.parametrize("ending", [".wav", ".flac", ".ogg", ".aiff", ".au", ".w64"])
def test_save_and_load(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"tone{ending}"
    audio.save(path, tone(22050, 0.5), 22050)
    loaded, rate = audio.load(path)
    assert rate == 22050
    error = np.abs(loaded[2000:9000] - tone(22050, 0.5)[2000:9000]).max()
    assert error < (0.05 if ending == ".ogg" else 1.01 / 32768)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_saving_clips_and_keeps_floats(tmp_path: Path) -> None:
    loud = np.array([0.0, 2.0, -2.0, 0.25], np.float32)
    audio.save(tmp_path / "loud.wav", loud, 8000)
    np.testing.assert_allclose(audio.load(tmp_path / "loud.wav")[0], [0, 1, -1, 0.25], atol=1e-4)
    audio.save(tmp_path / "float.wav", loud, 8000, subtype="FLOAT")
    np.testing.assert_array_equal(audio.load(tmp_path / "float.wav")[0], loud)


def test_mixdown() -> None:
    left, right = tone(8000, 0.1), tone(8000, 0.1, 1000)
    mixed = audio.to_mono(np.stack([left, right], axis=1))
    np.testing.assert_allclose(mixed, (left + right) / 2, atol=1e-7)
    np.testing.assert_array_equal(audio.to_mono(np.stack([left, right])), mixed)
    np.testing.assert_array_equal(audio.to_mono(np.stack([left, right]), channel_axis=0), mixed)
    np.testing.assert_array_equal(audio.to_mono(left), left)
    halves = np.array([[16384, 16384], [-32768, 0]], np.int16)
    np.testing.assert_array_equal(audio.to_mono(halves, channel_axis=1), [0.5, -0.5])
    np.testing.assert_array_equal(audio.to_mono(halves, channel_axis=0), [-0.25, 0.25])
    assert len(audio.to_mono(np.zeros((0, 2)), channel_axis=1)) == 0
    for bad in (np.zeros((2, 2, 2), np.float32), np.zeros((500, 0), np.float32)):
        with pytest.raises(ValueError):
            audio.to_mono(bad)


@pytest.mark.parametrize("shape", [(2, 40), (300, 400), (2, 2)])
def test_channels_are_not_guessed(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"channel_axis=1 or channel_axis=0"):
        audio.to_mono(np.ones(shape, np.float32))
    assert audio.to_mono(np.ones(shape, np.float32), channel_axis=0).shape == (shape[1],)
    assert audio.to_mono(np.ones(shape, np.float32), channel_axis=-1).shape == (shape[0],)


@pytest.mark.parametrize("gain", [-1.0, -0.8])
def test_channels_out_of_phase_are_noticed(tmp_path: Path, gain: float) -> None:
    soundfile = pytest.importorskip("soundfile")
    left = tone(8000, 0.5)
    stereo = np.stack([left, np.float32(gain) * left], axis=1)
    with pytest.raises(ValueError, match=r"out of phase and cancel (entirely|by \d+ dB)"):
        audio.to_mono(stereo)
    soundfile.write(tmp_path / "x.wav", stereo, 8000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"x\.wav: its 2 channels are out of phase"):
        audio.load(tmp_path / "x.wav")
    for channel in (0, 1):
        np.testing.assert_array_equal(audio.load(tmp_path / "x.wav", channel=channel)[0], stereo[:, channel])
    with pytest.raises(ValueError, match=r"channel 2 is not in 0\.\.1"):
        audio.load(tmp_path / "x.wav", channel=2)


def test_channels_that_differ_are_no_fault() -> None:
    random = np.random.default_rng()
    noise = random.standard_normal((8000, 6)).astype(np.float32)
    np.testing.assert_allclose(audio.to_mono(noise), noise.mean(axis=1), atol=1e-6)
    one_sided = np.stack([tone(8000, 0.1), np.zeros(800, np.float32)])
    np.testing.assert_array_equal(audio.to_mono(one_sided), tone(8000, 0.1) / 2)
    assert not audio.to_mono(np.zeros((800, 2))).any()


def test_integers_in_floats_are_recognised(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    for scale, bits in ((2.0**15, 16), (2.0**31, 32)):
        scaled = tone(8000, 0.1) * np.float32(scale)
        with pytest.raises(ValueError, match=rf"look like {bits}-bit integers"):
            audio.to_mono(np.stack([scaled, scaled]))
        with pytest.raises(ValueError, match=rf"look like {bits}-bit integers"):
            audio.check_audio(scaled)
        soundfile.write(tmp_path / "x.wav", scaled, 8000, subtype="FLOAT")
        with pytest.raises(ValueError, match=rf"x\.wav: samples reach .* look like {bits}-bit integers"):
            audio.load(tmp_path / "x.wav")
    np.testing.assert_array_equal(audio.check_audio(8 * tone(8000, 0.1)), 8 * tone(8000, 0.1))


def test_stereo_files_are_mixed_down(tmp_path: Path) -> None:
    import soundfile

    left, right = tone(8000, 0.1), tone(8000, 0.1, 1000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 8000, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(tmp_path / "stereo.wav")[0], (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize(
    ("source", "target"), [(8000, 22050), (16000, 22050), (44100, 22050), (48000, 22050), (7919, 22050)]
)
def test_resampling(source: int, target: int) -> None:
    signal = tone(source, 1.0)
    whole = audio.resample(signal, source, target)
    assert abs(len(whole) - target) <= 1
    middle = slice(target // 4, 3 * target // 4)
    np.testing.assert_allclose(whole[middle], tone(target, 1.0)[middle], atol=2e-3)
    stream = audio.Resampler(source, target)
    for _ in range(2):
        parts = [stream.push(signal[start : start + 77]) for start in range(0, len(signal), 77)]
        np.testing.assert_array_equal(np.concatenate([*parts, stream.flush()]), whole)
        stream.reset()


def test_same_rate_is_left_alone() -> None:
    signal = tone(22050, 0.1)
    assert audio.resample(signal, 22050, 22050) is signal


def test_load_resamples() -> None:
    pcm, rate = audio.load(SPEECH, 22050)
    assert rate == 22050
    np.testing.assert_array_equal(pcm, audio.resample(audio.load(SPEECH)[0], 16000, 22050))


def test_bad_files(tmp_path: Path) -> None:
    import soundfile

    with pytest.raises(FileNotFoundError):
        audio.load(tmp_path / "none.wav")
    with pytest.raises(OSError):
        audio.load(tmp_path)
    (tmp_path / "text.wav").write_text("this is no audio")
    with pytest.raises(ValueError, match=r"text\.wav: not a readable audio file"):
        audio.load(tmp_path / "text.wav")
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.wav"):
        audio.load(tmp_path / "empty.wav")
    soundfile.write(tmp_path / "silent.wav", np.zeros(0, np.float32), 8000)
    with pytest.raises(ValueError, match="no audio samples"):
        audio.load(tmp_path / "silent.wav")
    soundfile.write(tmp_path / "nan.wav", np.array([0, np.nan], np.float32), 8000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"nan\.wav: .*\[1\] is nan"):
        audio.load(tmp_path / "nan.wav")


def test_bad_saving(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mp3"):
        audio.save(tmp_path / "x.mp3", tone(8000, 0.1), 8000)
    with pytest.raises(ValueError, match="ending"):
        audio.save(tmp_path / "x", tone(8000, 0.1), 8000)
    with pytest.raises(ValueError, match=r"\[1\] is nan"):
        audio.save(tmp_path / "x.wav", np.array([0, np.nan]), 8000)
    with pytest.raises(ValueError, match="NONSENSE"):
        audio.save(tmp_path / "x.wav", tone(8000, 0.1), 8000, subtype="NONSENSE")
    with pytest.raises(OSError):
        audio.save(tmp_path / "no" / "folder" / "x.wav", tone(8000, 0.1), 8000)
    assert list(tmp_path.iterdir()) == []


def test_overwriting_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half way leaves the old file and nothing else."""
    path = tmp_path / "x.wav"
    audio.save(path, tone(8000, 0.1), 8000)
    before = path.read_bytes()
    import os

    calls: list[int] = []
    real = os.write

    def full_disk(descriptor: int, data: memoryview) -> int:
        if calls:
            raise OSError(28, "No space left on device")
        calls.append(1)
        return real(descriptor, data[:100])

    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(OSError, match="No space"):
        audio.save(path, tone(8000, 0.5), 8000)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.wav"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_device(tmp_path: Path) -> None:
    link = tmp_path / "full.wav"
    link.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space"):
        audio.save(link, tone(8000, 0.1), 8000)
    assert link.is_symlink()


def test_links_and_permissions_are_kept(tmp_path: Path) -> None:
    real = tmp_path / "real.wav"
    audio.save(real, tone(8000, 0.1), 8000)
    real.chmod(0o640)
    link = tmp_path / "link.wav"
    link.symlink_to(real)
    audio.save(link, tone(8000, 0.2), 8000)
    assert link.is_symlink()
    assert len(audio.load(real)[0]) == 1600
    assert real.stat().st_mode & 0o777 == 0o640


def test_ctrl_c_while_libsndfile_writes_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile = pytest.importorskip("soundfile")
    write = soundfile.SoundFile.write

    def interrupted(file: object, *args: object, **kwargs: object) -> None:
        signal.raise_signal(signal.SIGINT)
        write(file, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "write", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        audio.save(tmp_path / "x.wav", tone(22050, 0.1), 22050)
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is before


def test_a_file_that_ends_early(tmp_path: Path, speech: Floats) -> None:
    """libsndfile reads what it can of a damaged Ogg file, without an error."""
    audio.save(tmp_path / "x.ogg", speech, 22050)
    data = bytearray((tmp_path / "x.ogg").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 500] = np.random.default_rng(0).bytes(500)
    (tmp_path / "x.ogg").write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.ogg: damaged: (only \d+ of 315993 samples|.* Ogg page)"):
        audio.load(tmp_path / "x.ogg")


def test_a_file_of_unknown_length(tmp_path: Path, speech: Floats) -> None:
    """Such as FLAC that was written to a pipe: its header says 0 samples."""
    audio.save(tmp_path / "x.flac", speech, 22050)
    expected, _ = audio.load(tmp_path / "x.flac")
    data = bytearray((tmp_path / "x.flac").read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "x.flac").write_bytes(data)
    np.testing.assert_array_equal(audio.load(tmp_path / "x.flac")[0], expected)
