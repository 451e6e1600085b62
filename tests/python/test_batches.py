"""Batches that go on: resuming, names of every kind, outputs that are checked first, progress, pictures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import SPEECH
from test_cli import Floats, document, said, secousti, tree
from test_cli_processes import COMMAND, run

from secousti_native import Codec, Encoded, audio
from secousti_native._files import remove_leftovers, write_atomically
from secousti_native.cli import batch, files


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tree(folder)}


def ages(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_mtime_ns for name in tree(folder)}


@pytest.fixture
def coded(tmp_path: Path, clips: Path) -> Path:
    """The tokens of `clips`."""
    document("encode", clips, "-o", tmp_path / "coded")
    return tmp_path / "coded"


# ---- going on ----


def test_tokens_that_are_whole_are_passed_over(tmp_path: Path, clips: Path, coded: Path) -> None:
    expected, before = contents(coded), ages(coded)
    (coded / "a.sec").write_bytes(expected["a.sec"][:-10])
    document("encode", clips / "b" / "c.flac", "-o", coded / "b" / "c.sec", "-f", "-m", "default-21")
    out = document("encode", clips, "-o", coded, "--skip-existing")
    assert [Path(row["output"]).name for row in out["results"]] == ["a.sec", "c.sec"]
    assert [Path(row["output"]).name for row in out["skipped"]] == ["e.sec"]
    assert (out["summary"]["done"], out["summary"]["skipped"], out["summary"]["failed"]) == (2, 1, 0)
    assert contents(coded) == expected
    assert ages(coded)["b/d/e.sec"] == before["b/d/e.sec"]
    (row,) = document("encode", clips / "a.wav", "-o", coded / "a.sec", "--skip-existing")["skipped"]
    assert row["output"] == str(coded / "a.sec")


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "aiff"])
def test_audio_that_is_whole_is_passed_over(tmp_path: Path, coded: Path, ending: str) -> None:
    sound = tmp_path / "sound"
    command = ("decode", coded, "-o", sound, "--format", ending, "--skip-existing")
    assert len(document(*command)["results"]) == 3
    expected = contents(sound)
    assert len(document(*command)["skipped"]) == 3
    cut = sound / f"a.{ending}"
    cut.write_bytes(expected[cut.name][: len(expected[cut.name]) // 2])
    out = document(*command)
    assert [row["output"] for row in out["results"]] == [str(cut)]
    assert len(audio.load(cut)[0]) == 22050
    # Other settings are other results.
    assert len(document(*command, "--seed", 5)["results"]) == 3
    assert contents(sound)[cut.name] != expected[cut.name]


def test_roundtrip_and_voice_go_on(tmp_path: Path, clips: Path) -> None:
    trip = ("roundtrip", clips, "-o", tmp_path / "trip", "--skip-existing")
    assert len(document(*trip)["results"]) == 3
    assert len(document(*trip)["skipped"]) == 3
    assert len(document(*trip, "-m", "default-21")["results"]) == 3
    said_by_a = ("voice", clips / "b", clips / "a.wav", "-o", tmp_path / "v", "--skip-existing")
    assert len(document(*said_by_a)["results"]) == 2
    assert len(document(*said_by_a)["skipped"]) == 2
    by_another = ("voice", clips / "b", clips / "b" / "c.flac", "-o", tmp_path / "v", "--skip-existing")
    assert len(document(*by_another)["results"]) == 2


def test_files_of_others_are_not_made_again(tmp_path: Path, clips: Path, coded: Path) -> None:
    (coded / "a.sec").write_text("precious")
    result = secousti("encode", clips, "-o", coded, "--skip-existing")
    assert result.exit_code == 1
    assert "-f overwrites it" in said(result)
    assert (coded / "a.sec").read_text() == "precious"
    document("encode", clips, "-o", coded, "--skip-existing", "-f")
    assert len(Encoded.load(coded / "a.sec")) > 0
    audio.save(tmp_path / "a.wav", np.full(3000, 0.1, np.float32), 22050)
    precious = (tmp_path / "a.wav").read_bytes()
    result = secousti("decode", coded / "a.sec", "-o", tmp_path / "a.wav", "--skip-existing")
    assert result.exit_code == 1
    assert (tmp_path / "a.wav").read_bytes() == precious


def test_what_cannot_go_on_is_said(tmp_path: Path, clips: Path, coded: Path) -> None:
    assert "needs --output" in said(secousti("roundtrip", clips, "--skip-existing"))
    result = secousti("decode", coded, "-o", tmp_path / "x", "--format", "w64", "--skip-existing")
    assert result.exit_code == 2
    assert "cannot say what made them" in said(result)
    assert "--skip-existing goes on" in said(secousti("encode", clips, "-o", coded))


def test_leftovers_of_killed_processes(tmp_path: Path, clips: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    name = "\N{HIRAGANA LETTER A}" * 83 + ".sec"  # 253 bytes: a temporary file's name must not be longer
    write_atomically(out / name, b"x")
    (out / name).unlink()
    left = [out / ".a.sec.0123456789ab.tmp", out / f".{os.fsdecode(os.fsencode(name)[:200])}.0123456789ab.tmp"]
    others = [out / ".b.sec.0123456789ab.tmp", out / ".a.sec.tmp", out / "a.sec.0123456789ab.tmp"]
    for path in left + others:
        path.write_bytes(b"half")
    held = out / ".a.sec.ba9876543210.tmp"
    fcntl = pytest.importorskip("fcntl")
    with held.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert remove_leftovers([out / "a.sec", out / name, out / "none" / "x.sec"]) == 2
    assert tree(out) == sorted(path.name for path in [*others, held])
    document("encode", clips / "a.wav", "-o", f"{out}/", "--skip-existing")
    assert not held.exists()


# ---- names ----


def test_names_are_taken_as_they_are(tmp_path: Path, speech: Floats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["a[1].wav", "b*.wav", "c?.wav", "d:x:e.wav", "[bold]f.wav", "-g.wav", " h .wav", "i\nj.wav"]
    folder = tmp_path / "in[0]"
    folder.mkdir()
    for name in [*names, "a1.wav", "bcd.wav"]:
        audio.save(folder / name, speech[:8000], 22050)
    for name in names:
        (row,) = document("encode", f"in[0]/{name}", "-o", "one.sec", "-f")["results"]
        assert row["input"] == f"in[0]/{name}"
    assert len(document("encode", "in[0]/*.wav", "-o", "many")["results"]) == len(names) + 2
    assert "a[1].sec" in tree(tmp_path / "many")
    text = secousti("encode", "in[0]", "-o", "again").stdout
    assert all(name in text for name in names)
    assert "gone:x:y.wav" in secousti("encode", "gone:x:y.wav", "-o", "z.sec").stderr
    assert not (tmp_path / "z.sec").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_names_that_are_not_utf8(tmp_path: Path, speech: Floats) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    audio.save(folder / os.fsdecode(b"caf\xe9.wav"), speech[:8000], 22050)
    (folder / os.fsdecode(b"bad\xe9.wav")).write_bytes(b"no audio")
    for encoding in ("utf-8", "ascii"):
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        result = run("encode", folder, "-o", tmp_path / encoding, "--json", check=False, env=environment)
        assert result.returncode == 1
        out = json.loads(result.stdout)
        assert os.fsencode(out["results"][0]["input"]) == os.fsencode(folder) + b"/caf\xe9.wav"
        assert os.fsencode(out["failed"][0]["input"]).endswith(b"bad\xe9.wav")
        assert [os.fsencode(p.name) for p in (tmp_path / encoding).iterdir()] == [b"caf\xe9.sec"]
        text = run("encode", folder, "-o", tmp_path / encoding, "-f", check=False, env=environment)
        assert b"Traceback" not in text.stderr
        assert b"caf\\udce9.wav" in text.stdout


def test_linked_folders_once(tmp_path: Path, clips: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (clips / "a.wav").rename(outside / "o.wav")
    (clips / "b" / "up").symlink_to(clips)
    (clips / "0").symlink_to(clips / "b")
    (clips / "link").symlink_to(outside)
    (outside / "back").symlink_to(clips)
    (clips / "f.wav").symlink_to(outside / "o.wav")
    (clips / "._f.wav").write_bytes(b"what macOS leaves")
    document("encode", clips, "-o", tmp_path / "out")
    assert tree(tmp_path / "out") == ["b/c.sec", "b/d/e.sec", "f.sec", "link/o.sec"]
    document("encode", clips / "**" / "*.wav", "-o", tmp_path / "glob")
    assert tree(tmp_path / "glob") == ["b/d/e.sec", "f.sec", "link/o.sec"]


def test_results_inside_the_folder_are_no_inputs(clips: Path) -> None:
    for _ in range(2):
        assert len(document("roundtrip", clips, "-o", clips / "out", "-f")["results"]) == 3
    assert "out/out" not in "".join(tree(clips))


def test_a_folder_that_cannot_be_read_is_reported(tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("d"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [job.source.name for job in files.plan([str(clips)], None, audio.EXTENSIONS, ".sec")] == [
        "a.wav", "c.flac", "d",
    ]  # fmt: skip


# ---- outputs ----


def test_outputs_are_checked_before_work(tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    sec = tmp_path / "x.sec"
    document("encode", SPEECH, "-o", sec)
    monkeypatch.setattr(Codec, "from_pretrained", lambda *_, **__: pytest.fail("work has begun"))
    wrong = [
        (("roundtrip", SPEECH, "-o", tmp_path / "l.mp3"), "l.mp3"),
        (("decode", sec, "-o", tmp_path / "plain"), "plain"),
        (("decode", sec, "-o", f"{tmp_path}/d/", "--format", "opus"), ".opus"),
        (("voice", SPEECH, SPEECH, "-o", tmp_path / "v.sec"), "v.sec"),
        (("encode", SPEECH, "-o", tmp_path / "y.wav"), "tokens are no audio"),
        (("encode", SPEECH, "-o", tmp_path / "file" / "x.sec"), "a folder is needed"),
        (("encode", clips, "-o", tmp_path / "file" / "deep" / "er"), "a folder is needed"),
        (("encode", clips, "-o", tmp_path / "all.sec"), "several results need a folder"),
        (("roundtrip", SPEECH, "--plot", tmp_path / "p.gif"), "p.gif"),
        (("encode", SPEECH, "-o", tmp_path / "z.sec", "--json", "--jsonl"), "not together"),
    ]
    for arguments, words in wrong:
        result = secousti(*arguments)
        assert result.exit_code == 2, arguments
        assert words in said(result)
    assert tree(tmp_path) == ["clips/a.wav", "clips/b/c.flac", "clips/b/d/e.wav", "clips/notes.txt", "file", "x.sec"]


def test_a_slash_makes_a_folder(tmp_path: Path) -> None:
    document("encode", SPEECH, "-o", f"{tmp_path}/new/deep/")
    document("decode", tmp_path / "new" / "deep" / "speech.sec", "-o", f"{tmp_path}/new.wav/")
    assert tree(tmp_path) == ["new.wav/speech.wav", "new/deep/speech.sec"]


def test_closed_stdout_is_no_failure(tmp_path: Path, clips: Path) -> None:
    def shell(command: str) -> subprocess.CompletedProcess[bytes]:
        started = " ".join(COMMAND)
        return subprocess.run(["sh", "-c", f"{started} {command}"], capture_output=True, check=False, timeout=120)

    result = shell(f"encode {clips} -o {tmp_path}/1 >&-")
    assert (result.returncode, result.stderr) == (0, b"")
    result = shell(f"encode {clips} -o {tmp_path}/2 --jsonl | head -n 1")
    assert json.loads(result.stdout)["status"] == "done"
    assert result.stderr == b""
    assert len(tree(tmp_path / "1")) == 3
    deadline = time.monotonic() + 30  # the batch goes on when `head` has ended
    while len(tree(tmp_path / "2")) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_stdout_loses_no_result(tmp_path: Path, clips: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [*COMMAND, "encode", str(clips), "-o", str(tmp_path / "out"), "--jsonl"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert result.returncode == 1
    assert result.stderr == b"error: stdout: No space left on device\n"
    assert len(tree(tmp_path / "out")) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_as_input(tmp_path: Path, clips: Path) -> None:
    os.mkfifo(tmp_path / "fifo.wav")
    sound = (clips / "a.wav").read_bytes()
    process = subprocess.Popen([*COMMAND, "encode", tmp_path / "fifo.wav", "-o", tmp_path / "f.sec", "--skip-existing"])
    (tmp_path / "fifo.wav").write_bytes(sound)
    assert process.wait(60) == 0
    run("encode", "/dev/stdin", "-o", tmp_path / "s.sec", input=sound, check=True)
    run("encode", clips / "a.wav", "-o", tmp_path / "a.sec", check=True)
    assert (tmp_path / "f.sec").read_bytes() == (tmp_path / "s.sec").read_bytes() == (tmp_path / "a.sec").read_bytes()


# ---- failures, signals, progress ----


def test_a_bug_costs_one_file(clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def work(job: files.Job, _: batch.Bar) -> dict[str, float]:
        if job.source.name == "c.flac":
            raise KeyError("a bug")
        return {"seconds": 1.0}

    jobs = files.plan([str(clips)], None, audio.EXTENSIONS, ".sec")
    with pytest.raises(batch.typer.Exit) as end:
        batch.run(jobs, work, show=batch.Show.json, columns=())
    assert end.value.exit_code == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)["results"]) == 2
    assert json.loads(out)["failed"][0]["error"] == "internal error: KeyError: 'a bug'"
    assert "Traceback" in err


def test_lines_of_json_come_at_once(tmp_path: Path, clips: Path) -> None:
    (clips / "b" / "bad.wav").write_bytes(b"no audio")
    result = secousti("encode", clips, "-o", tmp_path / "out", "--jsonl")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["status"] for line in lines] == ["done", "failed", "done", "done", "summary"]
    assert lines[-1]["summary"]["seconds"] == pytest.approx(3.0)
    assert lines[-1]["summary"]["real_time_factor"] > 0
    text = secousti("encode", clips, "-o", tmp_path / "out", "--skip-existing")
    assert text.stdout.splitlines()[-1].startswith("0 files done, 3 skipped, 1 failed; 0 s of audio")
    assert text.stdout.count("finished before") == 3


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_that_ask_to_end(tmp_path: Path, speech: Floats, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    audio.save(folder / "1.wav", speech[:22050], 22050)
    audio.save(folder / "2.wav", np.tile(speech, 60), 22050)
    process = subprocess.Popen(
        [*COMMAND, "encode", folder, "-o", tmp_path / "out", "--jsonl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["status"] == "done"
    process.send_signal(getattr(signal, name))
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + getattr(signal, name)
    assert json.loads(stdout)["interrupted"] is True
    assert b"1 of 2 files done, 1 not" in stderr
    assert tree(tmp_path / "out") == ["1.sec"]


# ---- models, threads, pictures ----


def test_the_right_model_is_named(tmp_path: Path, codec: Codec, codec21: Codec) -> None:
    document("encode", SPEECH, "-o", tmp_path / "x.sec", "-m", "default-21")
    result = secousti("decode", tmp_path / "x.sec", "-o", tmp_path / "x.wav")
    assert result.exit_code == 1
    assert "--model default-21" in said(result)
    assert f"{codec21.identity:016x}" in said(result)
    foreign = Encoded(np.zeros(3, np.int64), np.zeros(codec.dimension, np.float32), 600, 77, 22050, 256, 6561)
    with pytest.raises(ValueError, match=r"not embedded \(000000000000004d\)"):
        codec.decode(foreign)


def test_many_threads(tmp_path: Path) -> None:
    document("encode", SPEECH, "-o", tmp_path / "1.sec")
    document("encode", SPEECH, "-o", tmp_path / "512.sec", "-t", "512")
    assert (tmp_path / "1.sec").read_bytes() == (tmp_path / "512.sec").read_bytes()


def test_pictures(tmp_path: Path, clips: Path) -> None:
    pytest.importorskip("matplotlib")
    (row,) = document("roundtrip", SPEECH, "--plot", tmp_path / "pair.png")["results"]
    assert row["plot"] == str(tmp_path / "pair.png")
    assert (tmp_path / "pair.png").read_bytes().startswith(b"\x89PNG")
    (clips / "a.wav").rename(clips / "$a_^.wav")
    document("roundtrip", clips, "-o", tmp_path / "out", "--plot", tmp_path / "seen")
    assert tree(tmp_path / "seen") == ["$a_^.png", "b/c.png", "b/d/e.png"]
    (tmp_path / "seen" / "b" / "c.png").unlink()
    again = document("roundtrip", clips, "-o", tmp_path / "out", "--plot", tmp_path / "seen", "--skip-existing")
    assert (len(again["results"]), len(again["skipped"])) == (1, 2)


def test_spectrogram_and_level() -> None:
    from secousti_native.cli import picture

    sine = np.sin(2 * np.pi * 1000.0 * np.arange(22050 * 60) / 22050.0).astype(np.float32)
    bands = picture.spectrogram(sine)
    assert bands.shape[0] == 513
    assert bands.shape[1] <= 2000
    assert np.all(np.argmax(bands[:, 1:-1], axis=0) == round(1000 * 1024 / 22050))
    np.testing.assert_allclose(bands[:, 5].max(), 0.0, atol=1.5)
    np.testing.assert_allclose(picture.level(sine)[:-1], -3.01, atol=0.1)
    assert picture.level(np.zeros(5, np.float32)).tolist() == [-90.0]


def test_pictures_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    result = secousti("roundtrip", SPEECH, "--plot", "p.png")
    assert result.exit_code == 1
    assert "secousti-native[eval]" in said(result)
