"""A corpus spoken by an open synthesiser (Kokoro-82M in ONNX), with the phones and durations that it spoke.

The model, its symbols and its voices are public packages (`docs/guide/training.md` says which). Also needs onnx and
onnxruntime, and the programs espeak-ng (text to phones) and opusenc (opus-tools).
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secousti_native._optional import require

SAMPLE_RATE = 24_000
SHARD_SECONDS = 600
OPUS_KBPS = 32
_DURATIONS = "/encoder/Clip_output_0"  # the node of the graph that holds each phone's length, in steps of 600 samples
_MAX_PHONES = 400
_MIN_CHARACTERS = 60
_TIMBRE = 128  # the first half of a style is the voice's sound; the second its melody and timing
# espeak-ng writes IPA with ties; the model has one symbol for each diphthong and affricate.
_SYMBOLS = {
    "a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "ɔ^ɪ": "Y", "d^ʒ": "ʤ", "t^ʃ": "ʧ", "ə^l": "ᵊl",
    "ɚ": "əɹ", "r": "ɹ", "x": "k", "ç": "k", "ɬ": "l", "ʲ": "", "\u0329": "",
}  # fmt: skip


class SynthesisError(RuntimeError):
    """The synthesiser or a program it needs is missing or failed; the message names it."""


@dataclass(frozen=True)
class Shard:
    """What was written: ``path`` of the audio, how many ``utterances`` and ``seconds``."""

    path: Path
    utterances: int
    seconds: float


def _run(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        raise SynthesisError(f"the program {command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise SynthesisError(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode("utf8")


def phones_of(text: str, british: bool) -> str:
    """The model's symbols for English ``text``; punctuation stays, since the model reads it as prosody."""
    spoken: list[str] = []
    for piece in re.findall(r"[,.;:!?]+|[^,.;:!?]+", text):
        if piece[0] in ",.;:!?":
            spoken.append(piece[0] + " ")
            continue
        if not piece.strip():
            continue
        voice = "en-gb" if british else "en-us"
        ipa = " ".join(_run(["espeak-ng", "-q", "--ipa", "--tie=^", "-v", voice, piece]).split())
        for sound, symbol in _SYMBOLS.items():
            ipa = ipa.replace(sound, symbol)
        ipa = ipa.replace("o^ʊ", "Q" if british else "O").replace("ə^ʊ", "Q" if british else "O")
        if not british:  # American vowels have no length mark in the model's alphabet
            ipa = ipa.replace("ɜːɹ", "ɜɹ").replace("ɜː", "ɜɹ").replace("ː", "")
        spoken.append(ipa.replace("^", "") + " ")
    joined = re.sub(r"\s+", " ", "".join(spoken)).strip()
    return re.sub(r" ([,.;:!?])", r"\1", joined)


@lru_cache(maxsize=1)
def _session(model: Path) -> Any:
    onnx = require("onnx", "speech synthesis")
    runtime = require("onnxruntime", "speech synthesis")
    parts = sorted(model.rglob("part.bin")) if model.is_dir() else [model]
    if not parts:
        raise SynthesisError(f"{model}: holds no part.bin")
    graph = onnx.load_model_from_string(b"".join(p.read_bytes() for p in parts))
    graph.graph.output.append(onnx.helper.make_tensor_value_info(_DURATIONS, onnx.TensorProto.FLOAT, None))
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _sentences(path: Path) -> list[str]:
    raw = path.read_bytes()
    text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode("utf8")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise SynthesisError(f"{path}: holds no sentences")
    return lines


def _passage(lines: list[str], rng: np.random.Generator) -> str:
    """One sentence or several, long enough for natural prosody."""
    at = int(rng.integers(len(lines)))
    text = lines[at]
    while len(text) < _MIN_CHARACTERS or (len(text) < 150 and rng.random() < 0.4):
        at = (at + 1) % len(lines)
        text = text.rstrip(" .") + (" " if text[-1] in "!?" else ". ") + lines[at].capitalize()
    return text


