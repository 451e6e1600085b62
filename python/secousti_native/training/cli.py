"""`secousti train`: a typer application that the main command line mounts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from secousti_native.convert import ConversionError
from secousti_native.reference.config import CodecConfig, ConfigError
from secousti_native.training.config import read_config
from secousti_native.training.corpus import (
    CorpusError,
    Utterance,
    read_aligned,
    read_folder,
    read_manifest,
    read_shards,
    write_manifest,
)
from secousti_native.training.export import export as export_run
from secousti_native.training.prepare import prepare as prepare_cache
from secousti_native.training.start import hand_over as hand_over_run
from secousti_native.training.synthesise import SynthesisError, synthesise_shard
from secousti_native.training.trainer import Trainer

app = typer.Typer(help="Train a codec on your own speech.", no_args_is_help=True, add_completion=False)
console = Console()
PROBLEMS = (ConfigError, CorpusError, ConversionError, SynthesisError, OSError)
CONFIGS = Path(__file__).parent / "configs"


def _say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


def _fail(error: Exception) -> typer.Exit:
    Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
    return typer.Exit(1)


@app.command()
def manifest(
    out: Annotated[Path, typer.Option("--out", "-o", help="The manifest to write (JSON lines).")],
    shards: Annotated[list[Path] | None, typer.Option(help="Folder of NNNN.opus + NNNN.jsonl.xz.")] = None,
    aligned: Annotated[
        list[str] | None, typer.Option(help="AUDIO:TEXTGRIDS, folders with equal names inside; phones from MFA.")
    ] = None,
    folder: Annotated[
        list[str] | None, typer.Option(help="SPEAKER:FOLDER of audio files without phones (one speaker).")
    ] = None,
    tier: Annotated[str, typer.Option(help="The TextGrids' tier of phones.")] = "phones",
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out audio whose path contains this.")] = None,
) -> None:
    """Lists a corpus in a manifest: any mix of shards, aligned folders and plain folders."""
    utterances: list[Utterance] = []
    try:
        for path in shards or []:
            utterances += read_shards(path)
        for pair in aligned or []:
            audio, grids = _pair(pair, "--aligned")
            utterances += read_aligned(Path(audio), Path(grids), tier)
        for pair in folder or []:
            speaker, audio = _pair(pair, "--folder")
            utterances += read_folder(Path(audio), speaker)
        utterances = [u for u in utterances if not any(part in u.audio for part in exclude or [])]
        if not utterances:
            raise CorpusError("nothing to list: give --shards, --aligned or --folder")
        count = write_manifest(out, utterances)
    except PROBLEMS as error:
        raise _fail(error) from None
    hours = sum(u.seconds for u in utterances) / 3600
    _say(f"{out}: {count} utterances, {hours:.2f} h, {len({u.speaker for u in utterances})} speakers")


def _pair(text: str, option: str) -> tuple[str, str]:
    first, colon, second = text.partition(":")
    if not (first and colon and second):
        raise CorpusError(f"{option}: {text!r} is not of the form A:B")
    return first, second


@app.command()
def prepare(
    manifest: Annotated[Path, typer.Argument(help="The manifest.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The cache folder to write.")],
    speed: Annotated[list[float] | None, typer.Option(help="Resampling speeds to keep copies at.")] = None,
    copies: Annotated[int, typer.Option(min=0, help="Copies through other microphones, rooms and codecs.")] = 0,
    valid: Annotated[float, typer.Option(help="Share of utterances for validation.")] = 0.03,
    hold_out: Annotated[list[str] | None, typer.Option(help="Speakers for validation only.")] = None,
    codec: Annotated[Path | None, typer.Option(help="JSON of the codec's sizes, if its mel front end differs.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share the audio files.")] = 1,
) -> None:
    """Checks a corpus and caches its log-mels and phone durations."""
    try:
        config = CodecConfig.from_json(codec.read_text(encoding="utf8")) if codec else CodecConfig()
        utterances = list(read_manifest(manifest))
        with Progress(console=console) as bar:
            task = bar.add_task("preparing", total=len(utterances))
            counts = prepare_cache(
                utterances,
                out,
                config,
                speeds=tuple(speed or [0.9, 1.0, 1.1]),
                copies=copies,
                valid_share=valid,
                held_out=tuple(hold_out or []),
                jobs=jobs,
                progress=lambda done: bar.update(task, completed=done),
            )
    except PROBLEMS as error:
        raise _fail(error) from None
    if not counts["validation"]:
        _say("[yellow]no utterance is left for validation: raise --valid or name a speaker with --hold-out[/yellow]")
    text = ", ".join(f"{name.replace('_', ' ')} {value:.2f}".replace(".00", "") for name, value in counts.items())
    _say(f"{out}: {text}")


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="A stage's JSON file, or the name of one that ships (see --list).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder; continued if it holds a state.")],
    change: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, e.g. optimiser.rate=0.001")] = None,
    until: Annotated[int | None, typer.Option(help="Stop after this step.")] = None,
) -> None:
    """Trains one stage. Ctrl-C or SIGTERM saves and stops; the same command goes on."""
    try:
        path = Path(config) if Path(config).exists() else CONFIGS / f"{config}.json"
        if not path.exists():
            names = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.json")))
            raise ConfigError(f"{config}: no such file; configurations that ship: {names}")
        trainer = Trainer(read_config(path, dict(_change(text) for text in change or [])), out, progress=True)
        reached = trainer.run(until)
    except PROBLEMS as error:
        raise _fail(error) from None
    _say(f"{out}: at step {reached} of {trainer.config.steps} after {trainer.seconds / 3600:.2f} h")


def _change(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set: {text!r} is not of the form NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model file to write.")],
    name: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    dtype: Annotated[str, typer.Option(help="float16, bfloat16 or float32.")] = "float16",
    acoustic: Annotated[bool, typer.Option(help="Keep the acoustic branch, if there is one.")] = True,
    newest: Annotated[bool, typer.Option(help="The newest weights instead of the best ones.")] = False,
) -> None:
    """Writes a run's averaged weights as a model file for the native engine."""
    try:
        checkpoint = "state.pt" if newest else "best.pt"
        report = export_run(run, out, name=name, dtype=dtype, acoustic=acoustic, checkpoint=checkpoint)
    except PROBLEMS as error:
        raise _fail(error) from None
    _say(f"{report.path}: {report.parameters:,} parameters, {report.bytes / 1e6:.1f} MB")


