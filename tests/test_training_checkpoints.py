"""Checkpoints of a training: a kill leaves the previous or the new one, and only a whole one is ever used."""

import contextlib
import logging
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from reporting import Report

from gigmate.errors import CheckpointError, MachineError, UsageError
from gigmate.files.atomic import atomic_file, remove_leftovers
from gigmate.training.checkpoints import VerifiedCheckpointIO
from gigmate.training.folder import find_resumed, run_folder
from gigmate.training.manifest import (
    checkpoint_folder,
    manifest_path,
    newest_valid,
    open_verified,
    read_manifest,
    superseded,
)


def content(step: int, size: int = 1000) -> dict[str, Any]:
    return {"state_dict": {"net.w": torch.full((size,), float(step))}, "global_step": step}


def save(folder: Path, step: int, size: int = 1000) -> Path:
    path = folder / f"step-{step:08d}.ckpt"
    VerifiedCheckpointIO().save_checkpoint(content(step, size), path)
    return path


def value_of(path: Path) -> float:
    return float(VerifiedCheckpointIO().load_checkpoint(path)["state_dict"]["net.w"][0])


def test_what_is_saved_is_read_back_with_its_manifest(tmp_path: Path) -> None:
    path = save(tmp_path, 7)
    assert value_of(path) == 7
    manifest = read_manifest(path)
    assert manifest.step == 7
    assert manifest.bytes == path.stat().st_size
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000007.ckpt", "step-00000007.json"]


def test_resume_takes_the_newest_step_not_the_newest_file(tmp_path: Path) -> None:
    for step in (900, 1000, 20):
        save(tmp_path, step)
    os.utime(tmp_path / "step-00001000.ckpt", (0, 0))  # as after a clock that was set back
    assert newest_valid(tmp_path) == tmp_path / "step-00001000.ckpt"


