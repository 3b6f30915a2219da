"""The data modules in a real trainer: every window once, and a resumed run sees what the uninterrupted one saw."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from data_fakes import SPEC, FakeCodec, FakeSource, audio_job, token_job
from torch import Tensor

from gigmate.data import make
from gigmate.data.loading import BatchKeys, open_folders
from gigmate.data.module import AudioData, TokenData
from gigmate.data.prepare import Policy, prepare_songs
from gigmate.errors import InputError

# Lightning's remarks on its own imports and on loaders without workers; "not resumable" is none of them.
_IGNORE = "ignore:.*(isinstance.treespec, LeafSpec|does not have many workers).*"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokens")
    with pytest.MonkeyPatch.context() as patch:
        make.encoder_of.cache_clear()
        patch.setattr("gigmate.codec.catalog.load_codec", lambda config, device: FakeCodec())
        prepare_songs(token_job(folder), Policy())
    return str(folder)


def token_data(folder: str, num_workers: int = 0, **changes: Any) -> TokenData:
    settings = {"window_s": 0.8, "batch_size": 2, "windows_per_epoch": 11, "valid_windows": 5, "max_lookahead_s": 0.2}
    return TokenData([folder], num_workers=num_workers, **{**settings, **changes})


class Recorder(L.LightningModule):
    """Trains one number and notes the windows it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, bytes]] = []

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        for row, index in enumerate(batch["index"].tolist()):
            self.seen.append((index, b"".join(value[row].numpy().tobytes() for value in batch.values())))
        return self.weight.square()

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data: L.LightningDataModule, folder: Path, max_steps: int, **changes: Any) -> Recorder:
    torch.manual_seed(0)
    module = Recorder()
    resume = changes.pop("ckpt_path", None)
    settings: dict[str, Any] = {
        "max_steps": max_steps,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": folder,
        "use_distributed_sampler": False,
        "check_val_every_n_epoch": None,
        "val_check_interval": 4,
        "num_sanity_val_steps": 1,
    }
    trainer = L.Trainer(**settings | changes)
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True if resume else None)
    return module


