"""Which results of an earlier run are whole, and of the same model and settings, so that a batch can go on.

A ``.sec`` file has checksums and its model's identity. Audio files carry a comment that says what made them.
"""

from __future__ import annotations

import errno
from pathlib import Path

import typer

from secousti_native._optional import require
from secousti_native.audio import WRITABLE, AudioFile
from secousti_native.cli.files import Job
from secousti_native.codec import Codec
from secousti_native.encoded import Encoded
from secousti_native.errors import ContainerError

_MAKER = "secousti "
_SEC_MAGIC = b"\x89SEC"
_WITHOUT_COMMENTS = {".au", ".w64"}


def mark(command: str, codec: Codec, **settings: object) -> str:
    """The comment in audio files: what they depend on, but for their source and their length."""
    shown = "".join(f", {name} {value}" for name, value in settings.items() if value is not None)
    return f"{_MAKER}{command}: model {codec.identity:016x}{shown}"


def with_length(comment: str, samples: int) -> str:
    return f"{comment}, {samples} samples"


def check_endings(jobs: list[Job], resume: bool) -> None:
    """Usage error for ``--skip-existing`` with outputs that could not be known again."""
    for job in jobs if resume else ():
        if job.output is None:
            raise typer.BadParameter(
                "needs --output, a folder whose files are passed over", param_hint="--skip-existing"
            )
        if job.output.suffix.lower() in _WITHOUT_COMMENTS:
            usable = " ".join(ending for ending in WRITABLE if ending not in _WITHOUT_COMMENTS)
            raise typer.BadParameter(
                f"{job.output}: such files cannot say what made them; use {usable}", param_hint="--skip-existing"
            )


def finished_tokens(path: Path, codec: Codec, force: bool) -> bool:
    """Whether ``path`` is an intact ``.sec`` file of ``codec``.

    False for one that is not there, damaged, or another model's. `FileExistsError` for a file that is no ``.sec`` file
    at all, unless ``force`` allows it to be overwritten.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    try:
        found = Encoded.from_bytes(data)
        return not found.notes and found.model_identity == codec.identity
    except ContainerError:
        if data and not force and not data.startswith(_SEC_MAGIC[: len(data)]) and not _salvageable(data):
            raise _foreign(path) from None
        return False


def finished_audio(path: Path, comment: str, force: bool) -> bool:
    """Whether ``path`` is an intact audio file that was made with `mark` ``comment``; else as `finished_tokens`."""
    soundfile = require("soundfile", "reading audio files")
    if not path.exists():
        return False
    try:
        with path.open("rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as found:
            made_by = str(found.comment)
        with AudioFile(path) as audio:
            samples = sum(len(block) for block in audio.blocks())
    except (ValueError, soundfile.LibsndfileError):
        return False  # empty, cut or damaged
    if made_by == with_length(comment, samples):
        return True
    if not made_by.startswith(_MAKER) and not force:
        raise _foreign(path)
    return False


def _salvageable(data: bytes) -> bool:
    """Whether there are tokens in a file whose beginning is damaged."""
    try:
        return len(Encoded.from_bytes(data, damaged="keep")) > 0
    except ContainerError:
        return False


def _foreign(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "exists, but secousti did not make it; -f overwrites it", str(path))
