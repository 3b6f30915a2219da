"""Randomness that a restart can't change."""

from typing import Any

import lightning as L
import numpy as np
import torch
from typing_extensions import override


class StepSeed(L.Callback):
    """Makes the randomness of every batch a function of (seed, optimizer step, place in the accumulation, rank).

    A resumed run then draws what the uninterrupted one would have drawn, whatever validation, loaders or the restart
    itself have drawn in between, and no state of a generator needs to be saved.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    @override
    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed torch for this batch."""
        key = [self.seed, trainer.global_step, batch_idx % trainer.accumulate_grad_batches, trainer.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