@app.command(name="hand-over")
def hand_over(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write (.pt).")],
    newest: Annotated[bool, typer.Option(help="The newest weights instead of the best ones.")] = False,
) -> None:
    """Writes the half-precision weights and the configuration of a run, for another machine to train on from."""
    try:
        step = hand_over_run(run, out, "state.pt" if newest else "best.pt")
    except PROBLEMS as error:
        raise _fail(error) from None
    _say(f"{out}: step {step}, {out.stat().st_size / 1e6:.1f} MB; go on with `secousti train run {out} -o RUN`")


@app.command()
def log(run: Annotated[Path, typer.Argument(help="The run's folder.")]) -> None:
    """Shows a run's validations."""
    try:
        lines = (run / "log.jsonl").read_text(encoding="utf8").splitlines()
    except OSError as error:
        raise _fail(error) from None
    entries = [e for e in map(json.loads, lines) if e["kind"] == "valid"]
    names = sorted({k for e in entries for k in e} - {"kind", "step", "seconds", "time"})
    table = Table("step", "hours", *(Column(name, overflow="fold") for name in names))
    for entry in entries:
        values = [f"{entry[n]:.4g}" if n in entry else "" for n in names]
        table.add_row(str(entry["step"]), f"{entry['seconds'] / 3600:.2f}", *values)
    console.print(table)


@app.command()
def synthesise(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the shards.")],
    text: Annotated[Path, typer.Option(help="Sentences, one a line (.xz allowed).")],
    model: Annotated[Path, typer.Option(help="Kokoro-82M as ONNX, or the folder of its parts.")],
    vocabulary: Annotated[Path, typer.Option(help="The model's vocab.json.")],
    voices: Annotated[Path, typer.Option(help="Folder of the model's voices, *.bin.")],
    shards: Annotated[int, typer.Option(help="How many shards of ten minutes.")] = 1,
    worker: Annotated[int, typer.Option(help="0 to 8: workers read different parts of the text.")] = 0,
) -> None:
    """Speaks a corpus with many voices, with phones and exact durations."""
    try:
        for shard in range(shards):
            made = synthesise_shard(out, worker, shard, text, model, vocabulary, voices)
            _say(f"{made.path}: {made.utterances} utterances, {made.seconds:.0f} s")
    except PROBLEMS as error:
        raise _fail(error) from None
