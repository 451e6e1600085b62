"""The codec: a model and everything that can be done with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from functools import lru_cache
from itertools import islice, repeat
from typing import TypeVar

import numpy as np

from secousti_native import _core, streams
from secousti_native._arguments import (
    check_look_ahead,
    check_optional_voice,
    check_seed,
    check_threads,
    check_voice,
    seed_and_noise,
)
from secousti_native._arrays import Array, Floats, as_tokens, as_tokens_or_lost, kind_of, like, to_numpy
from secousti_native._blocks import BlockByBlock
from secousti_native._device import DeviceArray
from secousti_native._interrupts import interruptible
from secousti_native._offline import WAVE, Progress, ToDecode, beyond, decode_clips, encode_clips, of_clip, voice_of
from secousti_native._opening import OpenedModel
from secousti_native._source import EMBEDDED
from secousti_native.audio import check_audio, check_rate, resample
from secousti_native.batch import EncodedBatch, clips_of, stacked, to_decode
from secousti_native.encoded import Encoded
from secousti_native.errors import UnsupportedError
from secousti_native.groups import DecoderGroup, EncoderGroup
from secousti_native.model import check_mel_frame
from secousti_native.stages import Stages
from secousti_native.streams import DecoderStream, EncoderStream, VoiceEstimator

Item = TypeVar("Item")
_MISSING = object()


class Codec(OpenedModel, BlockByBlock):
    """Speech to one stream of tokens and back (SecoustiCodec, arXiv 2508.02849), on the CPU or a CUDA device.

    Immutable, and safe to share between threads. Audio is mono: float (nominally in [-1, 1]), int16 or int32, as
    numpy arrays or torch tensors; results are float32 and int64, of the kind that went in. Copies are the codec itself.
    A pickle names the model file (an embedded model, or a path) and the options; it is opened where the pickle is
    loaded, once for a process, and must hold the same model there.
    """

    @property
    def stages(self) -> Stages:
        """Single stages, offline."""
        return Stages(self)

    # ---- speech to tokens to speech ----

    def encode(self, audio: Array, sample_rate: int | None = None, *, progress: Progress | None = None) -> Encoded:
        """Audio [samples] at ``sample_rate`` Hz (None: the codec's) to tokens and the speaker's voice.

        ``progress(done, total)`` is called now and then with seconds of audio; what it raises ends the call.
        ``ValueError`` for audio that is empty, shorter than one mel frame, or not finite.
        """
        (encoded,) = self._encode([self._prepare(audio, sample_rate)], [audio], progress=progress)
        return encoded

    def encode_many(
        self,
        clips: Iterable[Array],
        sample_rate: int | None = None,
        *,
        voices: bool = True,
        progress: Progress | None = None,
    ) -> list[Encoded]:
        """A corpus: `encode` of each of ``clips``, of any lengths, side by side; the same results.

        ``threads`` clips at a time on the CPU; on "cuda" many clips share each step. Without ``voices`` the results
        have none (``voice`` is empty), which is faster. ``ValueError`` as for `encode`; it names the clip.

        An iterator, such as a generator, is asked for some clips at a time, which are encoded and let go before the
        next; ``progress`` then knows of those that were seen. The clips of a list are all checked before work begins.
        """
        results: list[Encoded] = []
        for wave in self._waves(clips):
            told = beyond(progress, sum(result.duration for result in results))
            results += self._encode(*self._prepare_wave(wave, len(results), sample_rate), voices, told)
        return results

    def _prepare_wave(
        self, wave: list[Array], first: int, sample_rate: int | None
    ) -> tuple[list[Floats], list[object]]:
        """Prepared clips and their kinds of a list, which is emptied; ``first`` is its first clip's number."""
        prepared, kinds = [], []
        for i, clip in enumerate(wave, first):
            with of_clip(i):
                prepared.append(self._prepare(clip, sample_rate))
            kinds.append(kind_of(clip))
        wave.clear()
        return prepared, kinds

    def _waves(self, clips: Iterable[Item]) -> Iterator[list[Item]]:
        """All of a list, and as much of an iterator as keeps the engine busy."""
        if not isinstance(clips, Iterator):
            yield list(clips)
            return
        count = WAVE if self.device != "cpu" else 16 * self.threads
        while wave := list(islice(clips, count)):
            yield wave

    def _encode(
        self, pcm: list[Floats], kinds: Sequence[object], voices: bool = True, progress: Progress | None = None
    ) -> list[Encoded]:
        found = encode_clips(self, pcm, voices, progress)
        return [
            Encoded(like(tokens.astype(np.int64), kind), like(voice, kind), len(clip), self.identity, self.sample_rate,
                    self.frame_size, self.cardinality)
            for (tokens, voice), clip, kind in zip(found, pcm, kinds, strict=True)
        ]  # fmt: skip

    def decode(
        self,
        encoded: Encoded | Array,
        voice: Array | None = None,
        *,
        seed: int | None = 0,
        look_ahead: int | None = None,
        check_identity: bool = True,
        progress: Progress | None = None,
    ) -> Array:
        """Audio float32 [samples] of an `Encoded`, or of tokens [N] (any integer dtype) and a voice [dimension].

        An `Encoded` gives exactly its ``num_samples`` (up to ``hop_length - 1`` samples that the frame grid drops at
        the end are zeros), and its lost tokens are concealed as by `DecoderStream.conceal`. Bare tokens give
        ``N * frame_size``. ``voice`` beside an `Encoded` replaces its own.
        ``seed`` and ``look_ahead`` are as in `decoder`, ``progress`` as in `encode`. ``ValueError`` for tokens of
        another model unless ``check_identity`` is False, and for a ``num_samples`` that the tokens cannot have.
        """
        item = self._checked(encoded, voice, check_identity)
        (pcm,) = self._decode([item], seed, look_ahead, progress)
        return pcm

    def decode_many(
        self,
        clips: Iterable[Encoded | Array],
        voices: Iterable[Array] | None = None,
        *,
        seed: int | None = 0,
        look_ahead: int | None = None,
        check_identity: bool = True,
        progress: Progress | None = None,
    ) -> list[Array]:
        """`decode` of each of ``clips``, of any lengths, side by side; ``voices``: one for each.

        Iterators and ``progress`` are as in `encode_many`.
        """
        if isinstance(voices, Sized) and isinstance(clips, Sized) and len(voices) != len(clips):
            raise ValueError(f"voices: {len(voices)} voices for {len(clips)} clips")
        results: list[Array] = []
        given = repeat(None) if voices is None else iter(voices)
        seconds = 0.0
        for wave in self._waves(clips):
            items = []
            for i, clip in enumerate(wave, len(results)):
                voice = next(given, _MISSING)
                if voice is _MISSING:
                    raise ValueError(f"voices: {i} voices for more clips")
                with of_clip(i):
                    items.append(self._checked(clip, voice, check_identity))
            wave.clear()
            results += self._decode(items, seed, look_ahead, beyond(progress, seconds))
            seconds += sum(len(item.tokens) for item in items) / self.frame_rate
        if voices is not None and next(given, _MISSING) is not _MISSING:
            raise ValueError(f"voices: more voices than the {len(results)} clips")
        return results

    def _checked(self, encoded: Encoded | Array, voice: Array | None, check_identity: bool) -> ToDecode:
        """What `_decode` takes, from what `decode` takes."""
        if not isinstance(encoded, Encoded):
            if voice is None:
                raise TypeError("decode: bare tokens need a voice: decode(tokens, voice)")
            given, num_samples, kind = as_tokens(encoded, self.cardinality), None, kind_of(encoded)
        else:
            if check_identity:
                self.check_identity(encoded)
            encoded.check_num_samples(self)
            given = as_tokens_or_lost(encoded.tokens, self.cardinality)
            num_samples, kind = encoded.num_samples, kind_of(encoded.tokens)
            voice = encoded.voice if voice is None else voice
            if len(voice) == 0:
                raise ValueError("decode: the stream has no voice; pass voice=")
        return ToDecode(given, check_voice(voice, self.dimension), num_samples, kind)

    def _decode(
        self, items: list[ToDecode], seed: int | None, look_ahead: int | None, progress: Progress | None
    ) -> list[Array]:
        pcm = decode_clips(self, items, check_seed(seed), check_look_ahead(look_ahead), progress)
        return [like(item.fit(clip), item.kind) for item, clip in zip(items, pcm, strict=True)]

    def check_identity(self, encoded: Encoded) -> None:
        """``ValueError`` if another model made the tokens."""
        if encoded.model_identity != self.identity:
            maker = _embedded(encoded.model_identity)
            if maker is None:
                found = f"a model that is not embedded ({encoded.model_identity:016x})"
                instead = "open that one"
            else:
                found = f"{maker} ({encoded.model_identity:016x})"
                instead = f'open "{maker}" (on the command line --model {maker})'
            raise ValueError(
                f"the tokens were made by {found}, this is {self.name} ({self.identity:016x}): {instead}, or decode "
                "them anyway with check_identity=False (on the command line --any-model)"
            )

    def encode_acoustic(self, audio: Array, sample_rate: int | None = None) -> Array:
        """Audio [samples] to the continuous acoustic embedding A, float32 [N, dimension].

        `UnsupportedError` for a model without an acoustic branch.
        """
        if not self._info["has_acoustic_branch"]:
            raise UnsupportedError(f"encode_acoustic: {self.name} has no acoustic branch")
        pcm = self._prepare(audio, sample_rate)
        acoustic = interruptible(lambda: self._core.encode_mel(self._core.mel(pcm), self.threads))["acoustic_embed"]
        assert acoustic is not None
        return like(acoustic, audio)

    def decode_acoustic(self, acoustic: Array, *, seed: int | None = 0, look_ahead: int | None = None) -> Array:
        """Acoustic embedding [N, dimension] to audio float32 [N * frame_size]."""
        return self.stages.vocode(self.stages.decode_acoustic(acoustic), seed, look_ahead)

    def voice(self, audio: Array, sample_rate: int | None = None) -> Array:
        """The voice of audio [samples]: float32 [dimension], from the middle ``prompt_frames`` mel frames.

        It is what the paper calls G, the paralinguistic vector.
        """
        return like(voice_of(self, self._prepare(audio, sample_rate)), audio)

    # ---- batches, as in Mimi ----

    def encode_batch(
        self, audio: Array, sample_rate: int | None = None, *, padding_mask: Array | None = None
    ) -> EncodedBatch:
        """Audio [B, 1, T] to tokens int64 [B, 1, N] and voices [B, dimension], side by side as in `encode_many`.

        ``padding_mask``, [B, T] or [B, 1, T], is one where ``audio`` is a clip's, zero where it is padding, before or
        after it. Each clip gets the tokens that it gets alone; ``num_tokens`` says how many (docs/guide/mimi.md).
        """
        return EncodedBatch.of(self.encode_many(clips_of(audio, padding_mask), sample_rate), audio)

    def decode_batch(self, batch: EncodedBatch | Array, voice: Array | None = None, *, seed: int | None = 0) -> Array:
        """An `EncodedBatch`, or tokens [B, 1, N] and voices [B, dimension], to audio float32 [B, 1, T].

        Shorter clips of an `EncodedBatch` end in zeros.
        """
        clips, voices, kind = to_decode(self, batch, voice)
        pcm = self.decode_many(clips, voices, seed=seed)
        return like(stacked([to_numpy(clip, "pcm") for clip in pcm]), kind)

    # ---- streams ----

    def encoder(self, sample_rate: int | None = None, *, threads: int | None = None) -> EncoderStream:
        """A stream from audio at ``sample_rate`` Hz (None: the codec's; others are resampled) to tokens."""
        rate = self.sample_rate if sample_rate is None else check_rate(sample_rate)
        count = self._threads_or(threads)
        return EncoderStream(self, _core.Encoder(self._core, count), rate, count)

    def decoder(
        self,
        voice: Array | None = None,
        *,
        seed: int | None = 0,
        look_ahead: int | None = None,
        threads: int | None = None,
    ) -> DecoderStream:
        """A stream from tokens to audio.

        Args:
            voice: G [dimension], the voice; None is zeros, the mean of its prior.
            seed: of the vocoder's noise; the same seed gives the same audio. None: no noise.
            look_ahead: of the spectral vocoder in mel frames, 0 to 3; None: the model's default.
            threads: None takes the codec's.
        """
        return DecoderStream(
            self,
            _core.Decoder(
                self._core,
                check_optional_voice(voice, self.dimension),
                *seed_and_noise(seed),
                check_look_ahead(look_ahead),
                self._threads_or(threads),
            ),
        )

    def voice_estimator(self, voice: Array | None = None, *, stored_seconds: float = 0.0) -> VoiceEstimator:
        """An estimate of the voice that grows with a live call (docs/guide/live.md).

        ``voice`` [dimension] is the voice to begin with (None: zeros, the mean of its prior), which counts for
        ``stored_seconds`` of speech against what is heard.
        """
        given = check_optional_voice(voice, self.dimension)
        return VoiceEstimator(self, _core.Voice(self._core, given, stored_seconds))

    def encoder_group(
        self,
        capacity: int,
        *,
        threads: int | None = None,
        spins: int | None = None,
        device: str | None = None,
        max_steps: int = 1,
    ) -> EncoderGroup:
        """``capacity`` streams from audio to tokens that step together: one pass over the weights serves them all.

        Args:
            capacity: slots, 1 to 4096.
            threads: that work on a step, the caller's included; None takes the codec's.
            spins: how often a worker that waits for the next step polls before it sleeps; None: some tens of
                microseconds' worth. 0 leaves the processor to others at once.
            device: "cpu", or "cuda" if the codec was opened for it; None: the codec's.
            max_steps: most steps that one call of `steps` makes, 1 to 64 mel frames' worth; memory grows with it.
        """
        count = self._threads_or(threads)
        core = _core.EncoderGroup(self._core, capacity, count, -1 if spins is None else spins, device, max_steps)
        return EncoderGroup(self, core, capacity)

    def decoder_group(
        self,
        capacity: int,
        voice: Array | None = None,
        *,
        seed: int | None = 0,
        look_ahead: int | None = None,
        threads: int | None = None,
        spins: int | None = None,
        device: str | None = None,
        max_steps: int = 1,
    ) -> DecoderGroup:
        """``capacity`` streams from tokens to audio, or to log-mel, that step together.

        Every slot starts with this voice, seed and look-ahead, which are as in `decoder`; `DecoderGroup.start` gives a
        slot its own. The other arguments are those of `encoder_group`.
        """
        core = _core.DecoderGroup(
            self._core, capacity, check_optional_voice(voice, self.dimension), *seed_and_noise(seed),
            check_look_ahead(look_ahead), self._threads_or(threads), -1 if spins is None else spins, device, max_steps,
        )  # fmt: skip
        return DecoderGroup(self, core, capacity)

    def to_device(self, array: Array) -> DeviceArray:
        """A copy of float or integer ``array`` as float32 or int32 in the memory of the device, for steps of groups.

        For those without a library of their own; arrays of torch, CuPy and others go in as they are. `UnsupportedError`
        on the CPU.
        """
        values = to_numpy(array, "array")
        if values.dtype.kind not in "fiu":
            raise TypeError(f"array: expected floats or integers, got {values.dtype}")
        values = np.ascontiguousarray(values, np.float32 if values.dtype.kind == "f" else np.int32)
        result = DeviceArray(_core.DeviceArray(self._core, values.shape, str(values.dtype)))
        result._core.write(values, result.stream)
        return result

    def restore(self, snapshot: bytes, *, threads: int | None = None) -> EncoderStream | DecoderStream:
        """The stream that ``snapshot()`` was taken of, in that state.

        `SnapshotError` for damaged bytes, another model's or another precision's. Forged bytes are not detected.
        """
        return streams.restore(self, snapshot, self._threads_or(threads))

    def _threads_or(self, threads: int | None) -> int:
        return self._threads if threads is None else check_threads(threads)

    def _prepare(self, audio: Array, sample_rate: int | None) -> Floats:
        """Checked audio at the codec's rate, at least one mel frame long."""
        rate = self.sample_rate if sample_rate is None else check_rate(sample_rate)
        return check_mel_frame(self, resample(check_audio(audio), rate, self.sample_rate))

    def __repr__(self) -> str:
        return (
            f"Codec({self.name!r}, {self.frame_rate:.2f} tokens/s of {self.cardinality}, {self.sample_rate} Hz, "
            f"vocoder {self._info['vocoder']}, {self._info['isa']}, {self._info['precision']}, threads={self._threads})"
        )


@lru_cache(maxsize=64)
def _embedded(identity: int) -> str | None:
    """Name of the embedded model of that identity."""
    return next((name for name in EMBEDDED if Codec.from_pretrained(name).identity == identity), None)
