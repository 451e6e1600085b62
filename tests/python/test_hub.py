"""Models of the Hub: fetched and converted once, then opened without a request. The Hub is a server on loopback."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import PUBLISHED, Hub, published_files, saved, serve, tiny_config, tiny_hift, tiny_state
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
huggingface_hub = pytest.importorskip("huggingface_hub")

from huggingface_hub import constants, file_download  # noqa: E402

from secousti_native import Codec, ModelFormatError, _hub  # noqa: E402
from secousti_native.cli.app import app  # noqa: E402
from secousti_native.convert import convert_checkpoint, convert_to_bytes  # noqa: E402
from secousti_native.reference.codec import SecoustiCodec  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
OPEN = "import sys; from secousti_native import Codec; print(Codec.from_pretrained(sys.argv[1], variant='86').name)"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return published_files()


@pytest.fixture
def hub(tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The published repository, and empty caches; this process and those that it starts use them."""
    hub = Hub(dict(files))
    server = serve(hub)
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": tmp_path / "hf", "SECOUSTI_CACHE": tmp_path / "cache"}
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    # The library read the environment when it was imported.
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    yield hub
    server.shutdown()
    server.server_close()


def left(folder: Path) -> list[str]:
    """What is in a cache, without locks and tags; nothing of it may be half of something."""
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return [name for name in found if not re.search(r"(^|/)(\.locks/.*|lock|CACHEDIR\.TAG|\.gitignore)$", name)]


