"""Codecs and results as objects: copies, pickles, processes, equality; what must not be copied says so."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from secousti_native import Codec, Encoded, EncodedBatch, ModelFormatError, PacketReader, PacketWriter

Floats = npt.NDArray[np.float32]


@pytest.fixture
def model_file(tmp_path: Path, codec21: Codec) -> Path:
    """A model file of the test's own."""
    assert codec21._source is not None
    path = tmp_path / "model.safetensors"
    path.write_bytes(codec21._source.path.read_bytes())
    return path


# ---- codecs ----


def test_a_pickle_shares_the_model_within_a_process(codec: Codec, speech: Floats) -> None:
    data = pickle.dumps(codec)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert again._core is codec._core
    assert (again.precision, again.threads, again.device) == (codec.precision, codec.threads, codec.device)
    assert pickle.loads(data)._core is pickle.loads(pickle.dumps(again))._core
    assert again.encode(speech[:22050]) == codec.encode(speech[:22050])


def test_copies_are_the_codec(codec: Codec) -> None:
    assert copy.copy(codec) is codec
    assert copy.deepcopy({"codec": codec})["codec"] is codec
    assert copy.deepcopy(codec.stages)._model is codec
    assert pickle.loads(pickle.dumps(codec.stages))._core is codec._core


def test_a_pickle_keeps_the_options(codec: Codec) -> None:
    other = Codec.from_pretrained("default-21", precision="bf16", isa=codec.info["isa"])
    again = pickle.loads(pickle.dumps(other))
    assert (again.precision, again.name, again.info["isa"]) == ("bf16", other.name, other.info["isa"])
    assert again.identity == other.identity


