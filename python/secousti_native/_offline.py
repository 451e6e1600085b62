"""Whole clips through the engine, in pieces of about a tenth of a second of computing.

Between two pieces Ctrl-C is heard and progress is told. Pieces change no result: a stream gives the same bits under any
chunking. On a device, clips are worked on in waves that are one call each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from secousti_native import _core
from secousti_native._arguments import seed_and_noise
from secousti_native._arrays import LOST, Floats, Tokens
from secousti_native._interrupts import PIECE_SECONDS, pieces
from secousti_native.model import Model

#: Called after each piece with the seconds of audio that are done and those in all. What it raises ends the call.
Progress: TypeAlias = Callable[[float, float], object]

Clip = TypeVar("Clip")
Result = TypeVar("Result")

# Mel frames of the first piece.
_FIRST_FRAMES = 16
#: Clips that a device works on side by side.
WAVE = 128


@dataclass(frozen=True)
class ToDecode:
    """A clip's checked tokens and voice, how many samples are wanted (None: all) and the kind of the result."""

    tokens: Tokens
    """Some may be `LOST`."""
    voice: Floats
    num_samples: int | None
    kind: object

    def fit(self, pcm: Floats) -> Floats:
        """``pcm`` cut or padded with zeros to the samples that are wanted."""
        if self.num_samples is None:
            return pcm
        pcm = pcm[: self.num_samples]
        missing = self.num_samples - len(pcm)
        return np.pad(pcm, (0, missing)) if missing else pcm


def beyond(progress: Progress | None, seconds: float) -> Progress | None:
    """``progress`` of a call that goes on after this much audio."""
    if progress is None or not seconds:
        return progress
    return lambda done, total: progress(seconds + done, seconds + total)


@contextmanager
def of_clip(number: int) -> Iterator[None]:
    """Says in an error which clip of a list it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"clip {number}: {error}") from error


def encode_clips(
    model: Model, clips: Sequence[Floats], voices: bool, progress: Progress | None
) -> list[tuple[Tokens, Floats]]:
    """Tokens [N] and voice [dimension] (empty without ``voices``) of each clip, float32 [samples >= hop_length]."""
    work = _Work(model.sample_rate, [len(clip) for clip in clips], progress)
    if model.device != "cpu":

        def encode(wave: list[Floats]) -> list[tuple[Tokens, Floats]]:
            tokens, found = model._core.encode_clips(wave, model.threads, voices)
            return list(zip(tokens, found or [_no_voice()] * len(wave), strict=True))

        return _in_waves(clips, len, encode, work)

    def one(pcm: Floats, threads: int) -> tuple[Tokens, Floats]:
        voice = voice_of(model, pcm) if voices else _no_voice()
        stream = _core.Encoder(model._core, threads)
        first = _FIRST_FRAMES * model.hop_length
        parts = [stream.push(pcm[begin:end]) for begin, end in _pieces(len(pcm), first, work)]
        return np.concatenate([*parts, stream.flush()]), voice

    return _side_by_side(clips, model.threads, one, work)


def decode_clips(
    model: Model, clips: Sequence[ToDecode], seed: int | None, look_ahead: int, progress: Progress | None
) -> list[Floats]:
    """Audio float32 [N * frame_size] of each clip; ``seed`` and ``look_ahead`` as the core takes them."""
    size = model.frame_size
    work = _Work(model.sample_rate, [len(clip.tokens) * size for clip in clips], progress)

    def one(clip: ToDecode, threads: int) -> Floats:
        stream = _core.Decoder(model._core, clip.voice, *seed_and_noise(seed), look_ahead, threads)
        pcm, filled = np.empty(len(clip.tokens) * size, np.float32), 0
        first = max(1, _FIRST_FRAMES // model.frames_per_token)

        def take(part: Floats) -> None:
            nonlocal filled
            pcm[filled : filled + len(part)] = part
            filled += len(part)

        for lost, run in _runs(clip.tokens):
            for begin, end in _pieces(len(run), first, work, size):
                take(stream.conceal(end - begin) if lost else stream.push(run[begin:end]))
        take(stream.flush())
        assert filled == len(pcm)
        return pcm

    if model.device != "cpu":

        def decode(wave: list[ToDecode]) -> list[Floats]:
            tokens, voices = [clip.tokens for clip in wave], [clip.voice for clip in wave]
            return model._core.decode_clips(tokens, voices, seed, look_ahead, model.threads)

        whole = [clip for clip in clips if not np.any(clip.tokens == LOST)]
        decoded = iter(_in_waves(whole, lambda clip: len(clip.tokens), decode, work))
        return [one(clip, model.threads) if np.any(clip.tokens == LOST) else next(decoded) for clip in clips]

    return _side_by_side(clips, model.threads, one, work)


def _runs(tokens: Tokens) -> Iterator[tuple[bool, Tokens]]:
    """Parts of which all tokens are `LOST`, or none."""
    lost = tokens == LOST
    for part in np.split(tokens, np.flatnonzero(np.diff(lost)) + 1):
        if len(part):
            yield bool(part[0] == LOST), part


def voice_of(model: Model, pcm: Floats) -> Floats:
    """The voice of audio [samples >= hop_length]: float32 [dimension], from the middle ``prompt_frames`` mel frames.

    Only their surroundings are made into a mel, so that the cost does not grow with the audio.
    """
    begin, end = voice_range(model, len(pcm))
    return model._core.voice(model._core.mel(pcm[begin:end]))


def voice_range(model: Model, samples: int) -> tuple[int, int]:
    """The part of so many samples that has the same voice as all of them."""
    frames, prompt = samples // model.hop_length, model._info["prompt_frames"]
    # More frames on both sides than a mel frame's window reaches; then the middle of the part is that of the whole.
    margin = int(model.config["n_fft"]) // model.hop_length + 2
    first = (frames - prompt) // 2 - margin
    if first <= 0:
        return 0, samples
    return first * model.hop_length, (first + prompt + 2 * margin) * model.hop_length


def _no_voice() -> Floats:
    return np.zeros(0, np.float32)


class _Work:
    """What is done of a call, by however many threads."""

    def __init__(self, sample_rate: int, samples: Sequence[int], progress: Progress | None) -> None:
        self._rate, self._total, self._done = sample_rate, sum(samples), 0
        self._progress = progress
        self._caller = threading.get_ident()
        self._lock = threading.Lock()
        self._ended = False

    def advance(self, samples: int) -> None:
        """So many more are done. `InterruptedError` in a thread whose work nobody waits for any more."""
        with self._lock:
            self._done += samples
        if threading.get_ident() == self._caller:
            self.tell()
        elif self._ended:
            raise InterruptedError

    def tell(self) -> None:
        """Tells the caller, in the caller's thread, how far the work is."""
        if self._progress is not None:
            self._progress(self._done / self._rate, self._total / self._rate)

    def end(self) -> None:
        """Other threads stop at their next piece."""
        self._ended = True


