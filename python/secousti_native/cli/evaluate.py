"""``eval``: the quality of models on a folder of speech, beside classic codecs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from secousti_native._files import write_atomically
from secousti_native._opening import PRECISIONS
from secousti_native.cli import batch, options
from secousti_native.cli.console import fail, print_json, progress_bar, stderr, stdout
from secousti_native.evaluation import plots, report
from secousti_native.evaluation.run import PARTS, Evaluation, Settings


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(help="Speech; sub-folders are speakers, NAME.txt beside NAME.wav its words.", metavar="FOLDER"),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Name or file, repeatable. [default: both embedded models]"),
    ] = None,
    device: options.DeviceOption = options.Device.cpu,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            "--precision",
            help=f"Of {', '.join(PRECISIONS)}; repeatable: each is compared with the first. "
            "[default: the model's; bf16 on cuda]",
            metavar="NAME",
        ),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", help=f"Leave out: {', '.join(PARTS)}. Repeatable.", metavar="PART")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Of the speech, such as en. [default: the recogniser guesses]")
    ] = None,
    clips: Annotated[int | None, typer.Option("--clips", min=1, help="Only the first so many files.")] = None,
    kmeans: Annotated[
        Path | None, typer.Option("--kmeans", help="Add k-means of mel frames, trained on this speech.", metavar="DIR")
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=1, help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of bootstrap and cross-validation.")] = 0,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write the tables there.", metavar="FILE")] = None,
    plot: Annotated[Path | None, typer.Option("--plots", help="Draw into this folder.", metavar="DIR")] = None,
    json: options.Json = False,
) -> None:
    """Quality, bit rates, token use and speed of models on a folder of speech, with confidence intervals.

    Uses what is installed (extras `eval` and `eval-full`; Codec 2 and Opus programs) and names what is not.
    """
    models = tuple(model or ("default", "default-21"))
    precisions = tuple(precision or ())
    settings = Settings(
        folder, models, frozenset(skip or ()), language, clips, kmeans, resamples, seed, precisions, device.value
    )
    try:
        if not folder.is_dir():
            raise NotADirectoryError(20, "not a folder", str(folder))
        evaluation = Evaluation(settings, lambda text: stderr().print(text, style="red", markup=False))
    except batch.EXPECTED as error:
        raise fail(batch.describe(error)) from None
    try:
        interrupted = _run(evaluation, quiet=json)
    except ImportError as error:
        raise fail(batch.describe(error)) from None
    found = report.document(evaluation, interrupted)
    if json:
        print_json(found)
    else:
        _print(found)
    try:
        if markdown is not None:
            write_atomically(markdown, report.markdown(found).encode())
        if plot is not None:
            plots.draw(found, plot)
    except batch.EXPECTED as error:
        raise fail(batch.describe(error)) from None
    if interrupted:
        stderr().print("interrupted: only the clips that were finished are in the result")
        raise typer.Exit(130)
    if evaluation.failed:
        raise typer.Exit(1)


def _run(evaluation: Evaluation, quiet: bool) -> bool:
    """Whether Ctrl-C ended it."""
    with progress_bar(quiet) as bar:
        bar.start("evaluating", evaluation.steps)
        try:
            evaluation.run(bar.show)
        except KeyboardInterrupt:
            return True
    return False


def _print(found: dict[str, Any]) -> None:
    console = stdout()
    console.print(_scores("", found, "systems"))
    if found["conversion"]:
        console.print(_scores("conversion to the next speaker's voice", found, "conversion"))
    if found["leakage"]:
        table = Table(title="speaker leakage", title_justify="left", box=None, pad_edge=False)
        for title in report.LEAKAGE_TITLES:
            table.add_column(title, justify="left" if title in ("system", "features") else "right")
        for entry in found["leakage"]:
            table.add_row(*report.leakage_cells(entry))
        console.print(table)
    for line in report.summary(found):
        console.print(line, markup=False, soft_wrap=True)
    if found["failed"]:
        console.print(f"{len(found['failed'])} failures, listed above", style="red")


def _scores(title: str, found: dict[str, Any], part: str) -> Table:
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    shown = report.present(found, part)
    table.add_column("system")
    for column in shown:
        table.add_column(column.title, justify="right")
    for row in found[part]:
        cells = report.cells(row, shown)
        texts = (f"{mean}\n[dim]{interval}[/dim]" if interval else mean for mean, interval in cells)
        table.add_row(row["system"], *texts)
    return table


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)