def test_a_path_is_opened_from_any_folder(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(model_file.parent)
    codec = Codec.from_pretrained(model_file.name)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    data = pickle.dumps(codec)
    identity = codec.identity
    del codec  # so that the pickle opens the file
    assert pickle.loads(data).identity == identity


def test_a_moved_file_is_named(model_file: Path) -> None:
    data = pickle.dumps(Codec.from_pretrained(model_file))
    model_file.rename(model_file.with_name("moved.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"is not here.*model\.safetensors"):
        pickle.loads(data)


def test_a_changed_file_is_refused(model_file: Path) -> None:
    codec = Codec.from_pretrained(model_file)
    data = pickle.dumps(codec)
    content = bytearray(model_file.read_bytes())
    content[-1] ^= 1  # of the last tensor: the same size, and the same identity if it is the vocoder's
    model_file.write_bytes(content)
    os.utime(model_file, ns=(1, 1))
    with pytest.raises(ModelFormatError, match="another model than when"):
        pickle.loads(data)
    with pytest.raises(ModelFormatError, match="changed since the codec was opened"):
        pickle.dumps(codec)


def test_a_copied_file_with_another_time_is_the_same_model(model_file: Path) -> None:
    data = pickle.dumps(Codec.from_pretrained(model_file))
    os.utime(model_file, ns=(1, 1))
    assert pickle.loads(data).name == "default-21"


def test_a_model_in_memory_travels_as_bytes(model_file: Path, codec21: Codec) -> None:
    codec = Codec.from_bytes(memoryview(model_file.read_bytes()))
    assert codec.identity == codec21.identity
    data = pickle.dumps(codec.with_threads(2))
    assert len(data) >= model_file.stat().st_size
    model_file.unlink()
    assert pickle.loads(data)._core is codec._core
    del codec
    assert pickle.loads(data).identity == codec21.identity


def test_a_codec_of_nothing_says_why_it_stays(codec: Codec) -> None:
    with pytest.raises(TypeError, match="does not know which file or bytes"):
        pickle.dumps(Codec(codec._core))


def encode(codec: Codec, pcm: Floats) -> npt.NDArray[np.int64]:
    tokens: npt.NDArray[np.int64] = codec.encode(pcm).tokens
    return tokens


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_workers(codec: Codec, speech: Floats, method: str) -> None:
    shared = codec.with_threads(2)
    clips = [speech[:11025], speech[11025:33075]]
    expected = [encode(shared, clip) for clip in clips]
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.starmap(encode, [(shared, clip) for clip in clips])
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


class Clips:
    """A data set that holds a codec."""

    def __init__(self, codec: Codec, clips: list[Floats]) -> None:
        self.codec, self.clips = codec, clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> npt.NDArray[np.int64]:
        return encode(self.codec, self.clips[index])


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_data_loader(codec: Codec, speech: Floats, method: str) -> None:
    data = pytest.importorskip("torch.utils.data")
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    clips = Clips(codec, [speech[:11025], speech[11025:33075]])
    loader = data.DataLoader(
        clips, batch_size=None, num_workers=2, multiprocessing_context=multiprocessing.get_context(method)
    )
    assert all(np.array_equal(a, clips[i]) for i, a in enumerate(loader))


def test_torch_saves_a_module_that_holds_a_codec(codec: Codec, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(2, 2)
    module.codec = codec
    torch.save(module, tmp_path / "module.pt")
    again = torch.load(tmp_path / "module.pt", weights_only=False)
    assert again.codec._core is codec._core
    assert copy.deepcopy(module).codec is codec


def test_closures(codec: Codec, speech: Floats) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    pcm = speech[:11025]
    work = cloudpickle.loads(cloudpickle.dumps(lambda: codec.encode(pcm)))
    assert work() == codec.encode(pcm)


def test_a_sub_interpreter_is_refused_at_once() -> None:
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    code = (
        f'import {name} as s; i = s.create(); r = s.run_string(i, \'import warnings; warnings.simplefilter("ignore"); '
        "import secousti_native'); raise SystemExit(str(r) if r else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode != 0
    assert "main interpreter only; use processes" in result.stderr


# ---- results ----


def test_equality_of_results(codec: Codec, speech: Floats) -> None:
    one, same = codec.encode(speech[:22050]), codec.encode(speech[:22050])
    assert one == same
    assert hash(one) == hash(same)
    assert len({one, same}) == 1
    assert one != codec.encode(speech[22050:44100])
    assert one != replace(same, num_samples=one.num_samples - 1)
    assert one != replace(same, voice=same.voice + 1)
    assert one != replace(same, model_identity=1)
    assert one == replace(same, notes=("repaired",))
    assert one != "tokens"
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    changed = copy.deepcopy(one)
    before = hash(changed)
    changed.tokens[0] ^= 1
    assert changed != one
    assert hash(changed) == before


def test_equality_across_kinds_of_arrays(codec: Codec, speech: Floats) -> None:
    torch = pytest.importorskip("torch")
    one, other = codec.encode(speech[:22050]), codec.encode(torch.from_numpy(speech[:22050].copy()))
    assert one == other
    assert other == one
    assert hash(one) == hash(other)
    assert other != replace(other, tokens=other.tokens[:-1])


def test_equality_of_batches(codec: Codec, speech: Floats) -> None:
    pcm = np.stack([speech[:11025], speech[11025:22050]])[:, None]
    one, same = codec.encode_batch(pcm), codec.encode_batch(pcm)
    assert one == same
    assert hash(one) == hash(same)
    assert one != codec.encode_batch(pcm[::-1].copy())
    assert one != EncodedBatch.of(one.items[:1], None)
    assert pickle.loads(pickle.dumps(one)) == one


# ---- what has a state ----


def stateful(codec: Codec) -> list[tuple[Any, str]]:
    return [
        (codec.encoder(), "clone()"),
        (codec.encoder(16000), "snapshot()"),
        (codec.decoder(), "clone()"),
        (codec.encoder_group(2), "snapshot(slot)"),
        (codec.decoder_group(2), "snapshot(slot)"),
        (codec.voice_estimator(), "Codec.voice_estimator"),
        (PacketWriter(codec), "make another"),
        (PacketReader(codec), "make another"),
    ]


def test_states_are_not_copied_by_accident(codec: Codec) -> None:
    for thing, way in stateful(codec):
        for act in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError) as error:
                act(thing)
            assert type(thing).__name__ in str(error.value)
            assert way in str(error.value)


# ---- lost tokens ----


def test_lost_tokens_fade(codec: Codec, speech: Floats) -> None:
    """As a stream conceals them, not the last token for ever."""
    encoded = codec.encode(speech)
    tokens = encoded.tokens.copy()
    tokens[200:203], tokens[-400:] = -1, -1
    pcm = codec.decode(replace(encoded, tokens=tokens))
    assert len(pcm) == len(speech)
    stream = codec.decoder(encoded.voice)
    parts = [stream.push(tokens[:200]), stream.conceal(3), stream.push(tokens[203:-400]), stream.conceal(400)]
    whole = np.concatenate([*parts, stream.flush()])
    assert np.array_equal(pcm[: len(whole)], whole[: len(pcm)])
    assert np.sqrt(np.mean(pcm[-22050:] ** 2)) < 10 ** (-45 / 20)
    assert np.array_equal(codec.decode_many([encoded, replace(encoded, tokens=tokens)])[1], pcm)


def test_concealed_fills_in_what_decoding_needs(codec: Codec, speech: Floats) -> None:
    encoded = codec.encode(speech[:44100])
    damaged = replace(
        encoded, tokens=np.where(np.arange(len(encoded)) < 20, -1, encoded.tokens), voice=encoded.voice[:0]
    )
    fit = damaged.concealed(codec)
    assert np.array_equal(fit.tokens, damaged.tokens)
    assert np.array_equal(fit.voice, np.zeros(codec.dimension, np.float32))
    assert np.isfinite(codec.decode(fit)).all()
    with pytest.raises(ValueError, match="no token is intact"):
        replace(encoded, tokens=np.full(3, -1)).concealed(codec)
    with pytest.raises(ValueError, match=r"tokens\[1\] is -2"):
        codec.decode(replace(encoded, tokens=np.array([-1, -2, 5]), num_samples=700))


def test_a_damaged_torch_result_stays_torch(codec: Codec, speech: Floats) -> None:
    torch = pytest.importorskip("torch")
    encoded = codec.encode(torch.from_numpy(speech[:22050].copy()))
    encoded.tokens[5:9] = -1
    assert isinstance(codec.decode(encoded), torch.Tensor)
    assert Encoded.from_bytes(encoded.to_bytes(), damaged="keep").tokens.tolist()[5:9] == [-1] * 4


def test_more_threads_than_processors(codec: Codec, speech: Floats) -> None:
    many = codec.with_threads(512)
    assert 1 <= many.threads <= (os.cpu_count() or 1)
    assert many.encode(speech[:22050]) == codec.encode(speech[:22050])
    assert len(codec.encoder(threads=1024).push(speech[:22050])) > 0
