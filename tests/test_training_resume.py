"""A training that is stopped and resumed is the uninterrupted one, bit for bit; NaN never reaches the weights."""

import csv
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from training_fakes import ToyData, toy_module, toy_trainer

from gigmate.checkpoint import AVERAGE_KEY, load_lm
from gigmate.errors import CheckpointError, DivergedError
from gigmate.training.callbacks import SignalGuard
from gigmate.training.checkpoints import CheckpointSaver
from gigmate.training.export import Exporter
from gigmate.training.manifest import checkpoint_folder, newest_valid, saved_steps
from gigmate.training.run import quiet_lightning

STEPS = 8  # of two batches of two windows: two epochs of 16


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_lightning():
        yield


def fit(run_dir: Path, *callbacks: L.Callback, resume: Path | None = None, **changes: Any) -> ToyData:
    data = ToyData(**{k: changes.pop(k) for k in ("bad", "num_workers") if k in changes})
    trainer = toy_trainer(run_dir, CheckpointSaver(1, 100), *callbacks, max_steps=STEPS, **changes)
    trainer.fit(toy_module(), datamodule=data, ckpt_path=resume)
    return data


def last(run_dir: Path) -> dict[str, Any]:
    path = newest_valid(checkpoint_folder(run_dir))
    assert path is not None
    return torch.load(path, weights_only=True)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


