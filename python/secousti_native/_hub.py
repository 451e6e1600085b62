"""Models of the Hugging Face Hub: fetched once, converted once, and from then on opened without the network.

The cache is a folder: SECOUSTI_CACHE, else ``secousti`` in XDG_CACHE_HOME, else ``~/.cache/secousti``. It holds, for
each repository, which commit a branch or tag was (``refs``), that commit's list of files, and the converted models with
their SHA-256. What was downloaded lies in the Hub's own cache (HF_HOME). Needs huggingface_hub only to fetch.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

from secousti_native._files import write_atomically
from secousti_native._hub_errors import explained
from secousti_native._model_files import CHECKPOINTS, HIFT, HIFT_FILE, SPECTRAL, choose, vocoder_of
from secousti_native._optional import require
from secousti_native.errors import ModelFormatError

#: Of the files in the cache. Another number when conversion gives other files, so that old ones are left alone.
LAYOUT = "1"

_URL = re.compile(r"hf://(?P<name>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/(?P<file>.+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Reference:
    """A repository of the Hub, maybe at a ``revision`` (branch, tag or commit), maybe a file in it."""

    name: str
    revision: str = "main"
    file: str | None = None

    @property
    def url(self) -> str:
        at = "" if self.revision == "main" else f"@{quote(self.revision, safe='')}"
        return f"hf://{self.name}{at}" + (f"/{self.file}" if self.file else "")

    def at(self, revision: str | None) -> Reference:
        """Of that revision; ``ValueError`` if it names another already."""
        if revision is None:
            return self
        if self.revision not in ("main", revision):
            raise ValueError(f"revision: {self.url} names another than {revision!r}")
        return replace(self, revision=revision)


def is_url(text: str) -> bool:
    return text.startswith("hf://")


def parse(text: str) -> Reference:
    """``hf://owner/name[@revision][/file]``; a slash in a revision is ``%2F``. ``ValueError`` for anything else."""
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text}: expected hf://owner/name, hf://owner/name/file or hf://owner/name@revision/file")
    return Reference(match["name"], unquote(match["revision"] or "main"), match["file"])


def cache_folder() -> Path:
    """Where converted models lie."""
    given = os.environ.get("SECOUSTI_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "secousti"


def model_file(reference: Reference, variant: str | float | None, vocoder: str | None, precision: str) -> Path:
    """The path of a model file that the engine opens.

    From the cache without any request if it is there; else fetched and converted, by one process if many ask.
    ``vocoder`` is "hift" (the repository's hift.pt), "spectral", or None: what the model has, else spectral.
    ``precision`` is the stored one of a converted file; an fp32 one that is there does as well.
    """
    folder = cache_folder() / f"hub-{LAYOUT}" / reference.name.replace("/", "--")
    cache = _Cache(folder, reference, variant, vocoder, precision)
    found = cache.find()
    if found is None:
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder / "lock"):
                found = cache.find() or cache.fill()  # another process may have done it meanwhile
    return found


def source_files(
    reference: Reference, variant: str | float | None = None, vocoder: str | None = None
) -> tuple[Path, Path | None]:
    """A model of a repository as it is, and hift.pt beside it if ``vocoder`` is "hift" and the model has none.

    Downloaded and checked; the revision is looked up anew if the Hub can be reached. The file is that of the reference,
    else chosen by ``variant``.
    """
    snapshot = _snapshot(reference)
    name = reference.file if reference.file in snapshot.files else None
    name = name or choose(list(snapshot.files), reference.file or variant, reference.url)
    path = _download(reference, snapshot, name)
    return path, _hift(reference, snapshot, name, path) if vocoder == HIFT else None


# ---- the cache ----