def models(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache").rglob("*.safetensors"))


def test_fetched_and_converted_once_then_opened_without_a_request(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = Codec.from_pretrained(PUBLISHED, variant="86")
    assert (codec.name, codec.info["vocoder"]) == ("secousticodec-86", "spectral")
    assert f"GET /api/models/{PUBLISHED}/revision/main" in hub.requests
    assert not any("hift" in request or "21_5" in request or "README" in request for request in hub.requests)
    before = list(hub.requests)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # not even imported
    monkeypatch.setitem(sys.modules, "filelock", None)
    again = Codec.from_pretrained(PUBLISHED, variant="86")
    assert Codec.from_pretrained(PUBLISHED, variant=86, vocoder="spectral", revision=hub.commit).config == codec.config
    assert Codec.from_pretrained(f"hf://{PUBLISHED}/86", precision="int8").precision == "int8"  # of the fp32 file
    assert hub.requests == before
    pcm = np.random.default_rng(2).standard_normal(22050).astype(np.float32) * 0.1
    np.testing.assert_array_equal(codec.decode(codec.encode(pcm)), again.decode(again.encode(pcm)))


def test_a_cached_model_has_the_bits_of_a_converted_one(hub: Hub, tmp_path: Path, files: dict[str, bytes]) -> None:
    Codec.from_pretrained(PUBLISHED, variant="21.5", vocoder="hift")
    (path,) = (tmp_path / "cache").rglob("*.safetensors")
    assert path.read_bytes() == convert_to_bytes(tiny_state((2, 2)), tiny_hift())
    note = json.loads(path.with_suffix(".json").read_text())
    assert note["sha256"] == _hub._sha256(path)
    ref = tmp_path / "cache" / "hub-1" / PUBLISHED.replace("/", "--") / "refs" / "main"
    assert ref.read_text() == hub.commit == path.parent.name


def test_precision_is_stored(hub: Hub, tmp_path: Path) -> None:
    assert Codec.from_pretrained(PUBLISHED, variant="86", precision="int8").precision == "int8"
    assert [re.search(r"\+(\w+)\.safetensors$", name).group(1) for name in models(tmp_path)] == ["int8"]  # type: ignore[union-attr]
    small = next((tmp_path / "cache").rglob("*.safetensors")).stat().st_size
    assert Codec.from_pretrained(PUBLISHED, variant="86").precision == "fp32"
    assert len(models(tmp_path)) == 2
    assert small < max(p.stat().st_size for p in (tmp_path / "cache").rglob("*.safetensors"))


def test_a_branch_stays_at_its_commit(hub: Hub, tmp_path: Path) -> None:
    Codec.from_pretrained(PUBLISHED, variant="86")
    first, hub.commit = hub.commit, "f" * 40
    hub.files["secousticodec_86_hz.pt"] = saved(tiny_state((2, 2)))
    assert Codec.from_pretrained(PUBLISHED, variant="86").frame_rate == pytest.approx(86.13, abs=0.01)
    assert Codec.from_pretrained(PUBLISHED, variant="86", revision=hub.commit).frame_rate < 22
    assert Codec.from_pretrained(f"hf://{PUBLISHED}@next/86").frame_rate < 22
    assert Codec.from_pretrained(PUBLISHED, variant="86", revision=first).frame_rate > 86
    with pytest.raises(ValueError, match="names another"):
        Codec.from_pretrained(f"hf://{PUBLISHED}@next/86", revision="main")


def test_our_own_files_open_as_they_are(hub: Hub, tmp_path: Path) -> None:
    hub.name = "somebody/speech"
    hub.files = {"model.safetensors": convert_to_bytes(tiny_state()), "hift.pt": saved(tiny_hift())}
    codec = Codec.from_pretrained("somebody/speech")
    assert models(tmp_path) == []  # the Hub's cache has it already
    before = list(hub.requests)
    assert Codec.from_pretrained("hf://somebody/speech").config == codec.config
    assert hub.requests == before
    assert Codec.from_pretrained("somebody/speech", vocoder="hift").info["vocoder"] == "hift"
    hub.name, hub.files = "somebody/hift", {"v/a.safetensors": convert_to_bytes(tiny_state(), tiny_hift())}
    assert Codec.from_pretrained("somebody/hift").info["vocoder"] == "hift"
    assert Codec.from_pretrained("somebody/hift", vocoder="hift").info["vocoder"] == "hift"
    assert Codec.from_pretrained("hf://somebody/hift/v/a.safetensors", vocoder="spectral").info["vocoder"] == "spectral"


def test_vocoders_from_elsewhere(hub: Hub, tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "secousticodec_86_hz.pt").write_bytes(files["secousticodec_86_hz.pt"])
    (tmp_path / "other.pt").write_bytes(files["hift.pt"])
    for model, options in (
        (PUBLISHED, {"variant": "86", "vocoder": tmp_path / "other.pt"}),
        (PUBLISHED, {"variant": "86", "vocoder": tiny_hift()}),
        (tmp_path / "secousticodec_86_hz.pt", {"vocoder": f"hf://{PUBLISHED}/hift.pt"}),
        (tmp_path / "secousticodec_86_hz.pt", {"vocoder": f"hf://{PUBLISHED}"}),
    ):
        opened = Codec.from_pretrained(model, **options)  # type: ignore[arg-type]
        assert opened.info["vocoder"] == "hift"
    assert models(tmp_path) == []


def test_offline_with_what_others_downloaded(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub.snapshot_download(PUBLISHED)
    before = list(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    codec = Codec.from_pretrained(PUBLISHED, variant="86", vocoder="hift")
    assert codec.info["vocoder"] == "hift"
    assert hub.requests == before
    assert next((tmp_path / "cache").rglob("*.safetensors")).parent.name == hub.commit


def test_damage_in_the_cache_is_noticed(hub: Hub, tmp_path: Path) -> None:
    Codec.from_pretrained(PUBLISHED, variant="86")
    (path,) = (tmp_path / "cache").rglob("*.safetensors")
    whole = path.read_bytes()
    for damaged in (whole[:-4], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(damaged)
        Codec.from_pretrained(PUBLISHED, variant="86")
        assert path.read_bytes() == whole
    os.utime(path)  # copied or restored: the same content
    path.with_suffix(".json").write_text(path.with_suffix(".json").read_text())
    before = list(hub.requests)
    Codec.from_pretrained(PUBLISHED, variant="86")
    assert hub.requests == before
    for note in (path.with_suffix(".json"), path.parent / "files.json"):
        note.write_text("{")
        Codec.from_pretrained(PUBLISHED, variant="86")
        assert json.loads(note.read_text())


# ---- errors ----


def nothing_left(tmp_path: Path) -> None:
    """No half of anything, in either cache, and no model."""
    assert models(tmp_path) == []
    found = left(tmp_path / "cache") if (tmp_path / "cache").exists() else []
    assert not [name for name in found if name.endswith(".tmp")]
    hf = left(tmp_path / "hf") if (tmp_path / "hf").exists() else []
    assert not [name for name in hf if name.endswith(".incomplete")]


@pytest.mark.parametrize(
    ("model", "options", "error", "text"),
    [
        ("qiangchunyu/Other", {}, FileNotFoundError, "no such repository.*hf auth login"),
        (PUBLISHED, {"revision": "v9"}, FileNotFoundError, "no such revision"),
        (PUBLISHED, {}, FileNotFoundError, r"several models.*variant=: '21\.5', '86'"),
        (PUBLISHED, {"variant": "43"}, FileNotFoundError, r"no variant '43'; there is '21\.5', '86'"),
        (f"hf://{PUBLISHED}/none.pt", {}, FileNotFoundError, r"no variant 'none\.pt'"),
        (f"hf://{PUBLISHED}/86", {"variant": "86"}, ValueError, "names its file"),
        ("hf://nonsense", {}, ValueError, "expected hf://owner/name"),
    ],
)
def test_what_is_not_there(
    hub: Hub, tmp_path: Path, model: str, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=f"(?s){text}"):
        Codec.from_pretrained(model, **options)
    nothing_left(tmp_path)


def test_a_repository_without_hift(hub: Hub, tmp_path: Path) -> None:
    del hub.files["hift.pt"]
    with pytest.raises(FileNotFoundError, match=r"needs hift\.pt, which the repository lacks"):
        Codec.from_pretrained(PUBLISHED, variant="86", vocoder="hift")
    nothing_left(tmp_path)


@pytest.mark.parametrize("where", ["/api/models/", f"/{PUBLISHED}/resolve/"])
@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (403, "GatedRepo", "accept its terms"),
        (401, "GatedRepo", "accept its terms"),
        (403, "Other", r"refused \(403\)"),
    ],
)
def test_gated(hub: Hub, tmp_path: Path, where: str, status: int, code: str, text: str) -> None:
    hub.refuse[where] = (status, code)
    with pytest.raises(PermissionError, match=f"{text}.*hf auth login.*HF_TOKEN"):
        Codec.from_pretrained(PUBLISHED, variant="86")
    nothing_left(tmp_path)
    hub.refuse.clear()
    assert Codec.from_pretrained(PUBLISHED, variant="86").name == "secousticodec-86"


def test_offline(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE"):
            Codec.from_pretrained(PUBLISHED, variant="86")
    assert hub.requests == []
    with monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(ConnectionError, match=r"cannot be reached.*give their path"):
            Codec.from_pretrained(PUBLISHED, variant="86")
    hub.refuse["/api"] = (500, "Broken")
    with pytest.raises(ConnectionError, match=r"cannot be reached.*500"):
        Codec.from_pretrained(PUBLISHED, variant="86")
    nothing_left(tmp_path)


def test_half_a_download(hub: Hub, tmp_path: Path) -> None:
    hub.cut["secousticodec_86_hz.pt"] = [1000] + 50 * [0]
    with pytest.raises(ConnectionError, match=r"secousticodec_86_hz\.pt: the download broke off"):
        Codec.from_pretrained(PUBLISHED, variant="86")
    nothing_left(tmp_path)
    hub.cut["secousticodec_86_hz.pt"] = [1000]  # goes on where it stopped
    assert Codec.from_pretrained(PUBLISHED, variant="86").name == "secousticodec-86"


def test_a_file_changed_on_its_way(hub: Hub, tmp_path: Path, files: dict[str, bytes]) -> None:
    name = "secousticodec_86_hz.pt"
    hub.sent[name] = files[name][:-1] + b"?"
    with pytest.raises(ModelFormatError, match=r"checksum.*was deleted; try again"):
        Codec.from_pretrained(PUBLISHED, variant="86")
    nothing_left(tmp_path)
    hub.sent.clear()
    assert Codec.from_pretrained(PUBLISHED, variant="86").name == "secousticodec-86"


def test_what_is_no_checkpoint(hub: Hub, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.mkdir, (tmp_path / "executed",)

    for content, text in ((b"no checkpoint", "checkpoint"), (saved({"a": Payload()}), "its code was not run")):
        hub.files["secousticodec_86_hz.pt"], hub.commit = content, f"{len(content):040x}"
        with pytest.raises(ModelFormatError, match=f"hf://{PUBLISHED}: .*{text}"):
            Codec.from_pretrained(PUBLISHED, variant="86")
        nothing_left(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_full_disk(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(file_download, "http_get", full)
        with pytest.raises(OSError, match="HF_HOME") as caught:
            Codec.from_pretrained(PUBLISHED, variant="86")
        assert caught.value.errno == errno.ENOSPC
    nothing_left(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device; SECOUSTI_CACHE") as caught:
            Codec.from_pretrained(PUBLISHED, variant="86")
        assert caught.value.errno == errno.ENOSPC
    nothing_left(tmp_path)
    assert Codec.from_pretrained(PUBLISHED, variant="86").name == "secousticodec-86"


def test_a_cache_that_cannot_be_written(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SECOUSTI_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="SECOUSTI_CACHE names another folder"):
        Codec.from_pretrained(PUBLISHED, variant="86")


def test_without_the_library_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECOUSTI_CACHE", str(tmp_path))
    for name in ("huggingface_hub", "filelock"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'pip install "secousti-native\[hub\]"'):
        Codec.from_pretrained(PUBLISHED, variant="86")


def test_local_paths_come_first(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for name in ("models/typo", "none.pt", "a/b.safetensors", "a/b/c", "./a/b"):
        with pytest.raises(FileNotFoundError):
            Codec.from_pretrained(name)
    assert hub.requests == []


# ---- processes ----


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_two_processes_convert_once(hub: Hub, tmp_path: Path) -> None:
    hub.stall = threading.Event()
    both = [start(OPEN, PUBLISHED), start(OPEN, PUBLISHED)]
    assert hub.stalled.wait(120)
    hub.stall.set()
    for process in both:
        out, said = process.communicate(timeout=240)
        assert (process.returncode, out) == (0, "secousticodec-86\n"), said
    downloads = [request for request in hub.requests if request.startswith("GET") and "resolve" in request]
    assert len(downloads) == 1
    assert len([request for request in hub.requests if "/api/" in request]) == 1
    assert len(models(tmp_path)) == 1


def test_two_threads_convert_once(hub: Hub, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        codecs = list(pool.map(lambda _: Codec.from_pretrained(PUBLISHED, variant="86"), range(4)))
    assert len({codec.identity for codec in codecs}) == 1
    assert len([request for request in hub.requests if request.startswith("GET") and "resolve" in request]) == 1
    assert len(models(tmp_path)) == 1


def test_a_process_killed_while_it_downloads(hub: Hub, tmp_path: Path) -> None:
    hub.stall = threading.Event()
    process = start(OPEN, PUBLISHED)
    assert hub.stalled.wait(120)
    process.kill()
    process.communicate(timeout=60)
    hub.stall.set()
    assert models(tmp_path) == []
    assert Codec.from_pretrained(PUBLISHED, variant="86").name == "secousticodec-86"


def test_a_process_killed_while_it_converts(hub: Hub, tmp_path: Path) -> None:
    die = "import os, signal\nos.replace = lambda *a: os.kill(os.getpid(), signal.SIGKILL) if 'cache' in str(a[1]) else"
    process = start(f"import os\nreplace = os.replace\n{die} replace(*a)\n{OPEN}", PUBLISHED)
    process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL
    assert models(tmp_path) == []
    assert [name for name in left(tmp_path / "cache") if name.endswith(".tmp")]  # what the kill left
    assert Codec.from_pretrained(PUBLISHED, variant="86").name == "secousticodec-86"
    assert not [name for name in left(tmp_path / "cache") if name.endswith(".tmp")]


def test_import_stays_light() -> None:
    heavy = ["torch", "huggingface_hub", "filelock", "safetensors"]
    code = f"import sys, secousti_native; print([m for m in {heavy} if m in sys.modules])"
    out, said = start(code).communicate(timeout=120)
    assert out == "[]\n", said


# ---- command line and documents ----


def test_command_line(hub: Hub, tmp_path: Path, files: dict[str, bytes]) -> None:
    runner = CliRunner()

    def run(*arguments: object) -> Any:
        return runner.invoke(app, [str(a) for a in arguments])

    out = tmp_path / "model.safetensors"
    (tmp_path / "86.pt").write_bytes(files["secousticodec_86_hz.pt"])
    (tmp_path / "hift.pt").write_bytes(files["hift.pt"])
    expected = tmp_path / "expected.safetensors"
    convert_checkpoint(tmp_path / "86.pt", expected, tmp_path / "hift.pt")
    for source, vocoder in (
        (f"hf://{PUBLISHED}/secousticodec_86_hz.pt", "hift"),
        (f"hf://{PUBLISHED}@next/86", f"hf://{PUBLISHED}/hift.pt"),
        (f"hf://{PUBLISHED}/86", tmp_path / "hift.pt"),
        (tmp_path / "86.pt", "hift"),
    ):
        result = run("convert", source, "--vocoder", vocoder, "-o", out, "-f")
        assert result.exit_code == 0, result.output
        assert out.read_bytes() == expected.read_bytes()
    result = run("info", f"hf://{PUBLISHED}/86+hift", "--json")
    assert json.loads(result.stdout)["results"][0]["vocoder"] == "hift"
    several = run("convert", f"hf://{PUBLISHED}", "-o", tmp_path / "n.safetensors")
    assert several.exit_code == 1
    assert "'21.5', '86'" in several.output
    assert not (tmp_path / "n.safetensors").exists()


def test_the_lines_of_the_documents(
    hub: Hub, tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests" / "data").mkdir(parents=True)
    (tmp_path / "tests" / "data" / "speech.flac").symlink_to(ROOT / "tests" / "data" / "speech.flac")
    for folder in (tmp_path, tmp_path / "published"):
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    model = SecoustiCodec(tiny_config())
    for page in (ROOT / "README.md", ROOT / "docs" / "guide" / "convert.md"):
        blocks = re.findall(r"```python\n(.+?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for block in blocks if page.name == "convert.md" else blocks[1:]:  # the README's first: test_readme.py
            (tmp_path / "published.wav").unlink(missing_ok=True)
            scope: dict[str, Any] = {"Codec": Codec, "torch_model": model}
            exec(compile(block, str(page), "exec"), scope)
            assert isinstance(scope["codec"], Codec)
            assert (PUBLISHED in block) == (tmp_path / "published.wav").exists()
    assert len(models(tmp_path)) == 2  # spectral and hift
