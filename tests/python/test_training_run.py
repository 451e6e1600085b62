"""Whole runs on a tiny corpus: all stages, resuming, stopping, several processes, export, the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_corpus import buzz, make_corpus
from typer.testing import CliRunner

from secousti_native import Codec
from secousti_native.reference.codec import SecoustiCodec
from secousti_native.reference.config import CodecConfig, ConfigError
from secousti_native.training import cli
from secousti_native.training.config import TrainConfig, from_dict, read_config
from secousti_native.training.export import export
from secousti_native.training.optim import Muon, rate_factor
from secousti_native.training.prepare import Cache
from secousti_native.training.start import initial_codec, load_run
from secousti_native.training.system import TrainingSystem
from secousti_native.training.trainer import Trainer

CONFIGS = cli.CONFIGS


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def entries(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "log.jsonl").read_text().splitlines()
    volatile = ("seconds", "time", "frames_per_cpu_second")
    return [{k: v for k, v in e.items() if k not in volatile} for e in map(json.loads, lines) if e["kind"] == kind]


def start(name: str, cache: Path, run: Path, **changes: Any) -> Trainer:
    return Trainer(read_config(CONFIGS / f"{name}.json", {"data.cache": str(cache), **changes}), run)


@pytest.fixture(scope="module")
def stages(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three stages, each from the one before."""
    folder = tmp_path_factory.mktemp("runs")
    runs: dict[str, Path] = {}
    init = ""
    for name in ("tiny_1_acoustic", "tiny_2_semantic", "tiny_3_joint"):
        runs[name] = folder / name
        trainer = start(name, cache, runs[name], init=init)
        assert trainer.run() == trainer.config.steps
        init = str(runs[name])
    return runs


def test_every_stage_learns(stages: dict[str, Path]) -> None:
    for name, term in (("tiny_1_acoustic", "mel_mse"), ("tiny_2_semantic", "acoustic"), ("tiny_3_joint", "mel_l1")):
        values = [e[term] for e in entries(stages[name], "train")]
        assert all(np.isfinite(values))
        # The joint stage starts from trained stages: it has less to gain.
        assert np.mean(values[-3:]) < (0.98 if name == "tiny_3_joint" else 0.75) * values[0], (name, values)
        final = entries(stages[name], "valid")[-1]
        assert final["step"] == 60 and 0 < final["mel_l1"] < 3
    assert entries(stages["tiny_2_semantic"], "train")[-1]["contrastive"] > 0
    assert entries(stages["tiny_3_joint"], "valid")[-1]["codes"] > 10


def test_tensorboard_shows_and_plays(stages: dict[str, Path]) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(stages["tiny_3_joint"] / "tensorboard"))
    tags = events.Reload().Tags()
    assert {"train/loss", "train/distinct", "valid/mel_l1", "valid/codes"} <= set(tags["scalars"])
    assert set(tags["images"]) == set(tags["audio"]) == {"buzz/original", "buzz/restored"}
    assert len(events.Audio("buzz/restored")) == 2


def test_the_semantic_stage_leaves_stage_one_alone(stages: dict[str, Path]) -> None:
    before, after = (load_run(stages[n], "state.pt")[0].state_dict() for n in ("tiny_1_acoustic", "tiny_2_semantic"))
    before_best = load_run(stages["tiny_1_acoustic"])[0].state_dict()
    assert before.keys() == after.keys()
    frozen = ("encoder.", "encoder_transformer.", "decoder_transformer.", "decoder.")
    for key in before:
        if key.startswith(frozen):
            assert torch.equal(before_best[key], after[key]), key
    assert not torch.equal(before_best["fsq.project_in.weight"], after["fsq.project_in.weight"])


