"""What is compared: codec models, their vocoder on true mels, Codec 2 and Opus, and the untouched speech."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from secousti_native import audio
from secousti_native._arrays import Floats
from secousti_native.codec import Codec
from secousti_native.encoded import Encoded
from secousti_native.errors import MissingDependencyError
from secousti_native.evaluation.clips import Clip
from secousti_native.evaluation.measures import delay, shifted
from secousti_native.evaluation.statistics import Score

CODEC2_MODES = ("700C", "1200", "2400")
OPUS_KBPS = 6


@dataclass
class Output:
    """A clip after a system: audio [samples] at ``sample_rate``, aligned with the clip, and what it cost."""

    pcm: Floats
    sample_rate: int
    scores: dict[str, Score] = field(default_factory=dict)
    encoded: Encoded | None = None
    _rates: dict[int, Floats] = field(default_factory=dict)

    def at(self, sample_rate: int) -> Floats:
        """The audio resampled."""
        if sample_rate not in self._rates:
            self._rates[sample_rate] = audio.resample(self.pcm, self.sample_rate, sample_rate)
        return self._rates[sample_rate]


class System(Protocol):
    """One row of the table."""

    name: str
    kind: str

    def __call__(self, clip: Clip) -> Output: ...


class Original:
    """The clip itself, for figures that need no reference."""

    name, kind = "original", "original"

    def __call__(self, clip: Clip) -> Output:
        return Output(clip.pcm, clip.sample_rate)


class CodecModel:
    """A codec model, on one thread or a device.

    ``precision`` and ``device`` as in `Codec.from_pretrained`. Against ``reference``, the same model at another
    precision, it counts the equal tokens and measures how far log-mels decoded from the reference's tokens and voice
    differ. Tables call it ``label``, or by its name.
    """

    kind = "model"

    def __init__(
        self,
        name: str,
        precision: str | None = None,
        reference: CodecModel | None = None,
        label: str | None = None,
        device: str = "cpu",
    ) -> None:
        self.name = label or name
        self.codec = Codec.from_pretrained(name, threads=1, precision=precision, device=device)
        self.reference = reference

    def __call__(self, clip: Clip) -> Output:
        pcm = clip.at(self.codec.sample_rate)
        clock = _clock(self.codec)
        started = clock()
        encoded = self.codec.encode(pcm)
        middle = clock()
        decoded = self.codec.decode(encoded)
        ended = clock()
        seconds = encoded.duration
        names = ("bit_rate", "bit_rate_with_header", "bit_rate_with_voice")
        scores = {name: Score(getattr(encoded, name), seconds) for name in names} | {
            "encode_real_time_factor": Score((middle - started) / seconds, seconds),
            "decode_real_time_factor": Score((ended - middle) / seconds, seconds),
            "real_time_factor": Score((ended - started) / seconds, seconds),
        }
        if self.reference is not None:
            scores |= self._against(self.reference.codec, pcm, encoded)
        return Output(decoded, self.codec.sample_rate, scores, encoded)

    def _against(self, reference: Codec, pcm: Floats, encoded: Encoded) -> dict[str, Score]:
        expected = reference.encode(pcm)
        equal = float(np.mean(np.asarray(encoded.tokens) == np.asarray(expected.tokens)))
        mels = [c.stages.decode_tokens(expected.tokens, expected.voice) for c in (self.codec, reference)]
        change = float(np.abs(np.asarray(mels[0]) - np.asarray(mels[1])).mean())
        count = len(expected.tokens)
        return {"tokens_equal": Score(equal, count), "mel_change": Score(change, count)}


def _clock(codec: Codec) -> Callable[[], float]:
    """Of the process, which does not run while others have the CPU; on a device, which it leaves out, of the wall."""
    return time.process_time if codec.device == "cpu" else time.perf_counter


class Vocoder:
    """A model's vocoder on the clip's own mels: what no decoder in front of it can exceed."""

    kind = "ceiling"

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.name = f"vocoder {codec.info['vocoder']}, true mels"

    @staticmethod
    def key(codec: Codec) -> str:
        """Equal for models whose vocoders are."""
        config = codec.config
        parts = {name: config[name] for name in ("sample_rate", "n_fft", "hop_length", "n_mels", "vocoder")}
        learnt = parts["vocoder"]["kind"] != "spectral"
        return json.dumps(parts | ({"identity": codec.identity} if learnt else {}), sort_keys=True)

    def __call__(self, clip: Clip) -> Output:
        pcm = clip.at(self.codec.sample_rate)
        mel = self.codec.stages.mel(pcm)
        clock = _clock(self.codec)
        started = clock()
        result = self.codec.stages.vocode(mel, seed=0)
        seconds = len(pcm) / self.codec.sample_rate
        cost = Score((clock() - started) / seconds, seconds)
        return Output(shifted(result, 0, len(pcm)), self.codec.sample_rate, {"real_time_factor": cost})


class Codec2:
    """Codec 2 (Rowe), through its command-line programs: 8 kHz."""

    kind, sample_rate = "classic", 8000

    def __init__(self, mode: str) -> None:
        _need("codec2", "c2enc", "c2dec")
        self.mode, self.name = mode, f"Codec 2 {mode}"

    def __call__(self, clip: Clip) -> Output:
        pcm = clip.at(self.sample_rate)
        started = _child_seconds()
        samples = (np.clip(pcm, -1, 1) * 32767).round().astype("<i2")
        coded = _run(["c2enc", self.mode, "-", "-"], samples.tobytes())
        speech = _run(["c2dec", self.mode, "-", "-"], coded)
        cost = _child_seconds() - started
        result = np.frombuffer(speech, "<i2").astype(np.float32) * np.float32(1 / 32768)
        return _aligned(clip, result, self.sample_rate, {"bit_rate": 8.0 * len(coded)}, cost)


class Opus:
    """Opus (RFC 6716), through opus-tools: 16 kHz, variable rate, frames of 20 ms."""

    kind, sample_rate = "classic", 16000

    def __init__(self, kbps: int) -> None:
        _need("opus-tools", "opusenc", "opusdec")
        self.kbps, self.name = kbps, f"Opus {kbps} kbit/s"

    def __call__(self, clip: Clip) -> Output:
        with tempfile.TemporaryDirectory() as name:
            wav, opus = Path(name) / "clip.wav", Path(name) / "clip.opus"
            audio.save(wav, clip.at(self.sample_rate), self.sample_rate)
            started = _child_seconds()
            _run(["opusenc", "--quiet", "--bitrate", str(self.kbps), str(wav), str(opus)])
            _run(["opusdec", "--quiet", "--rate", str(self.sample_rate), str(opus), str(wav)])
            cost = _child_seconds() - started
            result, _ = audio.load(wav)
            data = opus.read_bytes()
        bits = {"bit_rate": 8.0 * ogg_payload(data), "bit_rate_with_header": 8.0 * len(data)}
        return _aligned(clip, result, self.sample_rate, bits, cost)


def ogg_payload(data: bytes) -> int:
    """Bytes of packets in an Ogg stream (RFC 3533) but the two first, which hold an Opus stream's headers."""
    at, packet, total = 0, 0, 0
    while at < len(data):
        if data[at : at + 4] != b"OggS":
            raise ValueError(f"not an Ogg page at byte {at}")
        segments = data[at + 27 : at + 27 + data[at + 26]]
        for size in segments:
            total += size if packet >= 2 else 0
            packet += size < 255  # a shorter segment ends its packet
        at += 27 + len(segments) + sum(segments)
    return total