@dataclass(frozen=True)
class _Snapshot:
    """A commit and its files, each with the SHA-256 or Git's SHA-1 of its content, or an empty string."""

    commit: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class _Cache:
    """One model of one repository, in the cache or not."""

    folder: Path
    reference: Reference
    variant: str | float | None
    vocoder: str | None
    precision: str

    def find(self) -> Path | None:
        """Asks nobody."""
        snapshot = self._recorded()
        if snapshot is None:
            return None
        name = choose(list(snapshot.files), self.variant, self._where(snapshot.commit))
        for precision in dict.fromkeys((self.precision, "fp32")):
            path = _intact(self._entry(snapshot.commit, name, precision))
            if path is not None:
                return path
        return None

    def fill(self) -> Path:
        """Fetches and converts. Only one process at a time may."""
        snapshot = self._recorded() or _snapshot(self.reference)
        name = choose(list(snapshot.files), self.variant, self._where(snapshot.commit))
        folder = self.folder / snapshot.commit
        folder.mkdir(exist_ok=True)
        for left in folder.glob(".*.tmp"):  # of a process that was killed
            left.unlink(missing_ok=True)
        source = _download(self.reference, snapshot, name)
        hift = _hift(self.reference, snapshot, name, source) if self.vocoder == HIFT else None
        entry = self._entry(snapshot.commit, name, self.precision)
        path = self._converted(source, hift, entry, {name: snapshot.files[name]})
        write_atomically(folder / "files.json", _json({"commit": snapshot.commit, "files": dict(snapshot.files)}))
        if not _COMMIT.fullmatch(self.reference.revision):
            self._ref().parent.mkdir(exist_ok=True)
            write_atomically(self._ref(), snapshot.commit.encode())
        return path

    def _converted(self, source: Path, hift: Path | None, entry: Path, origin: Mapping[str, str]) -> Path:
        """The model file, made unless the source is one; and the note beside it of what it is."""
        kind = vocoder_of(source)
        if kind is not None and self.vocoder in (None, kind):
            path = source
        else:
            from secousti_native.convert import convert_checkpoint

            path = entry.with_suffix(".safetensors")
            try:
                convert_checkpoint(source, path, hift or self.vocoder, precision=self.precision)
            except ModelFormatError as error:
                raise type(error)(f"{replace(self.reference, file=None).url}: {error}") from None
        status = path.stat()
        note = {
            "path": path.name if path.parent == entry.parent else os.fspath(path),
            "bytes": status.st_size,
            "modified_ns": status.st_mtime_ns,
            "sha256": _sha256(path),
            "repository": self.reference.name,
            "source": dict(origin),
        }
        write_atomically(entry, _json(note))
        return path

    def _where(self, commit: str) -> str:
        return replace(self.reference, revision=commit, file=None).url

    def _ref(self) -> Path:
        return self.folder / "refs" / quote(self.reference.revision, safe="")

    def _recorded(self) -> _Snapshot | None:
        commit = self.reference.revision
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # damaged notes are as good as none
            if not _COMMIT.fullmatch(commit):
                commit = self._ref().read_text(encoding="utf-8")
            note = json.loads((self.folder / commit / "files.json").read_text(encoding="utf-8"))
            return _Snapshot(str(note["commit"]), dict(note["files"]))
        return None

    def _entry(self, commit: str, name: str, precision: str) -> Path:
        own = SPECTRAL if name.endswith(CHECKPOINTS) else "own"
        return self.folder / commit / f"{quote(name, safe='')}+{self.vocoder or own}+{precision}.json"


