"""What went wrong with the Hub, in terms of files, permissions and connections, and what to do about it."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from secousti_native._optional import require

#: Exceptions of HTTP libraries that mean that an answer stopped in its middle.
_BROKEN = {"RemoteProtocolError", "ReadError", "ChunkedEncodingError", "IncompleteRead", "ReadTimeout"}


@contextlib.contextmanager
def explained(repository: str, url: str) -> Iterator[None]:
    """Raises what huggingface_hub raises as built-in exceptions whose message says what to do.

    ``PermissionError``: gated or private. ``FileNotFoundError``: no such repository, revision or file.
    ``ConnectionError``: the Hub cannot be reached, or a download broke off. ``OSError``: a full disk, and the like.
    """
    try:
        yield
    except Exception as error:
        translated = _translated(error, repository, url)
        if translated is error:
            raise
        raise translated from error


def _translated(error: Exception, repository: str, url: str) -> Exception:
    hub = require("huggingface_hub.utils", "fetching models", '"secousti-native[hub]"')
    chain = _chain(error)
    page = f"https://huggingface.co/{repository}"
    log_in = "log in with `hf auth login`, or set HF_TOKEN"
    for cause in chain:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(cause, hub.GatedRepoError):
            return PermissionError(errno.EACCES, f"gated: accept its terms at {page}, then {log_in}", url)
        if isinstance(cause, hub.RepositoryNotFoundError):
            return FileNotFoundError(
                errno.ENOENT, f"no such repository, or a private one; check its name, or {log_in}", url
            )
        if isinstance(cause, hub.RevisionNotFoundError):
            return FileNotFoundError(errno.ENOENT, f"no such revision; {page} lists branches, tags and commits", url)
        if isinstance(cause, hub.EntryNotFoundError) and not isinstance(cause, hub.LocalEntryNotFoundError):
            return FileNotFoundError(errno.ENOENT, f"no such file in the repository; see {page}/tree/main", url)
        if status in (401, 403):
            return PermissionError(errno.EACCES, f"access refused ({status}); see {page}, then {log_in}", url)
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "the disk is full; HF_HOME names another folder for downloads"
            return OSError(cause.errno, hint, cause.filename or url)
    if any(type(cause).__name__ == "OfflineModeIsEnabled" for cause in chain):
        return ConnectionError(f"{url}: not in the cache, and HF_HUB_OFFLINE forbids to fetch it; unset it once")
    if "Consistency check" in str(error) or any(type(cause).__name__ in _BROKEN for cause in chain):
        return ConnectionError(f"{url}: the download broke off and nothing of it was kept; try again")
    kinds = {kind.__name__ for cause in chain for kind in type(cause).__mro__}
    if not kinds & {"OSError", "HTTPError"} or (isinstance(error, OSError) and error.errno is not None):
        return error  # no matter of the network
    lines = str(chain[-1]).strip().splitlines() or [type(chain[-1]).__name__]
    return ConnectionError(
        f"{url}: not in the cache, and the Hub cannot be reached ({lines[0]}); go online once, or download the files "
        "elsewhere and give their path"
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The exception and what led to it, the first cause last."""
    found = [error]
    while True:
        cause = found[-1].__cause__ or found[-1].__context__
        if cause is None or cause in found:
            return found
        found.append(cause)