STATE = ("state_dict", "optimizer_states", "lr_schedulers", AVERAGE_KEY, "global_step")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupts."""
    run_dir = tmp_path_factory.mktemp("whole")
    with quiet_lightning():
        data = fit(run_dir)
    keys = [(epoch, index) for epoch in range(2) for index in range(16)]
    assert data.seen == keys  # each window once an epoch
    return run_dir


@pytest.mark.parametrize("step", range(1, STEPS))
def test_resumed_is_uninterrupted_bit_for_bit(tmp_path: Path, whole: Path, step: int) -> None:
    torch.manual_seed(step)  # whatever happened before must not matter
    data = fit(tmp_path, resume=checkpoint_folder(whole) / f"step-{step:08d}.ckpt")
    assert data.seen[0] == divmod(step * 4, 16)
    assert len(data.seen) == 32 - 4 * step
    for part in STATE:
        assert same(last(whole)[part], last(tmp_path)[part]), part


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path, whole: Path) -> None:
    fit(tmp_path, resume=checkpoint_folder(whole) / "step-00000003.ckpt", num_workers=2)
    for part in STATE:
        assert same(last(whole)[part], last(tmp_path)[part]), part


def test_dropout_is_on_or_the_law_says_little(whole: Path, tmp_path: Path) -> None:
    from gigmate.training.step_seed import StepSeed

    trainer = toy_trainer(tmp_path, CheckpointSaver(1, 100), max_steps=STEPS)
    next(c for c in trainer.callbacks if isinstance(c, StepSeed)).seed = 1  # pyright: ignore[reportAttributeAccessIssue]
    trainer.fit(toy_module(), datamodule=ToyData())
    assert not same(last(whole)["state_dict"], last(tmp_path)["state_dict"])


class Kick(L.Callback):
    """Sends this process a signal at a given batch of training or validation."""

    def __init__(self, number: int, at: int, hook: str) -> None:
        self.number, self.at, self.hook, self.seen = number, at, hook, 0

    def _count(self, hook: str) -> None:
        if hook == self.hook:
            self.seen += 1
            if self.seen == self.at:
                os.kill(os.getpid(), self.number)

    def on_train_batch_start(self, *args: Any, **more: Any) -> None:
        self._count("train")

    def on_validation_batch_start(self, *args: Any, **more: Any) -> None:
        self._count("valid")


@pytest.mark.parametrize(
    ("number", "code", "at", "hook"),
    [
        (signal.SIGTERM, 143, 1, "train"),
        (signal.SIGUSR1, 143, 6, "train"),
        (signal.SIGINT, 130, 8, "train"),
        (signal.SIGTERM, 143, 9, "train"),
        (signal.SIGTERM, 143, 2, "valid"),
        (signal.SIGTERM, 143, 3, "valid"),
    ],
)
def test_a_signal_finishes_the_step_saves_and_exits(
    tmp_path: Path, whole: Path, number: int, code: int, at: int, hook: str
) -> None:
    before = signal.getsignal(number)
    data = ToyData()
    trainer = toy_trainer(tmp_path, SignalGuard(), CheckpointSaver(100, 2), Kick(number, at, hook), max_steps=STEPS)
    with pytest.raises(SystemExit) as leaving:
        trainer.fit(toy_module(), datamodule=data)
    assert leaving.value.code == code
    assert signal.getsignal(number) == before
    saved = newest_valid(checkpoint_folder(tmp_path))
    assert saved is not None
    assert 0 < len(data.seen) < 32
    assert len(data.seen) % 4 == 0  # whole steps of two batches
    fit(tmp_path, resume=saved)
    for part in STATE:
        assert same(last(whole)[part], last(tmp_path)[part]), part


def test_the_newest_few_are_kept(tmp_path: Path) -> None:
    trainer = toy_trainer(tmp_path, CheckpointSaver(2, 3), max_steps=STEPS + 1)
    trainer.fit(toy_module(), datamodule=ToyData())
    folder = checkpoint_folder(tmp_path)
    assert [path.stem for path in saved_steps(folder)] == ["step-00000009", "step-00000008", "step-00000006"]
    assert len(list(folder.iterdir())) == 6


def test_a_checkpoint_of_another_training_is_refused_by_field(whole: Path) -> None:
    module, content = toy_module(), last(whole)
    exporter = Exporter(whole, {})
    exporter.judge(module, content)
    with pytest.raises(CheckpointError, match=r"GM-other_optimizer.*_target_ None -> torch\.optim\.SGD"):
        Exporter(whole, {"optimizer": {"_target_": "torch.optim.SGD"}}).judge(module, content)
    with pytest.raises(CheckpointError, match=r"GM-weights_only.*init_from="):
        exporter.judge(module, {k: v for k, v in content.items() if k != "optimizer_states"})
    state = {name.replace("net.heads", "net.tails"): t for name, t in content["state_dict"].items()}
    with pytest.raises(CheckpointError, match=r"missing net\.heads\.weight, extra net\.tails\.weight"):
        exporter.judge(module, {**content, "state_dict": state})
    module.codec = replace(module.codec, fingerprint="0")
    with pytest.raises(CheckpointError, match=r"GM-other_codec.*fingerprint f+ -> 0"):
        exporter.judge(module, content)
    module.net.config = replace(module.net.config, dropout=0.5)
    with pytest.raises(CheckpointError, match=r"GM-other_model.*dropout 0\.2 -> 0\.5"):
        exporter.judge(module, content)


def test_a_checkpoint_plays_with_the_averaged_weights(whole: Path) -> None:
    path = newest_valid(checkpoint_folder(whole))
    assert path is not None
    content, loaded = last(whole), load_lm(path)
    assert torch.equal(loaded.model.heads.weight, content[AVERAGE_KEY]["net.heads.weight"])
    assert not torch.equal(loaded.model.heads.weight, content["state_dict"]["net.heads.weight"])
    assert loaded.bundle.provenance["steps"] == STEPS
    assert loaded.bundle.provenance["data"] == ["toy"]


def test_validation_is_a_table_over_time(whole: Path) -> None:
    with (whole / "validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 3, 4, 6, 7]
    for name in ("valid/loss", "valid/unigram_entropy_k1", "valid/swapped_minus2", "valid/true_0", "valid/true_plus2"):
        assert all(float(row[name]) > 0 for row in rows)


# ------------------------------------------------------------------------------------------------ not finite


def weights_by_step(run_dir: Path) -> dict[int, dict[str, torch.Tensor]]:
    paths = saved_steps(checkpoint_folder(run_dir))
    return {int(p.stem[5:]): torch.load(p, weights_only=True)["state_dict"] for p in paths}


def test_a_bad_window_changes_nothing_and_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(tmp_path, bad=frozenset({9}))  # in the third step
    weights = weights_by_step(tmp_path)
    assert same(weights[3], weights[2])
    assert not same(weights[4], weights[3])
    assert "windows [8, 9] of songs [0, 0]" in caplog.text
    assert all(torch.isfinite(t).all() for t in weights[STEPS].values())


class Poison(L.Callback):
    """Plants NaN or infinity at one place of every step."""

    def __init__(self, place: str, value: float) -> None:
        self.place, self.value = place, value

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: torch.Tensor) -> None:
        if self.place == "loss":
            loss.data.fill_(self.value)

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        if self.place == "gradient":
            pl_module.net.heads.weight.grad[0, 0] = self.value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["loss", "gradient"])
def test_steps_that_are_not_finite_are_left_out_then_end_it(tmp_path: Path, place: str, value: float) -> None:
    trainer = toy_trainer(tmp_path, CheckpointSaver(1, 100), max_steps=STEPS)
    trainer.callbacks.insert(0, Poison(place, value))  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(DivergedError, match="3 steps in a row") as caught:
        trainer.fit(toy_module(), datamodule=ToyData())
    assert caught.value.exit_code == 6
    weights = weights_by_step(tmp_path)
    assert sorted(weights) == [1, 2]
    start = toy_module().state_dict()
    assert same(weights[2], dict(start))


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    class Spoil(L.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **more: Any) -> None:
            if trainer.global_step == 2:
                pl_module.net.heads.weight.data[0] = torch.nan

    with pytest.raises(DivergedError, match=r"heads\.weight isn't finite at step 2"):
        fit(tmp_path, Spoil())
    assert list(weights_by_step(tmp_path)) == [1]


# ------------------------------------------------------------------------------------------------ other processes


SCRIPT = """
    import sys, time
    from pathlib import Path
    sys.path[:0] = [{tests!r}, {repo!r}]
    import lightning as L
    import torch
    from training_fakes import ToyData, toy_module, toy_trainer
    from gigmate.training.callbacks import SignalGuard
    from gigmate.training.checkpoints import CheckpointSaver
    from gigmate.training.manifest import checkpoint_folder, newest_valid
    from gigmate.training.run import quiet_lightning
    torch.set_num_threads(1)

    class Slow(L.Callback):
        def on_train_start(self, *_):
            print("training", flush=True)
        def on_train_batch_start(self, *_):
            time.sleep(0.1)

    run_dir = Path(sys.argv[1])
    with quiet_lightning():
        trainer = toy_trainer(run_dir, CheckpointSaver(2, 2), SignalGuard(), Slow(), max_steps={steps})
        trainer.fit(toy_module(), datamodule=ToyData(), ckpt_path=newest_valid(checkpoint_folder(run_dir)))
