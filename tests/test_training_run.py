"""`train(cfg)`: a config in, a run folder with everything in it out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_fakes import SPEC, T, ToyData, toy_module, toy_trainer

from gigmate.checkpoint import describe, load_lm
from gigmate.codec.base import CodecSpec
from gigmate.config import registry
from gigmate.errors import CheckpointError, MachineError, UsageError
from gigmate.training import run
from gigmate.training.run import quiet_lightning, train
from gigmate.training.samples import StemSampler


def config(run_dir: Path, **changes: Any) -> dict[str, Any]:
    """As the root `train` composes it, in small."""
    return {
        "seed": 3,
        "resume": None,
        "init_from": None,
        "prepare": None,
        "optimized_metric": "valid/loss",
        "paths": {"run_dir": str(run_dir)},
        "module": {
            "_target_": "gigmate.training.lm_module.LMModule",
            "condition_dropout": 0.1,
            "beat_dropout": 0.1,
            "sample_every_steps": 0,
            "sample_s": 1.0,
        },
        "model": {"dim": 16, "num_layers": 1, "num_heads": 2, "window": 16, "dropout": 0.1},
        "pattern": {"name": "delay", "delays": None},
        "codec": {"name": "compact"},
        "loader": {
            "_target_": "gigmate.data.module.TokenData",
            "folders": ["somewhere/toy"],
            "batch_size": 2,
            "window_s": 1.0,
        },
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": 1e-3, "betas": [0.9, 0.98], "weight_decay": 0.01},
        "scheduler": {"_target_": "gigmate.training.schedules.warmup_cosine", "warmup_steps": 2, "floor": 0.1},
        "callbacks": {
            "checkpoint": {
                "_target_": "gigmate.training.checkpoints.CheckpointSaver",
                "every_steps": 2,
                "keep": 2,
            },
            "signals": {"_target_": "gigmate.training.callbacks.SignalGuard"},
            "finite": {"_target_": "gigmate.training.callbacks.FiniteGuard", "max_skipped": 2},
            "progress": {"_target_": "gigmate.training.callbacks.Progress"},
        },
        "logger": {"csv": {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": str(run_dir), "name": "csv"}},
        "trainer": {
            "accelerator": "cpu",
            "devices": 1,
            "max_steps": 4,
            "val_check_interval": 4,
            "limit_val_batches": 2,
            "num_sanity_val_steps": 0,
            "accumulate_grad_batches": 2,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
        },
    } | changes


@pytest.fixture(autouse=True)
def _toy_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(entry: Any, where: str = "config", **extra: Any) -> Any:
        return ToyData() if where == "loader" else registry.build(entry, where, **extra)

    monkeypatch.setattr(run, "build", build)


def test_a_run_leaves_what_it_should(tmp_path: Path) -> None:
    loss = train(config(tmp_path))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["valid/loss"] == pytest.approx(loss, abs=1e-5)
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("*.ckpt")) == [
        "step-00000002.ckpt",
        "step-00000004.ckpt",
    ]
    assert (tmp_path / "csv" / "version_0" / "metrics.csv").is_file()
    assert (tmp_path / "validation.csv").read_text().count("\n") == 3
    loaded = load_lm(tmp_path / "model.safetensors")
    assert loaded.codec == SPEC
    assert loaded.model.config.dim == 16
    assert loaded.model.config.min_lookahead_frames == -2
    about = describe(tmp_path / "model.safetensors")["provenance"]
    assert about["data"] == ["toy"]
    assert about["steps"] == 4
    assert about["seed"] == 3
    card = (tmp_path / "card.md").read_text()
    assert "| valid/unigram_entropy_k1 |" in card
    assert str(tmp_path) not in card


def test_the_last_step_is_always_validated(tmp_path: Path) -> None:
    changed = config(tmp_path)
    changed["trainer"]["val_check_interval"] = 5
    train(changed)
    rows = (tmp_path / "validation.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["2", "4"]


def test_interrupted_and_resumed_ends_like_the_uninterrupted(tmp_path: Path) -> None:
    whole, parts = config(tmp_path / "whole"), config(tmp_path / "parts")
    train(whole)
    train(parts)
    for name in ("step-00000004.ckpt", "step-00000004.json"):
        (tmp_path / "parts" / "checkpoints" / name).unlink()
    with pytest.raises(UsageError, match="resume=auto"):
        train(parts)
    assert train(parts | {"resume": "auto"}) == pytest.approx(train(whole | {"resume": "auto"}), abs=0)
    states = [load_lm(tmp_path / run_name / "model.safetensors").model.state_dict() for run_name in ("whole", "parts")]
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())


def test_init_from_takes_weights_alone(tmp_path: Path) -> None:
    train(config(tmp_path / "first"))
    source = str(tmp_path / "first" / "model.safetensors")
    changed = config(tmp_path / "second", init_from=source)
    changed["optimizer"] = {"_target_": "torch.optim.SGD", "lr": 0.0}
    train(changed)
    first, second = (load_lm(tmp_path / name / "model.safetensors").model for name in ("first", "second"))
    assert torch.equal(first.heads.weight, second.heads.weight)
    with pytest.raises(CheckpointError, match="init_from="):
        train(config(tmp_path / "third", resume=source))


def test_resuming_another_model_is_refused(tmp_path: Path) -> None:
    train(config(tmp_path))
    changed = config(tmp_path, resume="auto")
    changed["model"] = changed["model"] | {"dim": 32}
    with pytest.raises(CheckpointError, match=r"GM-other_model.*dim 16 -> 32"):
        train(changed)


def test_what_is_not_there_or_not_measured_is_said(tmp_path: Path) -> None:
    changed = config(tmp_path / "a")
    changed["trainer"]["accelerator"] = "mps"
    if not torch.backends.mps.is_available():
        with pytest.raises(MachineError, match="mps isn't available"):
            train(changed)
        assert not (tmp_path / "a").exists()
    with pytest.raises(UsageError, match=r"valid/fun wasn't measured, but .*valid/loss"):
        train(config(tmp_path / "b", optimized_metric="valid/fun"))


class Silence:
    """A codec that makes silence."""

    spec: CodecSpec = SPEC

    def decode(self, codes: torch.Tensor, notes: torch.Tensor | None) -> torch.Tensor:
        return torch.zeros(len(codes), 1, codes.shape[2] * SPEC.hop)


def test_samples_are_played_after_validations(tmp_path: Path) -> None:
    import soundfile

    module = toy_module(load_codec=Silence, sample_every_steps=2, sample_s=0.1)
    with quiet_lightning():
        trainer = toy_trainer(tmp_path, max_steps=4, val_check_interval=2)
        trainer.fit(module, datamodule=ToyData())
    assert any(isinstance(callback, StemSampler) for callback in trainer.callbacks)  # pyright: ignore[reportAttributeAccessIssue]
    played = sorted((tmp_path / "samples").iterdir())
    assert [path.name for path in played] == ["step-00000002.wav", "step-00000004.wav"]
    wave, rate = soundfile.read(played[0])
    assert (len(wave), rate) == (min(T, 5) * SPEC.hop, SPEC.sample_rate)
    assert np.isfinite(wave).all()