def _intact(entry: Path) -> Path | None:
    """The model file that a note describes, if it is there and what it was. Hashed only if its date has changed."""
    try:
        note = json.loads(entry.read_text(encoding="utf-8"))
        path = entry.parent / note["path"]
        status = path.stat()
        same = status.st_size == note["bytes"]
        if same and status.st_mtime_ns != note["modified_ns"]:
            same = _sha256(path) == note["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return path if same else None


def _hift(reference: Reference, snapshot: _Snapshot, model: str, path: Path) -> Path | None:
    """The vocoder beside the file ``model`` of a repository, which lies at ``path`` here; None if that has it in it."""
    if vocoder_of(path) == HIFT:
        return None
    name = (PurePosixPath(model).parent / HIFT_FILE).as_posix()
    if name not in snapshot.files:
        where = replace(reference, revision=snapshot.commit, file=None).url
        raise FileNotFoundError(errno.ENOENT, f"vocoder='hift' needs {name}, which the repository lacks", where)
    return _download(reference, snapshot, name)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time. The system lets go of the lock of a process that dies."""
    filelock = require("filelock", "fetching models", '"secousti-native[hub]"')
    lock = filelock.FileLock(path)
    try:
        lock.acquire()
    except NotImplementedError:  # a file system without locks: work may be done twice, files still appear whole
        yield
        return
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Says of errors in the cache how to have another one."""
    try:
        yield
    except OSError as error:
        name = error.filename
        full = name is None and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or (name is not None and Path(os.fsdecode(name)).is_relative_to(folder)):
            hint = f"{error.strerror}; SECOUSTI_CACHE names another folder for converted models"
            raise OSError(error.errno, hint, os.fspath(folder) if name is None else name) from None
        raise


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    _feed(digest, path)
    return digest.hexdigest()


def _feed(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)


# ---- the Hub ----


def _library() -> Any:
    return require("huggingface_hub", "fetching models", '"secousti-native[hub]"')


def _snapshot(reference: Reference) -> _Snapshot:
    """What a revision is now; without the network, what the Hub's own cache knows of it."""
    hub = _library()
    try:
        with explained(reference.name, reference.url):
            info = hub.HfApi().model_info(reference.name, revision=reference.revision, files_metadata=True)
    except ConnectionError:
        local = _local_snapshot(hub, reference)
        if local is None:
            raise
        return local
    return _Snapshot(info.sha, {file.rfilename: _checksum(file) for file in info.siblings or ()})


def _checksum(file: Any) -> str:
    """Of a file in a listing: SHA-256 if it lies in large file storage, else Git's SHA-1."""
    lfs = file.lfs
    found = (lfs.get("sha256") if isinstance(lfs, Mapping) else getattr(lfs, "sha256", None)) if lfs else file.blob_id
    return str(found or "")


def _local_snapshot(hub: Any, reference: Reference) -> _Snapshot | None:
    try:
        folder = Path(hub.snapshot_download(reference.name, revision=reference.revision, local_files_only=True))
    except Exception as error:  # it may know that other files of the repository are missing
        known = getattr(error, "snapshot_path", None)
        if known is None:
            return None
        folder = Path(known)
    files = {path.relative_to(folder).as_posix(): _blob(path) for path in folder.rglob("*") if path.is_file()}
    return _Snapshot(folder.name, files) if files else None


def _blob(path: Path) -> str:
    """The checksum that names a file in the Hub's cache, which its link in a snapshot leads to."""
    name = os.path.basename(os.readlink(path)) if path.is_symlink() else ""  # noqa: PTH115, PTH119
    return name if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) else ""


def _download(reference: Reference, snapshot: _Snapshot, name: str) -> Path:
    """A file of the repository in the Hub's cache, its content checked."""
    whole = replace(reference, file=name)
    with explained(whole.name, whole.url):
        path = Path(_library().hf_hub_download(reference.name, name, revision=snapshot.commit))
    expected = snapshot.files.get(name) or _blob(path)
    digest = hashlib.sha256()
    if len(expected) == 40:
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    _feed(digest, path)
    if expected and digest.hexdigest() != expected:
        for damaged in (path.resolve(), path):
            damaged.unlink(missing_ok=True)
        raise ModelFormatError(
            f"{whole.url}: what arrived is damaged: its checksum is {digest.hexdigest()}, expected {expected}. It was "
            "deleted; try again. If that does not help, something on the way changes the file"
        )
    return path