def _pieces(total: int, first: int, work: _Work, samples: int = 1) -> Iterator[tuple[int, int]]:
    """Pieces [begin, end) of ``total`` units of ``samples``; the first has ``first`` units."""
    for begin, end in pieces(total, first):
        yield begin, end
        work.advance((end - begin) * samples)


def _side_by_side(clips: Sequence[Clip], threads: int, one: Callable[[Clip, int], Result], work: _Work) -> list[Result]:
    """``one(clip, threads)`` of every clip. Each is one thread's work; a single clip has all threads."""
    if threads == 1 or len(clips) < 2:
        return [one(clip, threads) for clip in clips]
    with ThreadPoolExecutor(min(threads, len(clips))) as pool:
        try:
            futures = [pool.submit(one, clip, 1) for clip in clips]
            while wait(futures, PIECE_SECONDS, FIRST_EXCEPTION).not_done:
                work.tell()
                for future in futures:
                    if future.done():
                        future.result()  # raises what the clip did
            work.tell()
            return [future.result() for future in futures]
        except BaseException:
            work.end()
            pool.shutdown(cancel_futures=True)
            raise


def _in_waves(
    clips: Sequence[Clip], length: Callable[[Clip], int], call: Callable[[list[Clip]], list[Result]], work: _Work
) -> list[Result]:
    """``call`` on clips of similar length, as a device works on them."""
    order = sorted(range(len(clips)), key=lambda i: -length(clips[i]))
    results: dict[int, Result] = {}
    for begin in range(0, len(order), WAVE):
        wave = order[begin : begin + WAVE]
        results.update(zip(wave, call([clips[i] for i in wave]), strict=True))
        work.advance(sum(length(clips[i]) for i in wave))
    return [results[i] for i in range(len(clips))]
