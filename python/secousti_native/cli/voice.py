"""``voice``: the words of one recording in the voice of another."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer

from secousti_native import audio
from secousti_native._arrays import Floats
from secousti_native.cli import batch, files, options, resume
from secousti_native.cli.codec import SEC, AudioFormat, kept
from secousti_native.cli.console import Bar, fail
from secousti_native.codec import Codec
from secousti_native.encoded import Encoded


def load_voice(codec: Codec, path: Path) -> Floats:
    """G of an audio or ``.sec`` file. ``ValueError`` for a ``.sec`` file without one, or of another size."""
    if path.suffix.lower() not in SEC:
        pcm, _ = audio.load(path, codec.sample_rate)
        voice: Floats = codec.voice(pcm)
        return voice
    given: Floats = Encoded.load(path).voice
    if len(given) != codec.dimension:
        raise ValueError(f"{path}: its voice has {len(given)} dimensions, {codec.name} needs {codec.dimension}")
    return given


def voice(
    inputs: Annotated[
        list[str], typer.Argument(help="Audio or .sec files, folders or glob patterns.", metavar="SRC...")
    ],
    reference: Annotated[Path, typer.Argument(help="The voice: an audio or .sec file.", metavar="REF")],
    output: options.Output,
    model: options.Model = "default",
    device: options.DeviceOption = options.Device.cpu,
    precision: options.Precision = None,
    threads: options.Threads = 1,
    seed: options.Seed = 0,
    look_ahead: options.LookAhead = None,
    file_format: AudioFormat = "wav",
    channel: options.Channel = None,
    damaged: options.Damaged = False,
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    json: options.Json = False,
    json_lines: options.JsonLines = False,
) -> None:
    """Speaks the tokens of SRC with the voice of REF."""
    show = options.show(json, json_lines)
    jobs = files.plan(inputs, output, audio.EXTENSIONS | SEC, f".{file_format}", force=force, resume=skip_existing,
                      writable=audio.WRITABLE)  # fmt: skip
    resume.check_endings(jobs, skip_existing)
    codec = options.open_codec(model, device, precision, threads)
    try:
        target = load_voice(codec, reference)
    except batch.EXPECTED as error:
        raise fail(f"voice {reference}: {batch.describe(error)}") from None
    speaker = hashlib.sha256(target.tobytes()).hexdigest()[:16]
    mark = resume.mark("voice", codec, voice=speaker, seed=seed, look_ahead=look_ahead)

    def one(job: files.Job, bar: Bar) -> dict[str, Any]:
        assert job.output is not None
        before = 0.0  # seconds of work before decoding
        if job.source.suffix.lower() in SEC:
            encoded = Encoded.load(job.source)
            bar.start(job.source.name, encoded.duration)
        else:
            pcm, _ = audio.load(job.source, codec.sample_rate, damaged=kept(damaged), channel=channel)
            before = len(pcm) / codec.sample_rate
            bar.start(job.source.name, 2.0 * before)
            encoded = codec.encode(pcm, progress=lambda done, _: bar.show(done))
        decoded = codec.decode(encoded, target, seed=seed, look_ahead=look_ahead,
                               progress=lambda done, _: bar.show(before + done))  # fmt: skip
        audio.save(job.output, decoded, codec.sample_rate, comment=resume.with_length(mark, len(decoded)))
        return {"voice": str(reference), "seconds": round(encoded.duration, 3), "tokens": len(encoded.tokens)}

    def finished(job: files.Job) -> bool:
        return job.output is not None and resume.finished_audio(job.output, mark, force)

    columns = ("voice", "seconds", "tokens")
    batch.run(jobs, one, show=show, columns=columns, finished=finished if skip_existing else None)


def register(app: typer.Typer) -> None:
    app.command()(voice)
