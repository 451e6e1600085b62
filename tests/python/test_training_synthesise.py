"""The synthesiser's part that is ours: texts, speakers, shards. The model itself is replaced by a buzzer."""

import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from training_corpus import buzz

from secousti_native.training import synthesise
from secousti_native.training.corpus import SILENCE, load_audio, read_shards
from secousti_native.training.synthesise import SynthesisError, phones_of, synthesise_shard

STEP = 600  # samples per unit of duration


class Buzzer:
    """Speaks each token for as many steps as its number."""

    def run(self, outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        tokens = inputs["tokens"][0]
        assert inputs["style"].shape == (1, 256) and inputs["speed"].shape == (1,)
        durations = tokens + 1
        wave = np.concatenate(
            [buzz(d * STEP / 22050, 100 + 10 * t, 0.7) for d, t in zip(durations, tokens, strict=True)]
        )
        return [wave[None], durations[None].astype(np.float32)]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    def run(command: list[str]) -> str:
        if command[0] == "opusenc":
            sound, rate = soundfile.read(command[-2])
            soundfile.write(command[-1], sound, rate, format="OGG", subtype="OPUS")
            return ""
        assert command[0] == "espeak-ng"
        return command[-1].lower()

    monkeypatch.setattr(synthesise, "_run", run)
    monkeypatch.setattr(synthesise, "_session", lambda model: Buzzer())
    monkeypatch.setattr(synthesise, "SHARD_SECONDS", 20)
    (tmp_path / "voices").mkdir()
    for name in ("af_one", "bm_two", "zf_three"):
        np.ones((400, 256), np.float32).tofile(tmp_path / "voices" / f"{name}.bin")
    symbols = {c: i + 1 for i, c in enumerate("abcdefgh ,.")}
    (tmp_path / "vocab.json").write_text(json.dumps({"vocab": symbols}))
    (tmp_path / "text.txt").write_text("a bad cab, a deaf bee.\nfeed a head.\nhe had a big bag, he begged.\n")
    return {"text": tmp_path / "text.txt", "vocabulary": tmp_path / "vocab.json", "voices": tmp_path / "voices"}


def test_a_shard_reads_back_as_it_was_spoken(tools: dict[str, Path], tmp_path: Path) -> None:
    made = synthesise_shard(tmp_path / "out", 1, 2, model=tmp_path, **tools)
    assert made.path.name == "1002.opus" and made.seconds >= 20
    utterances = list(read_shards(tmp_path / "out"))
    assert len(utterances) == made.utterances
    samples, rate = load_audio(made.path)
    assert len(samples) / rate == pytest.approx(made.seconds, abs=0.1)
    at = 0.0
    for u in utterances:
        assert u.start == pytest.approx(at) and u.phones[0] == u.phones[-1] == SILENCE
        assert sum(u.durations) == pytest.approx(u.seconds, abs=0.01)  # durations and audio agree
        assert set(u.speaker.split("+")) <= {"af_one", "bm_two", "zf_three"}
        at += u.seconds


def test_shards_are_reproducible_and_differ(tools: dict[str, Path], tmp_path: Path) -> None:
    def spoken(folder: str, worker: int, shard: int) -> list[Any]:
        synthesise_shard(tmp_path / folder, worker, shard, model=tmp_path, **tools)
        return [(u.text, u.speaker) for u in read_shards(tmp_path / folder)]

    assert spoken("a", 0, 0) == spoken("b", 0, 0)
    assert spoken("c", 0, 1) != spoken("a", 0, 0)


def test_some_speakers_have_anothers_melody(tools: dict[str, Path], tmp_path: Path) -> None:
    for number, path in enumerate(sorted(tools["voices"].glob("*.bin")), 1):
        (np.arange(400 * 256, dtype=np.float32) * 0 + number).tofile(path)
    heard: list[np.ndarray] = []

    class Recorder(Buzzer):
        def run(self, outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            heard.append(inputs["style"][0])
            return super().run(outputs, inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesise, "_session", lambda model: Recorder())
        for shard in range(4):
            synthesise_shard(tmp_path / "out", 0, shard, model=tmp_path, **tools)
    number_of = {path.stem: i for i, path in enumerate(sorted(tools["voices"].glob("*.bin")), 1)}
    lists = sorted((tmp_path / "out").glob("*.jsonl.xz"))
    entries = [json.loads(line) for path in lists for line in lzma.decompress(path.read_bytes()).splitlines()]
    assert len(entries) == len(heard) > 4
    for entry, style in zip(entries, heard, strict=True):
        for half, name in ((style[:128], "voice"), (style[128:], "prosody")):
            assert half == pytest.approx(sum(w * number_of[v] for v, w in entry[name].items()), abs=1e-4)
    mixed = [e["voice"] != e["prosody"] for e in entries]
    assert 0 < sum(mixed) < len(mixed)


def test_phones_keep_punctuation_and_follow_the_accent(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"go": "ɡˈo^ʊ", " bird": "bˈɜːd", "her": "hˈɜːɹ"}
    monkeypatch.setattr(synthesise, "_run", lambda command: said[command[-1]])
    assert phones_of("go, bird!", british=True) == "ɡˈQ, bˈɜːd!"
    assert phones_of("go, bird!", british=False) == "ɡˈO, bˈɜɹd!"
    assert phones_of("her", british=False) == "hˈɜɹ"


def test_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SynthesisError, match="espeak-ng is not installed"):
        phones_of("hello", british=True)
