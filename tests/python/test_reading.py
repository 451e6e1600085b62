"""Audio files as they come: headers that lie, joined and cut files, pipes, and kinds that only FFmpeg knows."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from secousti_native import audio
from secousti_native.errors import AudioWarning, MissingDependencyError

Floats = npt.NDArray[np.float32]
RATE = 16000
ID3V1 = b"TAG" + bytes(125)


@pytest.fixture(scope="module")
def clip(speech: Floats) -> Floats:
    """Six seconds at 16 kHz, of 16 bits, from a random place."""
    seed = int(np.random.default_rng().integers(2**32))
    print(f"seed {seed}")
    start = int(np.random.default_rng(seed).integers(len(speech) - 6 * 22050))
    pcm = audio.resample(speech[start : start + 6 * 22050], 22050, RATE)
    return (np.rint(np.clip(pcm, -0.99, 0.99) * 32768) / 32768).astype(np.float32)


def made(pcm: Floats, kind: str, subtype: str | None = None, rate: int = RATE, **options: Any) -> bytes:
    """A file of libsndfile's ``kind``."""
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, format=kind, subtype=subtype, **options)
    return file.getvalue()


def by_ffmpeg(path: Path, pcm: Floats, codec: str, rate: int = RATE, video: bool = False) -> bytes:
    """A file of FFmpeg's ``codec``; ``path`` tells the container. With ``video`` black pictures go with the sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono", bit_rate=12200 if rate == 8000 else 64000)
        pictures = container.add_stream("mpeg4", rate=10, width=64, height=64) if video else None
        frame = av.AudioFrame.from_ndarray(audio.resample(pcm, RATE, rate)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        to_codec = av.AudioResampler(stream.format, stream.layout, rate, stream.codec_context.frame_size or None)
        for part in (*to_codec.resample(frame), *to_codec.resample(None), None):
            container.mux(stream.encode(part))
        for i in range(61 if pictures is not None else 0):
            picture = av.VideoFrame(64, 64, "yuv420p") if i < 60 else None
            if picture is not None:
                picture.pts = i
            container.mux(pictures.encode(picture))
    return path.read_bytes()


def id3v2(size: int) -> bytes:
    """A tag with a picture of random bytes."""
    body = b"APIC" + struct.pack(">I", size) + b"\0\0" + os.urandom(size)
    length = bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + length + body


def without_info(mp3: bytes) -> bytes:
    """``mp3`` without its first frame, which tells the length."""
    end = mp3.index(b"\xff" + mp3[1:2], 4)
    assert b"Info" in mp3[:end] or b"Xing" in mp3[:end]
    return mp3[end:]


def silently(data: Any, **options: Any) -> Floats:
    """`audio.load`, no warning being given."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return audio.load(data, **options)[0]


