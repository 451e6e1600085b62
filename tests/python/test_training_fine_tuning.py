"""Training on from a model: parts of it alone, on another machine, judged by unheard speakers, at the CPU's best."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from training_corpus import buzz, make_corpus

from secousti_native import Codec
from secousti_native.reference.config import CodecConfig, ConfigError
from secousti_native.training import cli, processor
from secousti_native.training.config import read_config
from secousti_native.training.corpus import Utterance
from secousti_native.training.export import export
from secousti_native.training.optim import Muon
from secousti_native.training.prepare import prepare
from secousti_native.training.start import hand_over, load_run
from secousti_native.training.trainer import Trainer


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def entries(run: Path, kind: str) -> list[dict[str, Any]]:
    return [e for e in map(json.loads, (run / "log.jsonl").read_text().splitlines()) if e["kind"] == kind]


def start(cache: Path, run: Path, **changes: Any) -> Trainer:
    codec = json.loads((cli.CONFIGS / "tiny_1_acoustic.json").read_text())["codec"]
    changes = {"data.cache": str(cache), "codec": codec, "init": "", **changes}
    return Trainer(read_config(cli.CONFIGS / "tiny_3_joint.json", changes), run)


@pytest.fixture(scope="module")
def trained(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "trained"
    start(cache, run, steps=6, log_every=2).run()
    return run


def test_decoder_side_alone_leaves_every_other_bit(trained: Path, cache: Path, tmp_path: Path) -> None:
    before, after, between = (tmp_path / n for n in ("before.safetensors", "after.safetensors", "between.pt"))
    export(trained, before, acoustic=False, checkpoint="state.pt")
    modules = ["semantic_connector", "decoder_transformer", "decoder"]
    changes = {"trainable": modules, "steps": 3, "valid_every": 3, "losses.disturbance": 0.1, "losses.low_bands": 2.0}
    start(cache, tmp_path / "run", init=str(before), **changes).run()
    assert np.isfinite([e["disturbance"] for e in entries(tmp_path / "run", "train")]).all()
    export(tmp_path / "run", after)
    old, new = load_file(before), load_file(after)
    assert old.keys() == new.keys()
    moved = {k.split(".")[0] for k in old if not torch.equal(old[k], new[k])}
    assert moved == set(modules)
    assert Codec.from_pretrained(before).identity == Codec.from_pretrained(after).identity
    # So they do when another machine trained a part of it.
    assert hand_over(tmp_path / "run", between, "state.pt") == 3
    trainer = Trainer(read_config(between, {"steps": 2}), tmp_path / "next")
    reached = load_run(tmp_path / "run", "state.pt")[0].state_dict()
    for key, value in trainer.system.codec.state_dict().items():
        wanted = reached[key]
        assert torch.allclose(value, wanted.half().float() if wanted.is_floating_point() else wanted), key
    assert trainer.run() == 2
    export(tmp_path / "next", after, checkpoint="state.pt")
    newest = load_file(after)
    assert {k.split(".")[0] for k in old if not torch.equal(old[k], newest[k])} == set(modules)
    with pytest.raises(ConfigError, match="hand-over"):
        torch.save({"nothing": 1}, between)
        read_config(between)


def test_unheard_speakers_choose_the_checkpoint(tmp_path: Path, trained: Path) -> None:
    sounds = [buzz(0.4, h, 0.7) for h in (110, 220, 165, 330)]
    path = tmp_path / "sound.wav"
    soundfile.write(path, np.concatenate(sounds * 4), 22050)
    spoken = [Utterance(f"{s}{i}", str(path), 1.0 * i, 1.0, s, "buzz") for s in ("heard", "new") for i in range(6)]
    prepare(spoken, tmp_path / "cache", CodecConfig(), valid_share=0, held_out=["new"])
    run = tmp_path / "run"
    trainer = start(tmp_path / "cache", run, init=str(trained), steps=4, valid_every=2)
    assert trainer.listening is not None and len(trainer.listening.clips) == 1
    judged = iter([{"pesq": 1.5, "stoi": 0.8, "score": 5.5}, {"pesq": 1.4, "stoi": 0.8, "score": 5.4}])
    listen, trainer.listening = trainer.listening, lambda *_: next(judged)  # type: ignore[assignment]
    trainer.run()
    assert torch.load(run / "best.pt", weights_only=True)["step"] == 2  # the mel difference went on falling
    assert torch.load(run / "state.pt", weights_only=True)["merit"] == 5.5
    valid = entries(run, "valid")
    assert [e["pesq"] for e in valid] == [1.5, 1.4]
    metrics = listen(trainer.system, torch.device("cpu"))
    assert 0 <= metrics["stoi"] <= 1 and metrics["stoi"] == metrics["stoi/buzz"]
    if "pesq" in metrics:  # buzzing may be no speech to it
        assert metrics["score"] == pytest.approx(metrics["pesq"] + 5 * metrics["stoi"])


def test_logs_say_how_fast_a_processor_is(trained: Path) -> None:
    speeds = [e["frames_per_cpu_second"] for e in entries(trained, "train")]
    assert len(speeds) > 1 and all(0 < s < 1e7 for s in speeds)


@pytest.mark.parametrize(
    ("flags", "fast"), [("fpu avx2 avx512f", False), ("avx512_bf16 fma", True), ("asimd bf16", True)]
)
def test_bfloat16_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, fast: bool
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor : 0\n{'Features' if 'asimd' in flags else 'flags'}\t: {flags}\nbugs : bf16\n")
    monkeypatch.setattr(processor, "_CPUINFO", info)
    processor.cpu_flags.cache_clear()
    try:
        assert processor.fast_bfloat16("cpu") == fast and processor.fast_bfloat16("cuda")
        matrix = torch.nn.Parameter(torch.eye(4))
        optimiser = Muon([matrix], lr=0.1, weight_decay=0.0)
        seen: list[torch.dtype] = []
        real = torch.baddbmm

        def recorded(x: torch.Tensor, *others: Any, **options: Any) -> torch.Tensor:
            seen.append(x.dtype)
            return real(x, *others, **options)

        monkeypatch.setattr(torch, "baddbmm", recorded)
        matrix.grad = torch.randn(4, 4)
        optimiser.step()
        assert set(seen) == {torch.bfloat16 if fast else torch.float32}
    finally:
        processor.cpu_flags.cache_clear()
