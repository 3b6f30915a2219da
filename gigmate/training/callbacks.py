"""What watches over a training: signals, numbers that aren't finite, and the progress bar."""

import logging
import os
import signal
from types import FrameType, MappingProxyType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint, RichProgressBar
from typing_extensions import override

from gigmate.errors import DivergedError
from gigmate.training.checkpoints import CheckpointSaver, finishes_step

log = logging.getLogger(__name__)
EXIT_CODES = MappingProxyType({signal.SIGTERM: 143, signal.SIGUSR1: 143, signal.SIGINT: 130})


class SignalGuard(Checkpoint):
    """On SIGTERM, SIGUSR1 and SIGINT: finish the optimizer step, save, exit 143, 143 and 130.

    A second signal exits at once, without saving; the last checkpoint is whole then as always. (A `Checkpoint` for
    Lightning, which calls those after all other callbacks.)
    """

    def __init__(self) -> None:
        self._exit_code = 0
        self._previous: dict[int, Any] = {}

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the signals over, from Lightning too, which would exit 0 without a checkpoint."""
        self._previous = {number: signal.signal(number, self._receive) for number in EXIT_CODES}

    @override
    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        code = EXIT_CODES[signal.Signals(number)]
        if self._exit_code:
            os._exit(code)
        self._exit_code = code

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Leave if told to and the step is done."""
        if finishes_step(trainer, batch_idx):
            self._leave_if_told(trainer)

    @override
    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Leave amid a validation too, which may be long, unless an accumulation isn't complete."""
        if trainer.state.fn == "fit" and finishes_step(trainer, trainer.fit_loop.batch_idx):
            self._leave_if_told(trainer)

    def _leave_if_told(self, trainer: L.Trainer) -> None:
        # all ranks leave together, or those that stay would wait for ever
        if trainer.world_size > 1:
            told = trainer.strategy.reduce_boolean_decision(bool(self._exit_code), all=False)
            self._exit_code = self._exit_code or (143 if told else 0)
        if not self._exit_code:
            return
        for saver in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(saver, CheckpointSaver):
                saver.save(trainer)
        log.warning("told to stop: left after step %d", trainer.global_step)
        raise SystemExit(self._exit_code)


class FiniteGuard(L.Callback):
    """Keeps NaN and infinity away from the weights: such a step is left out, too many in a row end the training.

    Left out means that the optimizer gets no gradients, and so changes neither weights nor its own state.

    Args:
        max_skipped: steps in a row that may be left out.
    """

    def __init__(self, max_skipped: int = 10) -> None:
        self.max_skipped = max_skipped
        self._num_skipped = 0
        self._is_finite = True
        self._ids: list[str] = []

    @override
    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note what is in this step."""
        if isinstance(batch, dict) and "index" in batch:
            self._ids.append(f"windows {batch['index'].tolist()} of songs {batch['song'].tolist()}")
        else:
            self._ids.append(f"batch {batch_idx}")

    @override
    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: torch.Tensor) -> None:
        """Look at the loss."""
        self._is_finite &= bool(torch.isfinite(loss))

    @override
    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Look at the gradients, and leave the step out if need be.

        Raises:
            DivergedError: too many steps in a row weren't finite.
        """
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        pl_module.log("train/gradient_norm", norm)
        is_finite = trainer.strategy.reduce_boolean_decision(self._is_finite and bool(torch.isfinite(norm)))
        ids, self._ids, self._is_finite = self._ids, [], True
        if is_finite:
            self._num_skipped = 0
            return
        self._num_skipped += 1
        what = f"loss or gradient of step {trainer.global_step} isn't finite (norm {float(norm)}), {', '.join(ids)}"
        log.warning("left out: %s", what)
        if self._num_skipped > self.max_skipped:
            raise DivergedError(
                "diverged",
                f"{what}; {self._num_skipped} steps in a row",
                remedy="look at those windows, lower optimizer.lr or raise callbacks.finite.max_skipped",
            )
        for parameter in pl_module.parameters():
            parameter.grad = None

    @override
    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse to save weights that aren't finite: buffers change without the optimizer.

        Raises:
            DivergedError: a weight isn't finite; the last checkpoint stays.
        """
        for name, tensor in checkpoint["state_dict"].items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise DivergedError(
                    "diverged", f"{name} isn't finite at step {trainer.global_step}", remedy="go on with resume=auto"
                )


class Progress(RichProgressBar):
    """The progress bar; the trainer shows it if `enable_progress_bar` is true."""

    def __init__(self) -> None:
        super().__init__(leave=True)