def likeness(found: Floats, expected: Floats) -> float:
    """The highest correlation of ``expected`` with ``found`` over shifts of up to 0.1 s."""
    size = 1 << (len(found) + len(expected)).bit_length()
    cross = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(expected, size)), size)
    near = np.concatenate([cross[: RATE // 10], cross[-RATE // 10 :]])
    return float(near.max() / np.linalg.norm(found) / np.linalg.norm(expected))


# ---- WAV ----


@pytest.mark.parametrize("riff", [None, 0, 0xFFFFFFFF])
@pytest.mark.parametrize("data", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_wav_sizes_that_are_not_known(clip: Floats, riff: int | None, data: int) -> None:
    wav = bytearray(made(clip, "WAV"))
    wav[40:44] = struct.pack("<I", data)
    if riff is not None:
        wav[4:8] = struct.pack("<I", riff)
    np.testing.assert_array_equal(silently(wav), clip)


def test_wav_with_more_than_its_header_tells(clip: Floats) -> None:
    wav = bytearray(made(clip, "WAV"))
    wav[40:44] = struct.pack("<I", 1000)
    with pytest.warns(AudioWarning, match="tells of 1000 bytes of samples, 192000 are there and were taken"):
        np.testing.assert_array_equal(audio.load(wav)[0], clip)


@pytest.mark.parametrize("tail", [b"", b"LIST\x64\0\0\0" + bytes(100), bytes(64), ID3V1, b"id3 \x05\0\0\0abcde\0"])
def test_what_follows_the_samples_is_not_audio(clip: Floats, tail: bytes) -> None:
    np.testing.assert_array_equal(silently(made(clip, "WAV") + tail), clip)
    np.testing.assert_array_equal(silently(id3v2(100) + made(clip, "WAV") + tail), clip)


def test_a_wav_file_with_nothing_in_it(clip: Floats) -> None:
    for tail in (b"", b"LIST\x64\0\0\0" + bytes(100)):
        with pytest.raises(ValueError, match="holds no audio samples"):
            audio.load(made(clip[:0], "WAV") + tail)
    with pytest.raises(ValueError, match="holds no audio samples"):
        audio.load(b"")


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"])
def test_cut_files(clip: Floats, kind: str) -> None:
    whole = made(clip, kind)
    half = len(whole) // 2
    cut = whole[: half if kind != "OGG" else whole.rindex(b"OggS", 0, half) + 1000]  # not between two pages
    with pytest.raises(ValueError, match=r"audio: damaged: .*--damaged"):
        audio.load(cut)
    with pytest.warns(AudioWarning, match="damaged"):
        left, _ = audio.load(cut, damaged="keep")
    assert 0.35 * len(clip) < len(left) < 0.65 * len(clip)
    exact = len(left) - 4096  # a codec's last block leans on what is missing
    np.testing.assert_allclose(left[:exact], silently(whole)[:exact], atol=1e-6)


def test_joined_wav_files(clip: Floats) -> None:
    np.testing.assert_array_equal(silently(made(clip, "WAV") * 3), np.tile(clip, 3))
    stereo = made(np.stack([clip, clip], axis=1), "WAV", "FLOAT", rate=8000)
    joined = silently(made(clip, "WAV") + stereo)
    np.testing.assert_array_equal(joined, np.concatenate([clip, audio.resample(clip, 8000, RATE)]))


@pytest.mark.parametrize("kind", ["AIFF", "AU", "CAF", "W64", "FLAC"])
def test_other_joined_files_are_refused(clip: Floats, kind: str) -> None:
    with pytest.raises(ValueError, match="joined" if kind != "FLAC" else "damaged"):
        audio.load(made(clip, kind) * 2)


@pytest.mark.parametrize(
    "subtype",
    ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610",
     "G721_32", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32"],
)  # fmt: skip
def test_codecs_in_wav(clip: Floats, subtype: str) -> None:
    wav = made(clip, "WAV", subtype, 8000)
    found = silently(wav)
    assert len(clip) <= len(found) < len(clip) + 1024
    assert likeness(found, clip) > 0.9
    if subtype != "PCM_U8":
        fact = wav.find(b"fact")
        if fact > 0:  # the number of samples, told once more
            forged = wav[: fact + 8] + struct.pack("<I", 1000) + wav[fact + 12 :]
            np.testing.assert_array_equal(silently(forged), found)


def test_wav_beyond_four_gigabytes(tmp_path: Path, clip: Floats) -> None:
    """Sizes have 32 bits: such files tell theirs modulo 4 GiB, or none."""
    size = 5 << 30
    for told in (size - 44 & 0xFFFFFFFF, 0xFFFFFFFF, 0):
        header = bytearray(made(clip, "WAV")[:44])
        header[40:44] = struct.pack("<I", told)
        with (tmp_path / "x.wav").open("wb") as file:
            file.write(header)
            file.truncate(size)
        with audio.AudioFile(tmp_path / "x.wav") as opened:
            assert opened.seconds == (size - 44) / 2 / RATE


# ---- FLAC ----


@pytest.mark.parametrize("told", [0, 1000, 96000])  # what is promised and missing is damage
def test_flac_is_read_to_its_end(clip: Floats, told: int) -> None:
    flac = bytearray(made(clip, "FLAC"))
    flac[22:26] = struct.pack(">I", told)
    np.testing.assert_array_equal(silently(flac), clip)
    np.testing.assert_array_equal(silently(id3v2(1000) + flac), clip)


def test_a_header_that_promises_years_takes_no_memory(clip: Floats) -> None:
    flac = bytearray(made(clip, "FLAC"))
    flac[21] |= 0x0F
    flac[22:26] = b"\xff\xff\xff\xff"
    with pytest.warns(AudioWarning, match="only 96000 of 68719476735 samples"):
        np.testing.assert_array_equal(audio.load(flac, damaged="keep")[0], clip)


def test_flac_damaged_in_the_middle(clip: Floats, monkeypatch: pytest.MonkeyPatch) -> None:
    flac = bytearray(made(clip, "FLAC"))
    middle = len(flac) // 2
    flac[middle : middle + 300] = os.urandom(300)
    with pytest.raises(ValueError, match=r"damaged: .* after \d+ samples"):
        audio.load(flac)
    with pytest.warns(AudioWarning, match="damaged"):
        kept, _ = audio.load(flac, damaged="keep")
    assert len(clip) // 2 < len(kept) < len(clip)
    np.testing.assert_array_equal(kept[:16000], clip[:16000])
    np.testing.assert_array_equal(kept[-16000:], clip[-16000:])
    monkeypatch.setitem(sys.modules, "av", None)  # without FFmpeg what comes before the damage is left
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.warns(AudioWarning, match="damaged"):
        kept, _ = audio.load(flac, damaged="keep")
    np.testing.assert_array_equal(kept, clip[: len(kept)])
    assert len(kept) > 16000


# ---- MP3 ----


@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_mp3_without_a_length(clip: Floats, mode: str, rate: int) -> None:
    mp3 = made(clip, "MP3", rate=rate, bitrate_mode=mode, compression_level=0.6)
    assert len(silently(mp3)) == len(clip)
    for tag in (b"", id3v2(50000), id3v2(10) + id3v2(300)):
        for tail in (b"", ID3V1):
            found = silently(tag + without_info(mp3) + tail)
            assert len(clip) <= len(found) < len(clip) + 4 * 1152
            assert likeness(found, clip) > 0.9


def test_joined_mp3_files(clip: Floats) -> None:
    mp3 = made(clip, "MP3")
    for joined in (mp3 * 2, id3v2(500) + mp3 + ID3V1 + id3v2(99999) + without_info(mp3) + ID3V1):
        found = silently(joined)
        assert 2 * len(clip) <= len(found) < 2 * len(clip) + 4 * 1152
        assert likeness(found[len(found) // 2 :], clip) > 0.9
    other = silently(made(clip, "MP3", rate=44100) + made(clip, "MP3", rate=22050))
    assert 3 * len(clip) <= len(other) < 3 * len(clip) + 4 * 1152


def test_junk_between_mp3_frames(clip: Floats) -> None:
    mp3 = made(clip, "MP3")
    assert len(silently(bytes(5000) + mp3)) == len(clip)
    head, tail = mp3, without_info(mp3)
    found = silently(head + os.urandom(3000).replace(b"\xff", b"\xfe") + tail)
    assert 2 * len(clip) <= len(found) < 2 * len(clip) + 4 * 1152


# ---- Ogg ----


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_files(clip: Floats, subtype: str) -> None:
    ogg = made(clip, "OGG", subtype)
    single = silently(ogg)
    np.testing.assert_array_equal(silently(ogg * 3), np.tile(single, 3))
    vorbis = silently(made(clip, "OGG", rate=8000) + ogg)
    assert len(vorbis) == len(clip) + round(len(single) * 8000 / audio.AudioFile(ogg).sample_rate)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_without_its_end(clip: Floats, subtype: str) -> None:
    """As a recorder leaves it that was stopped: whole pages, none marked as the last."""
    long = np.tile(clip, 4)
    ogg = made(long, "OGG", subtype)
    stopped = ogg[: ogg.rindex(b"OggS")]
    with pytest.warns(AudioWarning, match="no end mark"):
        left, _ = audio.load(stopped)
    whole = silently(ogg)
    assert 0.5 * len(whole) < len(left) < len(whole)
    exact = len(left) - 4096
    np.testing.assert_allclose(left[:exact], whole[:exact], atol=1e-6)


def test_lost_ogg_pages(clip: Floats) -> None:
    ogg = made(np.tile(clip, 2), "OGG")
    pages = [b"OggS" + page for page in ogg.split(b"OggS")[1:]]
    assert len(pages) > 6
    lost = b"".join(pages[:4] + pages[5:])
    with pytest.raises(ValueError, match="damaged: Ogg pages are missing"):
        audio.load(lost)
    with pytest.warns(AudioWarning, match="damaged"):
        assert len(audio.load(lost, damaged="keep")[0]) > len(clip)


# ---- what FFmpeg reads ----

FOREIGN = {
    "m4a": "aac", "mp4": "aac", "3gp": "aac", "aac": "aac", "webm": "libopus", "mka": "aac", "mkv": "libmp3lame",
    "amr": "libopencore_amrnb", "wma": "wmav2", "ac3": "ac3", "wv": "wavpack", "caf": "alac",
}  # fmt: skip


@pytest.mark.parametrize("ending", FOREIGN)
def test_kinds_that_ffmpeg_reads(tmp_path: Path, clip: Floats, ending: str) -> None:
    rate = {"amr": 8000, "webm": 48000, "ac3": 48000}.get(ending, RATE)
    path = tmp_path / f"x.{ending}"
    data = by_ffmpeg(path, clip, FOREIGN[ending], rate, video=ending in ("mp4", "mkv"))
    for readable in (path, data):
        found = silently(readable, sample_rate=RATE)
        assert len(clip) - 512 <= len(found) < len(clip) + RATE // 4
        assert likeness(found, clip) > (0.6 if ending == "amr" else 0.9)


def test_cut_m4a(tmp_path: Path, clip: Floats) -> None:
    data = by_ffmpeg(tmp_path / "x.m4a", clip, "aac")
    with pytest.raises(ValueError, match="not a readable audio file"):
        audio.load(data[: len(data) // 2])  # its index is at the end
    damaged = bytearray(data)
    middle = data.index(b"mdat") + len(data) // 3
    damaged[middle : middle + 400] = os.urandom(400)
    with pytest.raises(ValueError, match="damaged: packet"):
        audio.load(damaged)
    with pytest.warns(AudioWarning, match="damaged: packet"):
        assert len(audio.load(damaged, damaged="keep")[0]) > len(clip) // 2


@pytest.mark.parametrize("ending", ["m4a", "webm", "amr", "mp4"])
def test_without_pyav_its_extra_is_named(
    tmp_path: Path, clip: Floats, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"x.{ending}"
    by_ffmpeg(path, clip, FOREIGN[ending], {"amr": 8000, "webm": 48000}.get(ending, RATE))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=rf"x\.{ending}: .* pip install secousti-native\[formats\]"):
        audio.load(path)


def test_unknown_kinds(clip: Floats, monkeypatch: pytest.MonkeyPatch) -> None:
    junk = os.urandom(50000).replace(b"\xff", b"\xfe")
    for data in (junk, b"this is no audio", b"RIFF"):
        with pytest.raises(ValueError, match="not a readable audio file"):
            audio.load(data)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"not a readable audio file .*secousti-native\[formats\]"):
        audio.load(junk)


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "m4a", "mka", "aac"])
def test_files_with_random_damage(tmp_path: Path, clip: Floats, kind: str) -> None:
    """They give audio or a ``ValueError``, whatever is wrong."""
    seed = int(np.random.default_rng().integers(2**32))
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    short = clip[:RATE]
    whole = made(short, kind) if kind.isupper() else by_ffmpeg(tmp_path / f"x.{kind}", short, "aac")
    for _ in range(15):
        data = bytearray(whole)
        for _ in range(random.integers(1, 5)):
            at = int(random.integers(len(data) if random.integers(2) else min(len(data), 200)))
            match random.integers(4):
                case 0:
                    data[at] = random.integers(256)
                case 1:
                    del data[at + 1 :]
                case 2:
                    data[at : at + int(random.integers(1, 100))] = random.bytes(int(random.integers(1, 100)))
                case _:
                    data += random.bytes(int(random.integers(1, 1000)))
        for damaged in ("error", "keep"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AudioWarning)
                try:
                    found, _ = audio.load(data, damaged=damaged)  # type: ignore[arg-type]
                except ValueError:
                    continue
                assert len(found)
                assert np.isfinite(found).all()


# ---- sources ----


class Trickle:
    """A file-like object that gives a few bytes at a time, and cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, count: int = -1) -> bytes:
        return self._file.read(min(count, 777) if count >= 0 else 777)


def test_bytes_and_file_like_objects(tmp_path: Path, clip: Floats) -> None:
    for kind in ("WAV", "FLAC"):
        data = made(clip, kind)
        for readable in (data, bytearray(data), memoryview(data), io.BytesIO(data), Trickle(data)):
            np.testing.assert_array_equal(silently(readable), clip)
        (tmp_path / "x").write_bytes(b"before" + data)
        with (tmp_path / "x").open("rb") as file:
            file.seek(6)
            np.testing.assert_array_equal(silently(file), clip)
            assert not file.closed
            assert file.read() == b""
    for bad in (3, None, clip, io.StringIO("text")):
        with pytest.raises(TypeError, match="expected a"):
            audio.load(bad)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_pipes(tmp_path: Path, clip: Floats) -> None:
    data = made(clip, "FLAC")
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    np.testing.assert_array_equal(silently(tmp_path / "pipe"), clip)
    writer.join()
    script = "import sys; from secousti_native import audio; print(len(audio.load('/dev/stdin')[0]))"
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
    assert int(done.stdout) == len(clip)


def test_a_source_that_fails_is_no_short_file(clip: Floats) -> None:
    data = made(clip, "WAV")

    class Failing(io.BytesIO):
        def read(self, count: int | None = -1, /) -> bytes:
            if self.tell() > len(data) // 2 and count != 0:
                raise OSError(5, "Input/output error")
            return super().read(count)

    with pytest.raises(OSError, match="Input/output error"):
        audio.load(Failing(data))


# ---- blocks ----


@pytest.mark.parametrize("rate", [None, 22050, 8000])
def test_blocks_are_the_whole_in_pieces(clip: Floats, rate: int | None) -> None:
    stereo = np.stack([np.tile(clip, 5), np.tile(clip[::-1], 5)], axis=1)
    data = made(stereo, "FLAC")
    whole, _ = audio.load(data, rate)
    blocks = list(audio.blocks(data, rate))
    assert len(blocks) > 3
    assert all(block.dtype == np.float32 and len(block) for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    mixed = audio.to_mono(stereo)
    np.testing.assert_array_equal(whole, mixed if rate is None else audio.resample(mixed, RATE, rate))
    with audio.AudioFile(data) as file:
        assert (file.sample_rate, file.channels, file.seconds) == (RATE, 2, 30.0)
        for _ in range(2):
            np.testing.assert_array_equal(np.concatenate(list(file.blocks(rate))), whole)


def test_where_a_value_is_not_finite(clip: Floats) -> None:
    for position in (5, 70000):
        bad = np.stack([clip, clip], axis=1)
        bad[position, 1] = np.inf
        with pytest.raises(ValueError, match=rf"sample\[{position}\] of channel 1 is inf"):
            audio.load(made(bad, "WAV", "FLOAT"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to read peak memory")
def test_memory_of_long_files(tmp_path: Path) -> None:
    """Reading takes little more than its result; blocks take nothing that grows."""
    minutes, random = 10, np.random.default_rng()
    with soundfile.SoundFile(tmp_path / "x.wav", "w", 44100, 2) as file:
        for _ in range(minutes):
            file.write(random.uniform(-0.5, 0.5, (60 * 44100, 2)).astype(np.float32))
    script = """
import sys
from secousti_native import audio
def peak(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
sum(map(len, audio.blocks(sys.argv[1][:-5] + "y.wav", 22050)))
before = peak()
samples = sum(map(len, audio.blocks(sys.argv[1], 22050)))
blocks = peak() - before
pcm, _ = audio.load(sys.argv[1], 22050)
assert len(pcm) == samples
print(samples, blocks, peak() - before)
"""
    soundfile.write(tmp_path / "y.wav", np.zeros((441000, 2)) + 0.1, 44100)
    command = [sys.executable, "-c", script, str(tmp_path / "x.wav")]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    samples, blocks, load = map(int, done.stdout.split())
    assert samples == minutes * 60 * 22050
    assert blocks < 8 << 10  # KiB
    assert load < samples * 4 * 1.5 / 1024
