"""``encode``, ``decode`` and ``roundtrip``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from secousti_native import audio, quality
from secousti_native._encode_file import encode_file
from secousti_native.cli import batch, files, options, picture, resume
from secousti_native.cli.console import Bar
from secousti_native.encoded import Encoded

SEC = frozenset({".sec"})
AudioInputs = Annotated[list[str], typer.Argument(help="Audio files, folders or glob patterns.", metavar="IN...")]
SecInputs = Annotated[list[str], typer.Argument(help=".sec files, folders or glob patterns.", metavar="IN...")]
AudioFormat = Annotated[str, typer.Option("--format", help="Of the files in an output folder: wav, flac or ogg.")]
RATE_COLUMNS = ("bit_rate", "bit_rate_with_header", "bit_rate_with_voice")


def rates(encoded: Encoded) -> dict[str, float]:
    """Bit rates in bit/s: packed tokens alone, with header and framing, with the voice vector too."""
    return {name: round(getattr(encoded, name), 1) for name in RATE_COLUMNS}


def kept(damaged: bool) -> Literal["error", "keep"]:
    """What to do with damaged files, as functions take it."""
    return "keep" if damaged else "error"


def encode(
    inputs: AudioInputs,
    output: options.Output,
    model: options.Model = "default",
    device: options.DeviceOption = options.Device.cpu,
    precision: options.Precision = None,
    threads: options.Threads = 1,
    channel: options.Channel = None,
    damaged: options.Damaged = False,
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    json: options.Json = False,
    json_lines: options.JsonLines = False,
) -> None:
    """Audio files to `.sec` token streams."""
    show = options.show(json, json_lines)
    jobs = files.plan(inputs, output, audio.EXTENSIONS, ".sec", force=force, resume=skip_existing)
    codec = options.open_codec(model, device, precision, threads)

    def one(job: files.Job, bar: Bar) -> dict[str, Any]:
        assert job.output is not None
        with audio.AudioFile(job.source, damaged=kept(damaged), channel=channel) as file:
            bar.start(job.source.name, file.seconds)
            started = time.perf_counter()
            encoded = encode_file(codec, file, lambda done, _: bar.show(done))
            elapsed = time.perf_counter() - started
            file.warn()
        size = encoded.save(job.output)
        row = {"seconds": round(encoded.duration, 3), "tokens": len(encoded.tokens), "bytes": size}
        return row | rates(encoded) | {"real_time_factor": round(elapsed / encoded.duration, 4)}

    columns = ("seconds", "tokens", "bytes", *RATE_COLUMNS, "real_time_factor")

    def finished(job: files.Job) -> bool:
        return job.output is not None and resume.finished_tokens(job.output, codec, force)

    batch.run(jobs, one, show=show, columns=columns, finished=finished if skip_existing else None)


def decode(
    inputs: SecInputs,
    output: options.Output,
    model: options.Model = "default",
    device: options.DeviceOption = options.Device.cpu,
    precision: options.Precision = None,
    threads: options.Threads = 1,
    seed: options.Seed = 0,
    look_ahead: options.LookAhead = None,
    file_format: AudioFormat = "wav",
    damaged: Annotated[
        bool,
        typer.Option("--damaged", help="Decode what is intact of a damaged file; what is lost fades."),
    ] = False,
    any_model: Annotated[bool, typer.Option("--any-model", help="Decode tokens that another model made.")] = False,
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    json: options.Json = False,
    json_lines: options.JsonLines = False,
) -> None:
    """`.sec` token streams to audio files (22,050 Hz, 16 bit)."""
    show = options.show(json, json_lines)
    jobs = files.plan(inputs, output, SEC, f".{file_format}", force=force, resume=skip_existing,
                      writable=audio.WRITABLE)  # fmt: skip
    resume.check_endings(jobs, skip_existing)
    codec = options.open_codec(model, device, precision, threads)
    mark = resume.mark("decode", codec, seed=seed, look_ahead=look_ahead)

    def one(job: files.Job, bar: Bar) -> dict[str, Any]:
        assert job.output is not None
        encoded = Encoded.load(job.source, damaged=kept(damaged))
        if not any_model and not encoded.info_lost:
            codec.check_identity(encoded)
        encoded = encoded.concealed(codec)
        bar.start(job.source.name, encoded.duration)
        started = time.perf_counter()
        pcm = codec.decode(encoded, seed=seed, look_ahead=look_ahead, check_identity=False,
                           progress=lambda done, _: bar.show(done))  # fmt: skip
        elapsed = time.perf_counter() - started
        audio.save(job.output, pcm, codec.sample_rate, comment=resume.with_length(mark, len(pcm)))
        seconds = len(pcm) / codec.sample_rate
        row = {"seconds": round(seconds, 3), "tokens": len(encoded.tokens)}
        return row | {
            "real_time_factor": round(elapsed / seconds, 4) if seconds else None,
            "notes": list(encoded.notes),
        }

    def finished(job: files.Job) -> bool:
        return job.output is not None and resume.finished_audio(job.output, mark, force)

    columns = ("seconds", "tokens", "real_time_factor", "notes")
    batch.run(jobs, one, show=show, columns=columns, finished=finished if skip_existing else None)


def roundtrip(
    inputs: AudioInputs,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Where the decoded audio goes.", metavar="OUT")
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot",
            help="Draw spectrograms, level and tokens: a file for one input, else a folder.",
            metavar="PICTURE",
        ),
    ] = None,
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
    """Encodes and decodes audio files; prints duration, tokens, bit rates, speed, and PESQ and STOI if installed."""
    show = options.show(json, json_lines)
    jobs = files.plan(inputs, output, audio.EXTENSIONS, f".{file_format}", force=force, resume=skip_existing,
                      writable=audio.WRITABLE)  # fmt: skip
    resume.check_endings(jobs, skip_existing)
    pictures: dict[Path, Path | None] = {}
    if plot is not None:
        picture.check()
        planned = files.plan(inputs, plot, audio.EXTENSIONS, ".png", force=force, resume=skip_existing,
                             writable=picture.ENDINGS, option="--plot")  # fmt: skip
        pictures = {job.source: job.output for job in planned}
    codec = options.open_codec(model, device, precision, threads)
    mark = resume.mark("roundtrip", codec, seed=seed, look_ahead=look_ahead)

    def one(job: files.Job, bar: Bar) -> dict[str, Any]:
        pcm, _ = audio.load(job.source, codec.sample_rate, damaged=kept(damaged), channel=channel)
        seconds = len(pcm) / codec.sample_rate
        bar.start(job.source.name, 2.0 * seconds)
        started = time.perf_counter()
        encoded = codec.encode(pcm, progress=lambda done, _: bar.show(done))
        middle = time.perf_counter()
        decoded = codec.decode(encoded, seed=seed, look_ahead=look_ahead,
                               progress=lambda done, _: bar.show(seconds + done))  # fmt: skip
        ended = time.perf_counter()
        row: dict[str, Any] = {"seconds": round(encoded.duration, 3), "tokens": len(encoded.tokens)}
        row |= rates(encoded)
        row |= {"encode_real_time_factor": round((middle - started) / encoded.duration, 4)}
        row |= {"decode_real_time_factor": round((ended - middle) / encoded.duration, 4)}
        row |= {"real_time_factor": round((ended - started) / encoded.duration, 4)}
        row |= quality.scores(pcm, decoded, codec.sample_rate)
        drawn = pictures.get(job.source)
        if drawn is not None:
            drawn.parent.mkdir(parents=True, exist_ok=True)
            picture.draw(drawn, job.source.name, codec.sample_rate, pcm, decoded, encoded)
            row["plot"] = str(drawn)
        if job.output is not None:  # last, so that a file that exists is one that is reported as done
            audio.save(job.output, decoded, codec.sample_rate, comment=resume.with_length(mark, len(decoded)))
        return row

    columns = ("seconds", "tokens", *RATE_COLUMNS, "encode_real_time_factor", "decode_real_time_factor", *quality.NAMES)

    def finished(job: files.Job) -> bool:
        drawn = pictures.get(job.source)
        whole = job.output is not None and resume.finished_audio(job.output, mark, force)
        return whole and (drawn is None or drawn.is_file())

    batch.run(jobs, one, show=show, columns=columns, finished=finished if skip_existing else None)


def register(app: typer.Typer) -> None:
    app.command()(encode)
    app.command()(decode)
    app.command()(roundtrip)
