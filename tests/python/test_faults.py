"""What happens to files when the disk is full, a process is killed, or two write at once."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SPEECH
from test_cli import COMMAND

from secousti_native._files import write_atomically

SIZE = 3 << 20


def write_for_ever(path: Path, first: int) -> None:
    for i in range(1 << 30):
        write_atomically(path, bytes([(first + i) % 200 + 1]) * SIZE)


def whole(path: Path) -> bool:
    """One of the contents that write_for_ever writes, all of it."""
    data = path.read_bytes()
    return len(data) == SIZE and data.count(data[:1]) == SIZE


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"\1" * SIZE)
    waits = random.Random(1)
    before = path.stat().st_ino
    written = 0
    for attempt in range(5):
        writer = multiprocessing.get_context("spawn").Process(target=write_for_ever, args=(path, attempt))
        writer.start()
        deadline = time.monotonic() + 60
        while path.stat().st_ino == before and time.monotonic() < deadline:
            time.sleep(0.001)  # until it is at work
        written += path.stat().st_ino != before
        time.sleep(waits.uniform(0, 0.03))
        writer.kill()
        writer.join()
        before = path.stat().st_ino
        assert whole(path)
    assert written == 5
    # What a killed process had begun stays beside the file, under a name that nothing reads.
    left = [p.name for p in tmp_path.iterdir() if p != path]
    assert len(left) <= 5
    assert all(name.startswith(".file.") and name.endswith(".tmp") for name in left)


def test_two_writers_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"\1" * SIZE)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_for_ever, args=(path, first)) for first in (1, 100)]
    for writer in writers:
        writer.start()
    seen = set()
    deadline = time.monotonic() + 60
    while len(seen) < 10 and time.monotonic() < deadline:
        assert whole(path)
        seen.add(path.stat().st_ino)
    for writer in writers:
        writer.kill()
        writer.join()
    assert len(seen) >= 10


def encode(target: Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, "encode", str(SPEECH), "-o", str(target), "-f"]
    return subprocess.run(command, capture_output=True, check=False, timeout=120, **options)  # type: ignore[call-overload,no-any-return]


def expect_old_file(result: subprocess.CompletedProcess[bytes], target: Path, reason: bytes) -> None:
    assert result.returncode == 1, result.stderr
    assert reason in result.stderr
    assert b"Traceback" not in result.stderr
    assert target.read_bytes() == b"old"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def few_bytes() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    target = tmp_path / "speech.sec"
    target.write_bytes(b"old")
    expect_old_file(encode(target, preexec_fn=few_bytes), target, b"File too large")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs tmpfs")
def test_a_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    target = small_disk / "speech.sec"
    target.write_bytes(b"old")  # one page: the disk is full
    expect_old_file(encode(target), target, b"No space left")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_keeps_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    target = folder / "speech.sec"
    target.write_bytes(b"old")
    folder.chmod(0o555)
    result = encode(target)
    folder.chmod(0o755)
    expect_old_file(result, target, b"ermission denied")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_place_that_takes_no_files() -> None:
    result = encode(Path("/proc/speech.sec"))
    assert result.returncode == 1
    assert b"Traceback" not in result.stderr
    assert b"/proc/speech.sec" in result.stderr