def _speaker(names: list[str], rng: np.random.Generator) -> tuple[str, dict[str, float]]:
    """A base voice and the weights of the blend: half of the speakers mix voices and exist nowhere else."""
    english = [n for n in names if n[0] in "ab"] or names
    base = str(rng.choice(english if rng.random() < 0.6 else names))
    if rng.random() < 0.5:
        return base, {base: 1.0}
    chosen = [base, *(str(n) for n in rng.choice(names, int(rng.integers(1, 3)), replace=False))]
    blend: dict[str, float] = {}
    for name, weight in zip(chosen, rng.dirichlet(np.ones(len(chosen))), strict=True):
        blend[name] = blend.get(name, 0.0) + round(float(weight), 3)
    return base, blend


def _style(
    styles: dict[str, npt.NDArray[np.float32]], timbre: dict[str, float], prosody: dict[str, float], phones: int
) -> npt.NDArray[np.float32]:
    """The style ``[256]`` of a speaker who sounds like ``timbre`` and speaks like ``prosody``."""
    sound, manner = (
        sum(weight * styles[voice][phones].astype(np.float64) for voice, weight in blend.items())
        for blend in (timbre, prosody)
    )
    return np.concatenate([np.asarray(sound)[:_TIMBRE], np.asarray(manner)[_TIMBRE:]]).astype(np.float32)


def synthesise_shard(
    out: Path, worker: int, shard: int, text: Path, model: Path, vocabulary: Path, voices: Path
) -> Shard:
    """Writes ``NNNN.opus`` and ``NNNN.jsonl.xz``, ten minutes of speech; worker and shard alone decide the content."""
    soundfile = require("soundfile", "speech synthesis")
    session = _session(model)
    symbols: dict[str, int] = next(iter(json.loads(vocabulary.read_text(encoding="utf8")).values()))
    styles = {p.stem: np.fromfile(p, np.float32).reshape(-1, 256) for p in sorted(voices.glob("*.bin"))}
    if not styles:
        raise SynthesisError(f"{voices}: holds no voices (*.bin)")
    lines, names = _sentences(text), sorted(styles)
    name = f"{worker}{shard:03d}"
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    audio: list[npt.NDArray[np.float32]] = []
    entries: list[dict[str, Any]] = []
    total = 0
    while total < SHARD_SECONDS * SAMPLE_RATE:
        passage = _passage(lines, rng)
        base, blend = _speaker(names, rng)
        phones = [c for c in phones_of(passage, base[0] == "b") if c in symbols]
        if not 10 < len(phones) < _MAX_PHONES:
            continue
        # Half of the speakers have another's melody: 54 voices make thousands of ways to speak.
        prosody = _speaker(names, rng)[1] if rng.random() < 0.5 else blend
        speed = float(np.clip(rng.normal(1.0, 0.12), 0.75, 1.3))
        inputs = {
            "tokens": np.array([[0, *(symbols[c] for c in phones), 0]]),
            "style": _style(styles, blend, prosody, len(phones))[None],
            "speed": np.array([speed], np.float32),
        }
        wave, durations = session.run(None, inputs)
        wave = np.asarray(wave, np.float32).ravel()
        if not np.isfinite(wave).all() or np.abs(wave).max() < 0.02:  # the model now and then says nothing
            continue
        audio.append(wave / max(1.0, float(np.abs(wave).max()) / 0.98))
        entries.append(
            {
                "shard": name,
                "start": total,
                "samples": wave.size,
                "voice": blend,
                "prosody": prosody,
                "speed": round(speed, 3),
                "text": passage,
                "phones": "".join(phones),
                "dur": [int(d) for d in durations.ravel()],
            }
        )
        total += wave.size
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wav, opus = Path(folder) / "shard.wav", out / f"{name}.opus"
        soundfile.write(wav, np.concatenate(audio), SAMPLE_RATE, subtype="PCM_16")
        _run(["opusenc", "--quiet", "--bitrate", str(OPUS_KBPS), "--speech", "--comp", "10", str(wav), str(opus)])
    text_lines = "".join(json.dumps(e, ensure_ascii=False) + "\n" for e in entries)
    (out / f"{name}.jsonl.xz").write_bytes(lzma.compress(text_lines.encode("utf8")))
    return Shard(out / f"{name}.opus", len(entries), total / SAMPLE_RATE)