"""


def exit_code_after(run_dir: Path, number: int, delay_s: float) -> int:
    """Of a process that trains on in `run_dir` and is signalled that long after it began."""
    tests = Path(__file__).parent
    script = textwrap.dedent(SCRIPT.format(tests=str(tests), repo=str(tests.parent), steps=50 * STEPS))
    with subprocess.Popen([sys.executable, "-c", script, str(run_dir)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        time.sleep(delay_s)
        process.send_signal(number)
        return process.wait(120)


@pytest.mark.slow
def test_a_process_stopped_and_killed_again_and_again_ends_where_a_whole_one_does(tmp_path: Path) -> None:
    whole, often = tmp_path / "whole", tmp_path / "often"
    codes = {signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}
    for delay_s, (number, code) in zip((0.1, 0.7, 0.3), codes.items(), strict=True):
        assert exit_code_after(often, number, delay_s) == code
    reached = int(last(often)["global_step"]) + 4
    for run_dir in (whole, often):
        trainer = toy_trainer(run_dir, CheckpointSaver(2, 2), max_steps=reached)
        trainer.fit(toy_module(), datamodule=ToyData(), ckpt_path=newest_valid(checkpoint_folder(run_dir)))
    for part in STATE:
        assert same(last(whole)[part], last(often)[part]), part


def test_a_second_signal_exits_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    guard = SignalGuard()
    guard._receive(signal.SIGTERM, None)
    assert not left
    guard._receive(signal.SIGINT, None)
    assert left == [130]