class SaveEvery(L.Callback):
    """One file per optimizer step, at the place where ours saves too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        path = self.folder / f"step={trainer.global_step}.ckpt"
        if trainer.global_step and not path.exists():  # amid an accumulation the step is an old one
            trainer.save_checkpoint(path)


def resume(data: L.LightningDataModule, folder: Path, max_steps: int, step: int, **changes: Any) -> Recorder:
    """As `fit`, from what `SaveEvery(folder / "ckpt")` left after `step`."""
    return fit(data, folder, max_steps, ckpt_path=folder / "ckpt" / f"step={step}.ckpt", **changes)


@pytest.mark.filterwarnings(_IGNORE)
@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_resumed_run_sees_what_the_uninterrupted_one_saw(tmp_path: Path, folder: str, num_workers: int) -> None:
    """Epochs have 5 batches: saved amid, right before, at and after the end of an epoch, and with validation."""
    whole = fit(token_data(folder, num_workers), tmp_path, 12, callbacks=[SaveEvery(tmp_path / "ckpt")])
    assert [index for index, _ in whole.seen] == [*range(10), *range(10), *range(4)]
    assert len(set(whole.seen)) == 24  # later epochs have other windows

    for step in (3, 4, 5, 6, 10) if num_workers == 0 else (5, 6):
        resumed = resume(token_data(folder, num_workers), tmp_path, 12, step)
        assert resumed.seen == whole.seen[2 * step :], f"resumed after step {step}"


@pytest.mark.filterwarnings(_IGNORE)
@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path, folder: str) -> None:
    alone, helped = (fit(token_data(folder, workers), tmp_path, 7) for workers in (0, 2))
    assert alone.seen == helped.seen


def test_loaders_leave_the_generator_of_torch_alone(folder: str) -> None:
    """Else the number of epochs and validations would move the dropout of a resumed run."""
    data = token_data(folder)
    before = torch.get_rng_state()
    for loader in (data.train_dataloader(), data.val_dataloader()):
        next(iter(loader))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.filterwarnings(_IGNORE)
def test_accumulation_resumes_at_whole_steps(tmp_path: Path, folder: str) -> None:
    callbacks = [SaveEvery(tmp_path / "ckpt")]
    whole = fit(token_data(folder), tmp_path, 6, callbacks=callbacks, accumulate_grad_batches=2)
    resumed = resume(token_data(folder), tmp_path, 6, 2, accumulate_grad_batches=2)
    assert len(whole.seen) == 20  # 5 batches an epoch: the last one of each is a step of its own
    assert resumed.seen == whole.seen[8:]


@pytest.mark.filterwarnings(_IGNORE)
def test_overfitting_gets_the_same_batches_again_and_again(tmp_path: Path, folder: str) -> None:
    module = fit(token_data(folder), tmp_path, 6, overfit_batches=2, val_check_interval=1.0, check_val_every_n_epoch=1)
    assert module.seen[:4] == module.seen[4:8] == module.seen[8:]


def test_validation_is_the_same_for_every_run_and_in_every_epoch(folder: str) -> None:
    one, other = token_data(folder, seed=1).val_dataloader(), token_data(folder, seed=2).val_dataloader()
    for _ in range(2):
        batches = list(zip(one, other, strict=True))
        assert [len(batch["song"]) for batch, _ in batches] == [2, 2, 1]
        assert all(torch.equal(a[key], b[key]) for a, b in batches for key in a)
    valid = {song.number for song in token_data(folder).songs if song.card.split == "valid"}
    assert {int(n) for batch in one for n in batch["song"]} <= valid


def test_training_uses_training_songs_only(folder: str) -> None:
    data = token_data(folder, windows_per_epoch=100)
    train = {song.number for song in data.songs if song.card.split == "train"}
    assert {int(n) for batch in data.train_dataloader() for n in batch["song"]} == train


def test_facts_for_the_model(folder: str) -> None:
    data = token_data(folder, min_lookahead_s=-0.1)
    assert (data.spec, data.num_features, data.min_lookahead_frames, data.max_lookahead_frames) == (SPEC, 108, -5, 10)


@pytest.mark.parametrize(("num_ranks", "windows"), [(1, 12), (3, 12), (2, 17)])
def test_ranks_share_an_epoch_without_overlap(num_ranks: int, windows: int) -> None:
    samplers = [BatchKeys(2, windows, lambda: 0, rank, num_ranks) for rank in range(num_ranks)]
    keys = [key for sampler in samplers for batch in sampler for key in batch]
    assert sorted(keys) == [(0, i) for i in range(windows // (2 * num_ranks) * 2 * num_ranks)]


def test_batches_count_on_across_epochs() -> None:
    keys = list(BatchKeys(2, 7, lambda: 2))
    assert keys == [[(0, 4), (0, 5)], [(1, 0), (1, 1)], [(1, 2), (1, 3)]]


def test_an_epoch_holds_a_batch() -> None:
    with pytest.raises(ValueError, match="one batch alone takes 8"):
        BatchKeys(4, 7, num_ranks=2)


def test_unlike_folders_are_refused(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="holds tokens, audio is needed"):
        AudioData([folder], window_s=1.0, batch_size=2)

    class OtherCodec(FakeCodec):
        spec = type(SPEC)("other", 8_000, 1, 160, 2, 64, "e" * 64)

    make.encoder_of.cache_clear()
    monkeypatch.setattr("gigmate.codec.catalog.load_codec", lambda config, device: OtherCodec())
    prepare_songs(token_job(tmp_path / "other"), Policy())
    make.encoder_of.cache_clear()
    with pytest.raises(InputError, match=r"made by other eeeeeeeeeeee, but .* by fake ffffffffffff"):
        open_folders([folder, str(tmp_path / "other")], "tokens")


def test_a_group_in_two_splits_of_two_folders_is_a_leak(tmp_path: Path) -> None:
    for name, split in (("a", "train"), ("b", "valid")):
        prepare_songs(audio_job(tmp_path / name, FakeSource(2, splits=(split, split))), Policy())
    with pytest.raises(InputError, match="GM-leak"):
        AudioData([str(tmp_path / "a"), str(tmp_path / "b")], window_s=1.0, batch_size=2)


def test_a_split_without_songs_is_said(tmp_path: Path) -> None:
    prepare_songs(audio_job(tmp_path), Policy(valid_fraction=0.0))
    data = AudioData([str(tmp_path)], window_s=1.0, batch_size=2)
    assert next(iter(data.train_dataloader()))["wave"].shape == (2, 1, 24_000)
    with pytest.raises(InputError, match="no song of 6 is for valid"):
        data.val_dataloader()
