"""The codec: a model and everything that can be done with it."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from secousti_native import _core, _weights, streams
from secousti_native._arguments import (
    check_look_ahead,
    check_optional_voice,
    check_seed,
    check_threads,
    check_voice,
    seed_and_noise,
)
from secousti_native._arrays import Array, Floats, as_tokens, like, to_numpy
from secousti_native._device import DeviceArray
from secousti_native._offline import Progress, ToDecode, decode_clips, encode_clips, of_clip, voice_of
from secousti_native._weights import Vocoder
from secousti_native.audio import check_audio, check_rate, resample
from secousti_native.batch import EncodedBatch, clips_of, to_decode
from secousti_native.encoded import Encoded
from secousti_native.errors import UnsupportedError
from secousti_native.groups import DecoderGroup, EncoderGroup
from secousti_native.model import Model, check_mel_frame
from secousti_native.stages import Stages
from secousti_native.streams import DecoderStream, EncoderStream, VoiceEstimator

_ASSETS = Path(__file__).parent / "assets"
EMBEDDED = {"default": "default_86.safetensors", "default-21": "default_21.safetensors"}
PRECISIONS = ("fp32", "bf16", "int8")
DEVICES = ("cpu", "cuda")


class Codec(Model):
    """Speech to one stream of tokens and back (SecoustiCodec, arXiv 2508.02849), on the CPU or a CUDA device.

    Immutable, and safe to share between threads. Audio is mono: float (nominally in [-1, 1]), int16 or int32, as
    numpy arrays or torch tensors; results are float32 and int64, of the kind that went in.
    """

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        variant: str | float | None = None,
        vocoder: Vocoder = None,
        revision: str | None = None,
        precision: str | None = None,
        threads: int = 1,
        device: str = "cpu",
        isa: str | None = None,
    ) -> Codec:
        """Opens an embedded model ("default": 86 Hz, "default-21": 21.5 Hz), a file, or a repository of the Hub.

        Model files of `secousti convert` open as they are. PyTorch checkpoints are converted in memory, and those of a
        repository once, into a cache; then it is opened without the network (docs/guide/convert.md).

        Args:
            model: name; path of a ``.safetensors`` file, of a checkpoint or of a folder of them; or a repository,
                "owner/name" or "hf://owner/name[@revision][/file]". None is "default".
            variant: which model of a folder or repository, such as "86" or "21.5", or a file's name.
            vocoder: "spectral"; "hift", which is in the model or is ``hift.pt`` beside it; or the path or state dict of
                a HiFT checkpoint. None: what the model has, else "spectral".
            revision: branch, tag or commit of a repository; None is "main". A branch stays at the commit that it was at
                when first fetched.
            precision: of the transformers' weights in memory, whatever the file holds: "fp32", "bf16", or "int8" (one
                scale per output; activations are quantised too). Keys and values are kept likewise. The last two are
                faster, because a step is bound by the bytes that it reads (docs/guide/precision.md). None: on the CPU
                what the file says was measured to keep the model's quality ("int8" for the embedded models; "fp32" if
                it says nothing), "bf16" on "cuda".
            threads: of the CPU that work on one call, the caller's included.
            device: "cpu", or "cuda", the first CUDA device (docs/guide/cuda.md): streams, groups and offline calls all
                work there. It never falls back.
            isa: instruction set, such as "avx2"; None takes SECOUSTI_ISA if set, else the fastest.

        Raises:
            FileNotFoundError, OSError: the file cannot be read, or the repository lacks it.
            PermissionError: the repository is gated or private.
            ConnectionError: it is not in the cache, and the Hub cannot be reached.
            ModelFormatError: it is no intact model file or checkpoint.
            MissingDependencyError: checkpoints need torch and safetensors, repositories huggingface_hub.
            UnsupportedError: precision, device or instruction set.
        """
        _check_options(precision, device)
        return cls._open(_resolve(model, variant, vocoder, revision, precision), isa, precision, device, threads)

    @classmethod
    def from_state_dict(
        cls,
        state: Mapping[str, Any],
        vocoder: Vocoder = None,
        config: Mapping[str, Any] | None = None,
        *,
        precision: str | None = None,
        threads: int = 1,
        device: str = "cpu",
        isa: str | None = None,
    ) -> Codec:
        """A codec from trained PyTorch weights in memory, with the published names: the same bits as a converted file.

        Args:
            state: tensors by name, or ``{"model": such}``.
            vocoder: path or state dict of a HiFT checkpoint; None or "spectral" needs none.
            config: sizes as `config` gives them; None: from the tensors' shapes, with heads of 64 channels and a
                context of 250 frames.

        The other arguments are those of `from_pretrained`. `ModelFormatError` names every missing and unfit tensor.
        """
        _check_options(precision, device)
        return cls._open(_weights.from_tensors(state, vocoder, config), isa, precision, device, threads)

    @classmethod
    def from_module(
        cls,
        module: object,
        vocoder: object = None,
        config: Mapping[str, Any] | None = None,
        *,
        precision: str | None = None,
        threads: int = 1,
        device: str = "cpu",
        isa: str | None = None,
    ) -> Codec:
        """A codec from a ``torch.nn.Module``: the reference `SecoustiCodec`, in training or not, or any with its names.

        A mel normalisation is folded away; compiled and data-parallel modules are looked into. ``vocoder`` may be a
        module as well. All else is as in `from_state_dict`.
        """
        _check_options(precision, device)
        return cls._open(_weights.from_tensors(module, vocoder, config), isa, precision, device, threads)

    @classmethod
    def _open(cls, found: Path | bytes, isa: str | None, precision: str | None, device: str, threads: int) -> Codec:
        if isinstance(found, bytes):
            return cls(_core.Model.from_memory(found, isa, precision, device), threads)
        return cls(_core.Model(os.fsencode(found), isa, precision, device), threads)

    def with_threads(self, threads: int) -> Codec:
        """The same model, shared, with another number of threads for its calls."""
        return Codec(self._core, threads)

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
        clips: Sequence[Array],
        sample_rate: int | None = None,
        *,
        voices: bool = True,
        progress: Progress | None = None,
    ) -> list[Encoded]:
        """A corpus: `encode` of each of ``clips``, of any lengths, side by side; the same results.

        ``threads`` clips at a time on the CPU; on "cuda" many clips share each step. Without ``voices`` the results
        have none (``voice`` is empty), which is faster. ``ValueError`` as for `encode`; it names the clip.
        """
        prepared = []
        for i, clip in enumerate(clips):
            with of_clip(i):
                prepared.append(self._prepare(clip, sample_rate))
        return self._encode(prepared, clips, voices, progress)

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
        the end are zeros), bare tokens give ``N * frame_size``. ``voice`` beside an `Encoded` replaces its own.
        ``seed`` and ``look_ahead`` are as in `decoder`, ``progress`` as in `encode`. ``ValueError`` for tokens of
        another model unless ``check_identity`` is False, and for a ``num_samples`` that the tokens cannot have.
        """
        item = self._checked(encoded, voice, check_identity)
        (pcm,) = self._decode([item], seed, look_ahead, progress)
        return pcm

    def decode_many(
        self,
        clips: Sequence[Encoded | Array],
        voices: Sequence[Array] | None = None,
        *,
        seed: int | None = 0,
        look_ahead: int | None = None,
        check_identity: bool = True,
        progress: Progress | None = None,
    ) -> list[Array]:
        """`decode` of each of ``clips``, of any lengths, side by side; ``voices``: one for each."""
        if voices is not None and len(voices) != len(clips):
            raise ValueError(f"voices: {len(voices)} voices for {len(clips)} clips")
        items = []
        for i, clip in enumerate(clips):
            with of_clip(i):
                items.append(self._checked(clip, None if voices is None else voices[i], check_identity))
        return self._decode(items, seed, look_ahead, progress)

    def _checked(self, encoded: Encoded | Array, voice: Array | None, check_identity: bool) -> ToDecode:
        """What `_decode` takes, from what `decode` takes."""
        if not isinstance(encoded, Encoded):
            if voice is None:
                raise TypeError("decode: bare tokens need a voice: decode(tokens, voice)")
            tokens, num_samples = encoded, None
        else:
            if check_identity:
                self.check_identity(encoded)
            encoded.check_num_samples(self)
            tokens, num_samples = encoded.tokens, encoded.num_samples
            voice = encoded.voice if voice is None else voice
            if len(voice) == 0:
                raise ValueError("decode: the stream has no voice; pass voice=")
        checked = check_voice(voice, self.dimension)
        return ToDecode(as_tokens(tokens, self.cardinality), checked, num_samples, tokens)

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
        mel = self._core.mel(self._prepare(audio, sample_rate))
        acoustic = self._core.encode_mel(mel, self._threads)["acoustic_embed"]
        if acoustic is None:
            raise UnsupportedError(f"encode_acoustic: {self.name} has no acoustic branch")
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

    def encode_batch(self, audio: Array, sample_rate: int | None = None) -> EncodedBatch:
        """Audio [B, 1, T] to tokens int64 [B, 1, N] and voices [B, dimension], side by side as in `encode_many`."""
        return EncodedBatch.of(self.encode_many(clips_of(audio), sample_rate), audio)

    def decode_batch(self, batch: EncodedBatch | Array, voice: Array | None = None, *, seed: int | None = 0) -> Array:
        """An `EncodedBatch`, or tokens [B, 1, N] and voices [B, dimension], to audio float32 [B, 1, T]."""
        clips, voices, kind = to_decode(self, batch, voice)
        return like(np.stack(self.decode_many(clips, voices, seed=seed))[:, None], kind)

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


