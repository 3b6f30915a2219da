"""An exponential average of the weights: nearly free, and better than the last weights of a short training."""

from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
from torch import Tensor
from typing_extensions import override

from gigmate.checkpoint import AVERAGE_KEY


def _floats(module: L.LightningModule) -> Iterator[tuple[str, Tensor]]:
    return ((name, tensor) for name, tensor in module.state_dict().items() if tensor.is_floating_point())


class WeightAverage(L.Callback):
    """Keeps `average = d * average + (1 - d) * weights` after every optimizer step and validates with it.

    d rises with the steps, `min(decay, (1 + n) / (10 + n))`, so that the random start is soon forgotten. The average
    travels in the checkpoint beside the weights that are trained, and is what gets exported.

    Args:
        decay: in [0, 1), where d ends.
    """

    def __init__(self, decay: float = 0.999) -> None:
        self.decay = decay
        self.average: dict[str, Tensor] = {}
        self._trained: dict[str, Tensor] = {}
        self._step = -1

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start from the weights, or from the checkpoint's average."""
        start = self.average or dict(_floats(pl_module))
        self.average = {name: start[name].to(tensor, copy=True) for name, tensor in _floats(pl_module)}
        self._step = trainer.global_step

    @override
    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average, if the optimizer has stepped."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        decay = min(self.decay, (1 + self._step) / (10 + self._step))
        for name, tensor in _floats(pl_module):
            self.average[name].lerp_(tensor.detach(), 1 - decay)

    @override
    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the average into the module."""
        if self.average:
            self._trained = {name: tensor.clone() for name, tensor in _floats(pl_module)}
            _copy(self.average, pl_module)

    @override
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the trained weights back."""
        _copy(self._trained, pl_module)
        self._trained = {}

    @override
    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Put the trained weights back if validation was interrupted."""
        self.on_validation_end(trainer, pl_module)

    @override
    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the average; amid a validation, the module's own weights are the average, not what is trained."""
        checkpoint[AVERAGE_KEY] = dict(self.average)
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **self._trained}

    @override
    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take the average from the checkpoint, if it has one."""
        self.average = dict(checkpoint.get(AVERAGE_KEY, {}))


@torch.no_grad()
def _copy(weights: dict[str, Tensor], module: L.LightningModule) -> None:
    if weights:
        for name, tensor in _floats(module):
            tensor.copy_(weights[name])