def test_export_computes_what_the_run_does(stages: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    report = export(stages["tiny_3_joint"], out, name="test", dtype="float32", acoustic=False)
    assert report.config.name == "test" and report.config.layers.acoustic == 0
    codec = load_run(stages["tiny_3_joint"])[0].eval()
    again = initial_codec(from_dict(TrainConfig, {"init": str(out)})).eval()
    assert again.encoder_transformer is None
    assert torch.equal(again.normalisation.mean, torch.zeros(80))
    mel = torch.randn(1, 70, 80, generator=torch.Generator().manual_seed(0)) - 4
    with torch.no_grad():
        expected, got = codec.encode_mel(mel), again.encode_mel(mel)
        clear = (0.999 * expected["fsq_in"].tanh()).abs().sub(0.5).abs().amin(-1) > 1e-3
        assert clear.float().mean() > 0.9
        assert torch.equal(expected["tokens"][clear], got["tokens"][clear])
        g = codec.paralinguistic(mel)
        # The model file has no batch norm of its own: its module's stand aside.
        assert torch.allclose(again.paralinguistic(mel), g, atol=1e-4)
        restored = codec.decode_tokens(expected["tokens"], g)
        assert torch.allclose(again.decode_tokens(expected["tokens"], g), restored, atol=1e-4)


def test_the_export_says_no_default_precision(
    stages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, checkpoint = load_run(stages["tiny_3_joint"])
    codec.config = codec.config.replace(default_precision="int8")  # as after a start from an embedded model
    monkeypatch.setattr("secousti_native.training.export.load_run", lambda *_: (codec, checkpoint))
    report = export(stages["tiny_3_joint"], tmp_path / "model.safetensors")
    assert report.config.default_precision == "fp32"  # nobody has measured these weights at int8


def test_the_native_engine_plays_the_export(stages: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    export(stages["tiny_3_joint"], out, dtype="float32")
    reference = load_run(stages["tiny_3_joint"])[0].eval()
    engine = Codec.from_pretrained(out)
    pcm = np.concatenate([buzz(0.5, h, 0.7) for h in (110, 220, 165)])
    mel = engine.stages.mel(pcm)
    native = engine.stages.encode_mel(mel)
    with torch.no_grad():
        expected = reference.encode_mel(torch.from_numpy(mel)[None])
        g = reference.paralinguistic(torch.from_numpy(mel)[None])
        restored = reference.decode_tokens(expected["tokens"], g)[0].numpy()
    clear = ((0.999 * expected["fsq_in"][0].tanh()).abs() - 0.5).abs().amin(-1).numpy() > 1e-4
    assert clear.mean() > 0.9
    assert np.array_equal(native["tokens"][clear], expected["tokens"][0].numpy()[clear])
    for name in ("acoustic_embed", "semantic_mu"):
        wanted = expected[name][0].numpy()
        assert np.abs(native[name] - wanted).max() <= 1e-4 * np.ptp(wanted), name
    assert np.abs(engine.stages.voice(mel) - g[0].numpy()).max() <= 1e-4 * np.ptp(g.numpy())
    played = engine.stages.decode_tokens(expected["tokens"][0].numpy(), g[0].numpy())
    assert np.abs(played - restored).max() <= 1e-4 * np.ptp(restored)
    sound = engine.decode(engine.encode(pcm, 22050))
    assert len(sound) == len(pcm) and np.isfinite(sound).all() and np.abs(sound).max() > 1e-3


def test_a_killed_run_resumes_to_the_same_losses(cache: Path, tmp_path: Path) -> None:
    changes = {"init": "", "codec": tiny_codec(), "steps": 24, "log_every": 1, "valid_every": 8, "save_every": 6}
    changes |= {"augment.mismatch": 0.5, "quantiser.start": 5, "quantiser.end": 20, "optimiser.decay": 10}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    start("tiny_3_joint", cache, whole, **changes).run()
    # Killed in step 12: what steps 9 to 11 did is lost, and done again from the state saved before validation 8.
    trainer = start("tiny_3_joint", cache, broken, **changes)
    step_of_trainer = trainer._train_step

    def killed(*args: Any) -> Any:
        if trainer.step == 11:
            raise KeyboardInterrupt
        return step_of_trainer(*args)

    trainer._train_step = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    resumed = start("tiny_3_joint", cache, broken, **changes)
    assert resumed.step == 8
    assert resumed.run() == 24
    expected = {e["step"]: e for e in entries(whole, "train")}
    got = {e["step"]: e for e in entries(broken, "train")}
    assert len(expected) == 24 and got == expected
    assert entries(broken, "valid")[-3:] == entries(whole, "valid")
    one, two = (torch.load(r / "state.pt", weights_only=True)["system"] for r in (whole, broken))
    assert all(torch.equal(one[k], two[k]) for k in one)


def tiny_codec() -> dict[str, Any]:
    codec: dict[str, Any] = json.loads((CONFIGS / "tiny_1_acoustic.json").read_text())["codec"]
    return codec


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from secousti_native.training.cli import app; app()", *arguments]


def joint_options(cache: Path, **changes: Any) -> list[str]:
    values = {"codec": tiny_codec(), "data.cache": str(cache), **changes}
    return [part for name, value in values.items() for part in ("--set", f"{name}={json.dumps(value)}")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_save_and_stop(cache: Path, tmp_path: Path, number: int) -> None:
    run = tmp_path / "run"
    options = joint_options(cache, steps=100_000, log_every=1, valid_every=100_000, save_every=100_000)
    process = subprocess.Popen(command("run", "tiny_3_joint", "-o", str(run), *options), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not ((run / "log.jsonl").exists() and len(entries(run, "train")) > 3):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(60) == 0
    reached = torch.load(run / "state.pt", weights_only=True)["step"]
    assert reached == entries(run, "train")[-1]["step"]
    resumed = start("tiny_3_joint", cache, run, codec=tiny_codec())
    assert resumed.step == reached


def test_two_processes_train_one_model(cache: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code = "from secousti_native.training.cli import app; app()"
    options = joint_options(cache, steps=4, log_every=1, valid_every=4, **{"losses.kl_paralinguistic": 1e-5})
    arguments = ["run", "tiny_3_joint", "-o", str(run), *options]
    port = str(20_000 + os.getpid() % 20_000)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env=os.environ
            | {"RANK": str(r), "WORLD_SIZE": "2", "LOCAL_RANK": str(r), "MASTER_PORT": port}
            | {"MASTER_ADDR": "127.0.0.1"},
        )
        for r in range(2)
    ]
    assert [w.wait(120) for w in workers] == [0, 0]
    assert [e["step"] for e in entries(run, "train")] == [1, 2, 3, 4]
    state = torch.load(run / "state.pt", weights_only=True)
    assert state["step"] == 4
    # Gradients were averaged: the run differs from that of its first process alone.
    alone = start("tiny_3_joint", cache, tmp_path / "alone", codec=tiny_codec(), steps=4, log_every=1)
    alone.run()
    single = torch.load(tmp_path / "alone" / "state.pt", weights_only=True)["system"]
    assert not torch.equal(single["codec.fsq.project_in.weight"], state["system"]["codec.fsq.project_in.weight"])


@pytest.mark.parametrize(
    "changes",
    [
        {"losses.contrastive": 0.0},
        {"quantiser.kind": "vq"},
        {"quantiser.sample": True, "losses.kl_semantic": 1e-5},
        {"trainable": ["semantic_connector", "decoder_transformer", "decoder"]},
        {"optimiser.muon": False, "optimiser.schedule": "cosine"},
        {"codec": {**json.loads((CONFIGS / "tiny_1_acoustic.json").read_text())["codec"], "ratios": [2, 2]}},
        {"bfloat16": True},
    ],
)
def test_switches_and_ablations_run(cache: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    trainer = start("tiny_3_joint", cache, tmp_path, **{"codec": tiny_codec(), "steps": 3, "log_every": 1, **changes})
    before = {k: v.clone() for k, v in trainer.system.codec.state_dict().items()}
    trainer.run()
    losses = [e["loss"] for e in entries(tmp_path, "train")]
    assert len(losses) == 3 and all(np.isfinite(losses))
    moved = {k.split(".")[0] for k, v in trainer.system.codec.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == set(trainer.config.modules) - ({"fsq"} if trainer.system.vq is not None else set())


@pytest.mark.parametrize("ratios", [[1, 1], [2, 2]])
def test_fresh_weights_keep_the_signal(ratios: list[int]) -> None:
    config = from_dict(TrainConfig, {"codec": tiny_codec() | {"n_filters": 96, "dimension": 256, "ratios": ratios}})
    torch.manual_seed(0)
    codec = initial_codec(config)
    mel = torch.randn(2, 200, 80)
    with torch.no_grad():
        z = codec.encoder(mel)
        restored = codec.decoder(z)
        tokens = codec.encode_mel(mel)["tokens"]
        old = SecoustiCodec(config.codec_config())
        faint = old.decoder(old.encoder(mel))
    assert 0.3 < z.std() < 3 and 0.3 < restored.std() < 3
    assert faint.std() < 0.2 * restored.std()
    assert tokens.unique().numel() > 50
    newest = codec.encoder.first.layer.weight[..., -1]  # 96 x 80: more outputs than inputs
    assert torch.allclose(newest.T @ newest, 1.2 * torch.eye(80), atol=1e-4)


def test_quantisation_sets_in_gradually(cache: Path) -> None:
    config = read_config(
        CONFIGS / "tiny_3_joint.json", {"codec": tiny_codec(), "quantiser.start": 10, "quantiser.end": 20}
    )
    torch.manual_seed(0)
    system = TrainingSystem(SecoustiCodec(config.codec_config()), 4, config)
    s = torch.randn(200, 5, 32)
    codes: list[torch.Tensor] = []
    system.codec.fsq.embed = lambda c: codes.append(c) or torch.zeros(200, 5, 32)  # type: ignore[assignment,func-returns-value]
    for step in (0, 15, 20):
        system._quantise(s, torch.ones(200, 5, dtype=torch.bool), step, torch.Generator().manual_seed(step), {})
    whole = [float((c.detach().round() - c.detach()).abs().amax((1, 2)).lt(1e-5).float().mean()) for c in codes]
    assert whole[0] == 0.0 and 0.35 < whole[1] < 0.65 and whole[2] == 1.0


def test_learning_rate_schedules() -> None:
    wsd = from_dict(TrainConfig, {"optimiser": {"warmup": 10, "decay": 20}}).optimiser
    assert [rate_factor(s, 100, wsd) for s in (0, 9, 50, 80, 90, 99)] == pytest.approx([0.1, 1, 1, 1, 0.5, 0.05])
    cosine = from_dict(TrainConfig, {"optimiser": {"warmup": 1, "schedule": "cosine"}}).optimiser
    assert [rate_factor(s, 100, cosine) for s in (0, 50, 100)] == pytest.approx([1, 0.5, 0])


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"stp": 3}, "unknown field.s. stp"),
        ({"steps": "many"}, "config.steps: 'many'"),
        ({"stage": "third"}, "config.stage: 'third'"),
        ({"optimiser": {"rte": 1}}, "config.optimiser: unknown"),
        ({"bfloat16": 1}, "config.bfloat16"),
    ],
)
def test_wrong_configurations_are_named(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        from_dict(TrainConfig, values)


def test_configurations_that_make_no_sense(cache: Path, tmp_path: Path, stages: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="starts from an acoustic stage"):
        start("tiny_2_semantic", cache, tmp_path)
    with pytest.raises(ConfigError, match="no module 'nothing'"):
        start("tiny_3_joint", cache, tmp_path, trainable=["nothing"])
    bare = tiny_codec() | {"layers": {"acoustic": 0, "semantic": 1, "connector": 1, "decoder": 1}}
    with pytest.raises(ConfigError, match="needs an acoustic branch"):
        start("tiny_1_acoustic", cache, tmp_path, codec=bare)
    with pytest.raises(ConfigError, match="other sizes"):
        start("tiny_1_acoustic", cache, stages["tiny_1_acoustic"], codec=tiny_codec() | {"n_filters": 4})
    with pytest.raises(ConfigError, match="not a training run"):
        load_run(tmp_path)
    with pytest.raises(ConfigError, match="no run folder"):
        start("tiny_3_joint", cache, tmp_path, init=str(tmp_path / "gone"))


def test_shipped_configurations_are_valid() -> None:
    found = sorted(CONFIGS.glob("*.json"))
    assert len(found) >= 4
    for path in found:
        config = read_config(path, {"init": "somewhere"} if "semantic" in path.stem else None)
        if config.codec:
            assert isinstance(config.codec_config(), CodecConfig)


def test_fine_tuning_a_published_checkpoint(cache: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    published = SecoustiCodec(CodecConfig(n_filters=8, dimension=64, feedforward=64))
    state = published.state_dict()
    for i in range(1, 7):  # the published kernels are 3 x 3
        key = f"paralinguistic_encoder.conv2d_{i}.weight"
        state[key] = torch.nn.functional.pad(state[key].unsqueeze(-1), (1, 1))
    path = tmp_path / "published.pt"
    torch.save({"model": state}, path)
    trainer = start("tiny_3_joint", cache, tmp_path / "run", init=str(path), steps=1)
    same = trainer.system.codec.folded().state_dict()  # trained with normalisation, which changes nothing
    for key, value in published.state_dict().items():
        torch.testing.assert_close(same[key], value, rtol=1e-4, atol=1e-5, msg=key)
    assert trainer.run() == 1
    del state["decoder.model.8.conv.conv.bias"]
    state["fsq.project_in.bias"] = torch.zeros(9)
    torch.save(state, path)
    with pytest.raises(ConfigError, match=r"missing decoder.model.8.conv.conv.bias; misshapen fsq.project_in.bias"):
        start("tiny_3_joint", cache, tmp_path / "run2", init=str(path))


def test_command_line_from_audio_to_model(tmp_path: Path) -> None:
    make_corpus(tmp_path / "speech", 6)
    runner = CliRunner()

    def secousti_train(*arguments: str) -> str:
        result = runner.invoke(cli.app, list(arguments))
        assert result.exit_code == 0, result.output
        return result.output

    listing, prepared, run, model = (tmp_path / n for n in ("m.jsonl", "cache", "run", "model.safetensors"))
    said = secousti_train("manifest", "--folder", f"me:{tmp_path / 'speech' / 'audio'}", "-o", str(listing))
    assert "6 utterances" in said
    secousti_train("prepare", str(listing), "-o", str(prepared), "--speed", "1.0", "--valid", "0.4")
    counts = Cache(prepared).counts
    assert counts["utterances"] == 6 and counts["validation"] >= 1
    secousti_train("run", "tiny_3_joint", "-o", str(run), *joint_options(prepared, steps=5, valid_every=5))
    assert "mel_l1" in secousti_train("log", str(run))
    assert "parameters" in secousti_train("export", str(run), "-o", str(model))
    assert model.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["run", "nothing", "-o", "x"], "configurations that ship"),
        (["run", "tiny_3_joint", "-o", "x", "--set", "steps"], "NAME=VALUE"),
        (["manifest", "-o", "x", "--folder", "x"], "of the form A:B"),
        (["export", "gone", "-o", "x"], "not a training run"),
        (["log", "gone"], "gone"),
    ],
)
def test_command_line_errors(arguments: list[str], problem: str) -> None:
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 1
    assert problem in result.output


def test_muon_is_torchs_for_all_matrices_at_once() -> None:
    shapes = [(24, 8), (8, 24), (24, 8), (8, 8)]
    starts = [torch.randn(s) for s in shapes]
    ours, theirs = ([torch.nn.Parameter(s.clone()) for s in starts] for _ in range(2))
    mine = Muon(ours, lr=0.02, weight_decay=0.1)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="original")
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            b.grad = torch.randn_like(b)
            a.grad = b.grad.clone()
        mine.step()
        reference.step()
    for a, b, start in zip(ours, theirs, starts, strict=True):
        moved = (b - start).norm()
        assert moved > 0.05
        assert (a - b).norm() < 0.02 * moved  # the iteration runs in bfloat16, in another order


def test_a_model_file_goes_on_where_it_was(cache: Path, tmp_path: Path, stages: dict[str, Path]) -> None:
    """Folding normalisation and batch norms away, then taking them up again to train on, changes nothing."""
    model = tmp_path / "model.safetensors"
    export(stages["tiny_3_joint"], model, dtype="float32")
    trainer = start("tiny_3_joint", cache, tmp_path / "run", init=str(model))
    mel = torch.from_numpy(trainer.cache.mel[:90].astype(np.float32))[None]
    codec, _ = load_run(stages["tiny_3_joint"])
    codec.eval()
    trainer.system.eval()
    with torch.no_grad():
        before, after = codec(mel), trainer.system.codec(mel)
        assert (before - after).abs().max() < 1e-3
        g = codec.paralinguistic(mel)
        assert (g - trainer.system.codec.paralinguistic(mel)).norm() < 1e-4 * g.norm()
