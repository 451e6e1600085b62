"""Corpus readers, the cache, batches and augmentation."""

import json
import lzma
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from secousti_native.reference.config import CodecConfig
from secousti_native.reference.mel import LogMel
from secousti_native.training import listening
from secousti_native.training.augment import Augmentation, AugmentConfig, warp_bands
from secousti_native.training.batches import SILENCE_LEVEL, Sampler, make_batch
from secousti_native.training.corpus import (
    SILENCE,
    CorpusError,
    Utterance,
    read_aligned,
    read_folder,
    read_manifest,
    read_shards,
    read_textgrid,
    write_manifest,
)
from secousti_native.training.phonemes import PhonemeEncoder, expand
from secousti_native.training.prepare import NO_PHONE, Cache, expand_durations, prepare, split_of

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = "say ""7"" 2"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.5
        intervals: size = 3
        intervals [1]:
            xmin = 0.25
            xmax = 0.5
            text = "AA1"
        intervals [2]:
            xmin = 0.5
            xmax = 1.0
            text = ""
        intervals [3]:
            xmin = 1.0
            xmax = 1.5
            text = "T"
"""
SHORT = (
    '"ooTextFile"\n"TextGrid"\n0\n1.5\n<exists>\n2\n"TextTier"\n"marks"\n0\n1.5\n1\n0.7\n"x"\n'
    '"IntervalTier"\n"phones"\n0\n1.5\n3\n0.25\n0.5\n"AA1"\n0.5\n1\n""\n1\n1.5\n"T"\n'
)


@pytest.mark.parametrize(("text", "encoding"), [(LONG, "utf-8"), (SHORT, "utf-8"), (LONG, "utf-16")])
def test_textgrid(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(text.encode(encoding))
    phones, durations = read_textgrid(path)
    assert phones == (SILENCE, "AA1", SILENCE, "T")
    assert durations == pytest.approx((0.25, 0.25, 0.5, 0.5))
    with pytest.raises(CorpusError, match="no interval tier 'nothing'"):
        read_textgrid(path, "nothing")


@pytest.mark.parametrize("text", ["", "hello", LONG[:200], LONG[: LONG.index("text = ")]])
def test_damaged_textgrid(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(text)
    with pytest.raises(CorpusError, match=r"a\.TextGrid"):
        read_textgrid(path)


def test_duration_expansion_by_hand() -> None:
    # Frames of 10 ms are centred on 5, 15, 25, ... ms; the phones end at 12, 12 (no length), 30 and 41 ms.
    assert expand_durations([0.012, 0.0, 0.018, 0.011], 6, 0.01).tolist() == [0, 2, 2, 3, NO_PHONE, NO_PHONE]
    assert expand_durations([], 2, 0.01).tolist() == [NO_PHONE, NO_PHONE]


def test_expanded_phones_repeat_by_duration() -> None:
    phones = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [0.0, 0.0]]])
    segment = torch.tensor([[0, 0, 1], [0, -1, -1]])
    expected = [[[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [5.0, 6.0], [5.0, 6.0]]]
    assert expand(phones, segment).tolist() == expected


def test_phoneme_encoder_ignores_padding() -> None:
    torch.manual_seed(0)
    encoder = PhonemeEncoder(symbols=5, dimension=16, layers=1, width=32).eval()
    short, padded = torch.tensor([[3, 1, 4]]), torch.tensor([[3, 1, 4, -1, -1], [-1, -1, -1, -1, -1]])
    with torch.no_grad():
        alone, beside = encoder(short), encoder(padded)
    assert torch.allclose(alone[0], beside[0, :3], atol=1e-5)
    assert torch.isfinite(beside).all()


def tone(seconds: float, hertz: float, rate: int = 22050) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def corpus(folder: Path, count: int = 6) -> list[Utterance]:
    """Tones whose "phones" are their pitches, each half a second."""
    audio = folder / "audio"
    audio.mkdir()
    made = []
    for i in range(count):
        pitches = [200 + 100 * ((i + k) % 4) for k in range(4)]
        path = audio / f"{i}.wav"
        soundfile.write(path, np.concatenate([tone(0.5, h) for h in pitches]), 22050, subtype="FLOAT")
        names = tuple(f"p{h}" for h in pitches)
        made.append(Utterance(f"u{i}", str(path), 0.0, 2.0, f"s{i % 3}", "tones", "", names, (0.5,) * 4))
    return made


def test_manifest_round_trip_and_errors(tmp_path: Path) -> None:
    utterances = corpus(tmp_path)
    path = tmp_path / "manifest.jsonl"
    assert write_manifest(path, utterances) == 6
    assert list(read_manifest(path)) == utterances
    good = json.loads(path.read_text().splitlines()[0])
    for change, problem in [
        ({"seconds": 0}, "seconds 0 must be positive"),
        ({"phones": ["a"]}, "1 phones but 4 durations"),
        ({"colour": 1}, "unknown field.s. colour"),
        ({"durations": [1, 1, -1, 1]}, "durations must be"),
    ]:
        path.write_text("\n" + json.dumps(good | change))
        with pytest.raises(CorpusError, match=f"manifest.jsonl:2.*{problem}"):
            list(read_manifest(path))


def test_folder_and_aligned_readers(tmp_path: Path) -> None:
    corpus(tmp_path)
    soundfile.write(tmp_path / "audio" / "short.wav", tone(0.2, 300), 22050)
    found = list(read_folder(tmp_path / "audio", "me"))
    assert [u.id for u in found] == [f"me/{i}" for i in range(6)]
    assert all(u.seconds == 2.0 and not u.phones for u in found)
    grids = tmp_path / "grids"
    grids.mkdir()
    (grids / "3.TextGrid").write_text(SHORT)
    (aligned,) = read_aligned(tmp_path / "audio", grids)
    assert aligned.phones == (SILENCE, "AA1", SILENCE, "T")
    assert aligned.audio.endswith("3.wav")
    (grids / "missing.TextGrid").write_text(SHORT)
    with pytest.raises(CorpusError, match="missing"):
        list(read_aligned(tmp_path / "audio", grids))


def test_shard_reader(tmp_path: Path) -> None:
    line = {"shard": "0000", "start": 48000, "samples": 24000, "voice": {"b": 0.5, "a": 0.5}, "text": "x", "speed": 1.0}
    line |= {"phones": "hɛ", "dur": [10, 5, 15, 10]}
    (tmp_path / "0000.jsonl.xz").write_bytes(lzma.compress(json.dumps(line).encode()))
    (utterance,) = read_shards(tmp_path)
    assert (utterance.start, utterance.seconds, utterance.speaker) == (2.0, 1.0, "a+b")
    assert utterance.phones == (SILENCE, "h", "ɛ", SILENCE)
    assert utterance.durations == pytest.approx((0.25, 0.125, 0.375, 0.25))


def test_held_out_speakers_and_blends_with_them_are_validation() -> None:
    def of(speaker: str) -> str:
        return split_of(Utterance("x", "x.wav", 0, 1, speaker), 0.0, ["b"])

    assert [of("a"), of("b"), of("a+b")] == ["train", "valid", "valid"]
    share = [split_of(Utterance(f"u{i}", "x", 0, 1, "s"), 0.25, []) for i in range(2000)].count("valid") / 2000
    assert 0.2 < share < 0.3


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    folder = tmp_path_factory.mktemp("corpus")
    utterances = corpus(folder)
    bare = Utterance("bare", utterances[0].audio, 0.5, 1.0, "s9", "bare")  # no phones, and its own source
    prepare([*utterances, bare], folder / "cache", CodecConfig(), speeds=(1.0, 1.25), valid_share=0, held_out=["s2"])
    return Cache(folder / "cache")


def test_cache_holds_the_mels_the_phones_and_the_speeds(cache: Cache) -> None:
    assert [u.split for u in cache.utterances].count("valid") == 2  # once each, at speed 1
    assert len(cache.split("train")) == 2 * (4 + 1)
    first = next(u for u in cache.utterances if u.id == "u0" and u.speed == 1.0)
    pcm = torch.from_numpy(np.concatenate([tone(0.5, h) for h in (200, 300, 400, 500)]))
    mel = LogMel(CodecConfig())(pcm).numpy()
    assert np.abs(cache.mel[first.first : first.first + first.frames] - mel).max() < 0.01  # float16
    segment = cache.segment[first.first : first.first + first.frames]
    names = [cache.symbols[cache.phone[s]] for s in segment]
    assert names[0] == "p200" and names[-1] == "p500"
    assert [names.count(f"p{h}") for h in (200, 300, 400, 500)] == pytest.approx([43, 43, 43, 43], abs=1)
    fast = next(u for u in cache.utterances if u.id == "u0" and u.speed == 1.25)
    assert fast.frames == pytest.approx(first.frames / 1.25, abs=1)
    bare = next(u for u in cache.utterances if u.id == "bare")
    assert (cache.segment[bare.first : bare.first + bare.frames] == NO_PHONE).all()
    frames = np.concatenate([cache.mel[u.first : u.first + u.frames] for u in cache.split("train")]).astype(np.float64)
    assert np.allclose(cache.mean, frames.mean(0), atol=0.01)
    assert np.allclose(cache.deviation, np.maximum(frames.std(0), 0.1), atol=0.01)


def test_degraded_copies_stand_beside_the_clean_speech(tmp_path: Path) -> None:
    utterances = corpus(tmp_path)
    counts = prepare(
        utterances, tmp_path / "cache", CodecConfig(), speeds=(0.9, 1.0, 1.1), copies=2, valid_share=0, held_out=["s2"]
    )
    made = Cache(tmp_path / "cache")
    of_one = [u for u in made.utterances if u.id == "u0"]
    assert [(u.speed, u.copy) for u in of_one[:3]] == [(0.9, 0), (1.0, 0), (1.1, 0)]
    assert [u.copy for u in of_one[3:]] == [1, 2] and all(0.9 <= u.speed <= 1.1 for u in of_one[3:])
    assert of_one[3].speed != of_one[4].speed
    assert all(u.copy == 0 for u in made.split("valid"))
    clean, copy = (made.mel[u.first : u.first + u.frames].astype(float) for u in (of_one[1], of_one[3]))
    assert np.abs(clean.mean(0) - copy.mean(0)).max() > 0.3
    assert len(copy) == pytest.approx(len(clean) / of_one[3].speed, abs=1)
    assert counts["clips"] == len(list(listening.read(tmp_path / "cache")))


def test_clips_to_listen_to_join_what_a_speaker_says(tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    soundfile.write(sound, np.concatenate([tone(0.5, h) for h in (200, 300)] * 6), 22050)

    def said(speaker: str, count: int, source: str = "a") -> list[Utterance]:
        return [Utterance(f"{source}-{speaker}-{i}", str(sound), i, 1.0, speaker, source) for i in range(count)]

    everything = (
        said("x", 5) + said("y", 3) + said("z", 5) + said("x", 6, "b") + said("q+z", 6, "b") + said("z", 5, "c")
    )
    chosen = listening.choose(everything, ["x", "y", "z"])
    assert list(chosen) == [("a", "x"), ("a", "z"), ("b", "x"), ("b", "z"), ("c", "z")]  # y says too little
    assert listening.write(everything, ["x", "y", "z"], tmp_path, CodecConfig()) == 5
    clips = list(listening.read(tmp_path))
    assert [len(pcm) for _, pcm in clips] == [5 * 22050, 5 * 22050, 6 * 22050, 6 * 22050, 5 * 22050]
    assert all(np.abs(pcm).max() > 0.1 for _, pcm in clips)
    assert not list(listening.read(tmp_path / "nowhere"))
    more = listening.choose(said("x", 20), ["x"])
    assert len(more["a", "x"]) == listening.SECONDS


def test_prepare_names_what_is_wrong(tmp_path: Path) -> None:
    (utterance,) = corpus(tmp_path, 1)
    missing = Utterance("gone", str(tmp_path / "gone.wav"), 0, 1, "s")
    late = Utterance("late", utterance.audio, 1.5, 2.0, "s")
    nan = tmp_path / "nan.wav"
    soundfile.write(nan, np.full(22050, np.nan, np.float32), 22050, subtype="FLOAT")
    for bad, problem in [
        (missing, "gone.wav"),
        (late, "'late'.*ends at 2.0"),
        (Utterance("n", str(nan), 0, 1, "s"), "'n'"),
    ]:
        with pytest.raises(CorpusError, match=problem):
            prepare([bad], tmp_path / "cache", CodecConfig())
        with pytest.raises(CorpusError, match="no prepared corpus"):
            Cache(tmp_path / "cache")
    with pytest.raises(CorpusError, match="no utterances"):
        prepare([], tmp_path / "cache", CodecConfig())


def test_batches_depend_on_seed_step_and_rank_alone(cache: Cache) -> None:
    def draw(seed: int, step: int, rank: int = 0) -> torch.Tensor:
        return Sampler(cache, batch=4, crop=50, prompt_frames=60, seed=seed, rank=rank)(step).mel

    assert torch.equal(draw(1, 5), draw(1, 5))
    assert not torch.equal(draw(1, 5), draw(1, 6))
    assert not torch.equal(draw(1, 5), draw(2, 5))
    assert not torch.equal(draw(1, 5), draw(1, 5, rank=1))


def test_source_weights(cache: Cache) -> None:
    only = Sampler(cache, batch=64, crop=10, prompt_frames=20, seed=0, source_weights={"tones": 0.0})(0)
    assert (only.segment == NO_PHONE).all()
    with pytest.raises(CorpusError, match="no source named typo"):
        Sampler(cache, batch=1, crop=1, prompt_frames=2, seed=0, source_weights={"typo": 1.0})


def test_a_crop_has_its_own_phones_and_padding(cache: Cache) -> None:
    utterance = next(u for u in cache.utterances if u.id == "u0" and u.speed == 1.0)
    prompts = utterance.first + np.arange(5, dtype=np.int64)[None]
    frames = cache.frames(torch.device("cpu"))
    batch = make_batch(cache, frames, [utterance], [100], 100, prompts)
    assert torch.equal(batch.prompt[0], torch.from_numpy(cache.mel[prompts[0]].astype(np.float32)))
    known = utterance.frames - 100
    assert batch.valid[0].tolist() == [True] * known + [False] * (100 - known)
    assert (batch.mel[0, known:] == SILENCE_LEVEL).all()
    assert [cache.symbols[p] for p in batch.phones[0]] == ["p400", "p500"]
    assert batch.segment[0, 0] == 0 and batch.segment[0, known - 1] == 1
    assert (batch.segment[0, known:] == -1).all()


def test_warp_moves_bands() -> None:
    mel = torch.arange(80.0).expand(1, 2, 80)
    warped = warp_bands(mel, torch.tensor([[2.0]]))
    assert warped[0, 0].tolist() == pytest.approx([i / 2 for i in range(80)])
    assert torch.equal(warp_bands(mel, torch.tensor([[1.0]])), mel)


def test_augmentation_is_seeded_and_can_be_off(cache: Cache) -> None:
    batch = Sampler(cache, batch=8, crop=60, prompt_frames=60, seed=0)(0)
    config = AugmentConfig(chance=1.0, noise_chance=0.5, band_limit_chance=0.5, mismatch=1.0)
    one = Augmentation(config)(batch, torch.Generator().manual_seed(3))
    two = Augmentation(config)(batch, torch.Generator().manual_seed(3))
    for name in ("encoder", "target", "prompt"):
        views = getattr(one, name)
        assert torch.equal(views, getattr(two, name))
        assert torch.isfinite(views).all() and (views >= SILENCE_LEVEL).all()
        assert (views - getattr(batch, "prompt" if name == "prompt" else "mel")).abs().max() > 0.5
    assert (one.encoder - one.target).abs().max() > 0.1  # mismatch: two channels
    off = Augmentation(AugmentConfig(chance=0, noise_chance=0, band_limit_chance=0))
    views = off(batch, torch.Generator().manual_seed(3))
    for got, expected in ((views.encoder, batch.mel), (views.target, batch.mel), (views.prompt, batch.prompt)):
        assert torch.allclose(got, expected.clamp_min(SILENCE_LEVEL), atol=1e-5)


def test_quiet_speech_is_quiet_on_both_sides(cache: Cache) -> None:
    batch = Sampler(cache, batch=64, crop=20, prompt_frames=20, seed=0)(0)
    config = AugmentConfig(chance=0.0, noise_chance=0, band_limit_chance=0, quiet_chance=0.5, quiet=30.0)
    views = Augmentation(config)(batch, torch.Generator().manual_seed(0))
    change = (views.target.amax((1, 2)) - batch.mel.amax((1, 2))) * 20 / math.log(10)
    lowered = change < -0.01
    assert 16 < int(lowered.sum()) < 48 and change.max() < 0.01
    assert -30.001 <= change.min() < -25
    assert torch.equal(views.encoder, views.target)


def test_gain_is_in_decibels(cache: Cache) -> None:
    batch = Sampler(cache, batch=64, crop=20, prompt_frames=20, seed=0)(0)
    config = AugmentConfig(chance=1.0, gain=6.0, equaliser=0.0, warp=0.0, noise_chance=0, band_limit_chance=0)
    views = Augmentation(config)(batch, torch.Generator().manual_seed(0))
    loudest = batch.mel.amax((1, 2))
    change = (views.target.amax((1, 2)) - loudest) * 20 / math.log(10)
    assert change.abs().max() <= 6.001 and change.abs().max() > 5 and change.min() < -5