def classic_systems() -> tuple[list[System], list[str]]:
    """Those whose programs are installed, and a note for each that is not."""
    systems: list[System] = []
    notes: list[str] = []
    try:
        systems += [Codec2(mode) for mode in CODEC2_MODES]
    except MissingDependencyError as error:
        notes.append(f"Codec 2: {error}")
    try:
        systems.append(Opus(OPUS_KBPS))
    except MissingDependencyError as error:
        notes.append(f"Opus: {error}")
    return systems, notes


def _need(package: str, *programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise MissingDependencyError(f"needs {' and '.join(missing)} (Debian: apt-get install {package})")


def _run(command: Sequence[str], data: bytes | None = None) -> bytes:
    result = subprocess.run(command, input=data, capture_output=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]}: {result.stderr.decode(errors='replace').strip() or result.returncode}")
    return result.stdout


def _child_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _aligned(clip: Clip, result: Floats, sample_rate: int, bits: dict[str, float], cost: float) -> Output:
    """Takes out the codec's delay: STOI and spectral distances compare sample by sample."""
    reference = clip.at(sample_rate)
    lag = delay(reference, result, sample_rate)
    scores = {name: Score(value / clip.seconds, clip.seconds) for name, value in bits.items()}
    scores["real_time_factor"] = Score(cost / clip.seconds, clip.seconds)
    scores["delay_ms"] = Score(1000.0 * lag / sample_rate)
    return Output(shifted(result, lag, len(reference)), sample_rate, scores)
