"""Saves checkpoints and reads them back: atomically, verified, without running anything in them."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import CheckpointIO
from typing_extensions import override

from gigmate.files.atomic import atomic_file, remove_leftovers, write_bytes
from gigmate.files.ckpt_file import load_ckpt
from gigmate.training.manifest import (
    Manifest,
    checkpoint_folder,
    checkpoint_path,
    manifest_path,
    open_verified,
    superseded,
)

log = logging.getLogger(__name__)


class _HashingFile:
    """Passes what is written on to a file and hashes it on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest, self.bytes = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.bytes += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


class VerifiedCheckpointIO(CheckpointIO):
    """How Lightning reads and writes checkpoints here: atomically, with a manifest, running nothing.

    Args:
        judge: looks at what was read before anything is restored from it; raises CheckpointError to refuse it.
    """

    def __init__(self, judge: Callable[[dict[str, Any]], None] = lambda content: None) -> None:
        self.judge = judge

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` and then its manifest; see `manifest.py`.

        Raises:
            MachineError: the disk is full or can't be written; older checkpoints are untouched.
        """
        with atomic_file(path) as file:
            hashing = _HashingFile(file)
            torch.save(checkpoint, hashing)  # pyright: ignore[reportArgumentType]
        manifest = Manifest(hashing.digest.hexdigest(), hashing.bytes, int(checkpoint["global_step"]))
        write_bytes(manifest_path(path), json.dumps(asdict(manifest), indent=2).encode())

    @override
    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """The content of a checkpoint that matches its manifest, on the CPU; `weights_only` is always true.

        Raises:
            CheckpointError: it doesn't, or holds anything but values and tensors.
        """
        with open_verified(path) as file:
            content = load_ckpt(file, path)
        self.judge(content)
        return content

    @override
    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint; its manifest first, so that no half of it is taken for a whole one."""
        manifest_path(path).unlink(missing_ok=True)
        Path(path).unlink(missing_ok=True)


def finishes_step(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether the optimizer has stepped after this batch: amid an accumulation a checkpoint would lose gradients."""
    return trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0


class CheckpointSaver(Checkpoint):
    """Saves every so many optimizer steps, and at the last one; keeps the newest few.

    (A `Checkpoint` for Lightning, which calls those after all other callbacks.)

    Args:
        every_steps: optimizer steps between two saves.
        keep: how many to keep.
    """

    def __init__(self, every_steps: int, keep: int) -> None:
        self.every_steps, self.keep = every_steps, keep
        self._last_step = -1

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Clear away what a dead writer left."""
        if stage == "fit" and trainer.is_global_zero:
            for path in remove_leftovers(checkpoint_folder(trainer.default_root_dir)):
                log.warning("removed %s, left behind by a training that was killed", path)

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time."""
        step = trainer.global_step
        if finishes_step(trainer, batch_idx) and (step % self.every_steps == 0 or step == trainer.max_steps):
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        """Save now, if this step isn't saved yet; must be called where `finishes_step` holds.

        Raises:
            MachineError: see `VerifiedCheckpointIO`.
        """
        step = trainer.global_step
        if step == self._last_step:
            return
        folder = checkpoint_folder(trainer.default_root_dir)
        path = checkpoint_path(folder, step)
        trainer.save_checkpoint(path)
        self._last_step = step
        if trainer.is_global_zero:
            open_verified(path).close()  # what can't be read back replaces nothing
            for old in superseded(folder, step, self.keep):
                trainer.strategy.remove_checkpoint(old)
        log.info("saved %s", path)