def test_damaged_checkpoints_are_passed_over_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, report: Report
) -> None:
    old, new = save(tmp_path, 1), save(tmp_path, 2)
    whole = new.read_bytes()
    generator = torch.Generator().manual_seed(0)
    cuts = [whole[: len(whole) * i // 20] for i in range(20)]
    places = torch.randint(len(whole), (20,), generator=generator).tolist()
    flips = [whole[:p] + bytes([whole[p] ^ (1 << (p % 8))]) + whole[p + 1 :] for p in places]
    found = 0
    for damaged in (*cuts, *flips, b"", b"<html></html>", whole + b"x"):
        new.write_bytes(damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found += newest_valid(tmp_path) == old
        assert "step-00000002.ckpt" in caplog.text
        with pytest.raises(CheckpointError, match=r"GM-(empty|truncated|corrupt)"):
            VerifiedCheckpointIO().load_checkpoint(new)
    report("p04_damaged_passed_over", found, "of 43")
    assert found == 43


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (None, "unfinished"),
        (b"", "unfinished"),
        (b"{", "manifest"),
        (b"[]", "manifest"),
        (b'{"sha256": "x", "bytes": 1, "step": "1"}', "manifest"),
        (b'{"sha256": "x", "bytes": 1, "step": 1, "more": 1}', "manifest"),
        (b'{"sha256": "x", "bytes": 1, "step": 1, "format": 2}', "newer_format"),
        (b"[" * 60_000, "manifest"),
    ],
)
def test_a_checkpoint_without_a_sound_manifest_is_refused(tmp_path: Path, manifest: bytes | None, code: str) -> None:
    path = save(tmp_path, 1)
    if manifest is None:
        manifest_path(path).unlink()
    else:
        manifest_path(path).write_bytes(manifest)
    with pytest.raises(CheckpointError, match=f"GM-{code}"):
        open_verified(path)
    assert newest_valid(tmp_path) is None


def test_a_file_swapped_after_the_check_is_not_what_is_loaded(tmp_path: Path) -> None:
    path, other = save(tmp_path, 1), save(tmp_path / "other", 2)
    with open_verified(path) as file:
        os.replace(other, path)
        assert float(torch.load(file, weights_only=True)["state_dict"]["net.w"][0]) == 1


class Faults:
    """Makes the n-th call of some functions of `os` fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
        self.calls, self.fails_at = 0, fails_at
        for name in ("fsync", "replace", "open"):
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name)))

    def wrap(self, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self.fails_at:
                raise OSError(28, "No space left on device")
            return function(*args, **kwargs)

        return call


def test_a_disk_that_fails_at_any_call_leaves_the_previous_whole(tmp_path: Path) -> None:
    save(tmp_path, 1)
    failed = 0
    for n in range(1, 20):
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, n)
            with contextlib.suppress(MachineError):
                save(tmp_path, 2)
                failed -= 1
            failed += 1
        if faults.calls < n:
            break
        newest = newest_valid(tmp_path)
        assert newest is not None
        assert value_of(newest) in (1, 2)
        assert value_of(tmp_path / "step-00000001.ckpt") == 1
        assert not list(tmp_path.glob("*.tmp.*"))
    assert failed >= 6


def kill_while_saving(folder: Path, delay_s: float) -> None:
    """Let a child save step after step and kill it some time after it began."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork of a process with threads: the child only saves
        pid = os.fork()
    if pid == 0:
        try:
            first = 1 + max((int(p.stem[5:]) for p in folder.glob("step-*.ckpt")), default=0)
            for step in range(first, first + 10_000):
                save(folder, step, size=200_000)
        finally:
            os._exit(1)
    time.sleep(delay_s)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_a_kill_at_any_instant_leaves_a_whole_checkpoint(tmp_path: Path, kills: int, report: Report) -> None:
    save(tmp_path, 1, size=200_000)
    generator = torch.Generator().manual_seed(0)
    for _ in range(kills):
        before = newest_valid(tmp_path)
        kill_while_saving(tmp_path, 0.005 + 0.03 * float(torch.rand((), generator=generator)))
        after = newest_valid(tmp_path)
        assert before is not None
        assert after is not None
        assert before.is_file()
        assert int(after.stem[5:]) >= int(before.stem[5:])
        assert value_of(after) == int(after.stem[5:])
        remove_leftovers(tmp_path)
        assert not list(tmp_path.glob("*.tmp.*"))
        for path in superseded(tmp_path, int(after.stem[5:]), 2):
            VerifiedCheckpointIO().remove_checkpoint(path)
    report("p03_kills_survived", kills)


def test_leftovers_of_the_living_stay(tmp_path: Path) -> None:
    dead, living, other = tmp_path / "a.tmp.999999999", tmp_path / f"b.tmp.{os.getppid()}", tmp_path / "c.tmp.x"
    for path in (dead, living, other):
        path.touch()
    assert remove_leftovers(tmp_path) == [dead]
    assert living.exists()
    assert other.exists()
    with atomic_file(tmp_path / "new") as file:
        file.write(b"1")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new").read_bytes() == b"1"


# ------------------------------------------------------------------------------------------------ run folder, resume


def test_a_run_folder_with_results_is_refused_unless_resumed(tmp_path: Path) -> None:
    run_dir = tmp_path / "runs" / "a"
    with run_folder(run_dir, is_resumed=False):
        (run_dir / "model.safetensors").touch()
    with pytest.raises(UsageError, match=r"isn't empty.*resume=auto"), run_folder(run_dir, is_resumed=False):
        pass
    with run_folder(run_dir, is_resumed=True):
        pass


def test_two_trainings_in_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        run_folder(tmp_path, is_resumed=False),
        pytest.raises(MachineError, match="another training"),
        run_folder(tmp_path, is_resumed=True),
    ):
        pass
    with run_folder(tmp_path, is_resumed=True):
        pass


def test_a_run_folder_that_cannot_be_made_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="GM-disk"), run_folder(tmp_path / "file" / "run", is_resumed=False):
        pass


def test_resume_finds_what_it_should(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = checkpoint_folder(tmp_path)
    assert find_resumed(None, tmp_path) is None
    with caplog.at_level(logging.INFO):
        assert find_resumed("auto", tmp_path) is None
        assert "no checkpoint" in caplog.text
        path = save(folder, 5)
        assert find_resumed("auto", tmp_path) == path
        assert f"going on from {path}" in caplog.text
    assert find_resumed(str(path), tmp_path / "elsewhere") == path
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError, match="none of its checkpoints is whole"):
        find_resumed("auto", tmp_path)
    with pytest.raises(CheckpointError, match="GM-truncated"):
        find_resumed(str(path), tmp_path)
    with pytest.raises(CheckpointError, match="GM-missing"):
        find_resumed(str(tmp_path / "none.ckpt"), tmp_path)


def test_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    from gigmate.files.bundle import Bundle

    path = tmp_path / "model.safetensors"
    Bundle("codec", {}, {"w": torch.zeros(1)}).save(path)
    with pytest.raises(CheckpointError, match="init_from="):
        find_resumed(str(path), tmp_path)