def _check_options(precision: str | None, device: str) -> None:
    if device not in DEVICES:
        raise UnsupportedError(f"device {device!r} is not supported; 'cpu' and 'cuda' are")
    if precision is not None and precision not in PRECISIONS:
        names = ", ".join(repr(name) for name in PRECISIONS)
        raise UnsupportedError(f"precision {precision!r} is not supported; {names} are")


def _resolve(
    model: str | os.PathLike[str] | None,
    variant: str | float | None,
    vocoder: Vocoder,
    revision: str | None,
    precision: str | None,
) -> Path | bytes:
    """The file of an embedded model's name, or what `_weights.locate` finds."""
    name = "default" if model is None else model
    if isinstance(name, str) and name in EMBEDDED:
        name = _ASSETS / EMBEDDED[name]
    try:
        return _weights.locate(name, variant, vocoder, revision, precision)
    except FileNotFoundError as error:
        if error.filename != os.fspath(name) or error.strerror != os.strerror(errno.ENOENT):
            raise
        names = ", ".join(repr(n) for n in EMBEDDED)
        raise FileNotFoundError(
            errno.ENOENT, f"no such model file; embedded models are {names}", os.fspath(name)
        ) from None


@lru_cache(maxsize=64)
def _embedded(identity: int) -> str | None:
    """Name of the embedded model of that identity."""
    return next((name for name in EMBEDDED if Codec.from_pretrained(name).identity == identity), None)
