"""Sound from a model in training: ears notice what losses don't."""

import logging
from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch
from typing_extensions import override

from gigmate.audio import write_wav
from gigmate.codec.base import Codec
from gigmate.generation.offline import generate
from gigmate.generation.sampler import TopK
from gigmate.model.streams import codes_of, sounding_notes

log = logging.getLogger(__name__)


class StemSampler(L.Callback):
    """After a validation, plays along to the first validation window: `<run>/samples/step-00000500.wav`.

    Args:
        load_codec: makes the codec; called at the first sample.
        every_steps: at least that many optimizer steps lie between two samples.
        seconds: length of each, if the window is that long.
    """

    def __init__(self, load_codec: Callable[[], Codec], every_steps: int, seconds: float) -> None:
        self.load_codec, self.every_steps, self.seconds = load_codec, every_steps, seconds
        self._codec: Codec | None = None
        self._last_step = 0

    @override
    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Play, if it is time; the averaged weights are still in the module."""
        from gigmate.training.lm_module import LMModule, frame_conditions

        step = trainer.global_step
        if not isinstance(pl_module, LMModule) or step - self._last_step < self.every_steps:
            return
        self._last_step = step
        self._codec = codec = self._codec or self.load_codec()
        batch = next(iter(trainer.val_dataloaders))  # pyright: ignore[reportCallIssue, reportArgumentType]
        frames = min(int(self.seconds * codec.spec.frame_rate), batch["codes"].shape[2])
        conditions = frame_conditions(batch).rows(slice(0, 1)).to(pl_module.device)
        streams = generate(pl_module.net, conditions, frames, TopK(), seed=step)
        streams = streams.cpu()
        notes = sounding_notes(streams, pl_module.config)
        wave = codec.decode(codes_of(streams, pl_module.config), notes)[0].numpy()
        path = Path(trainer.default_root_dir) / "samples" / f"step-{step:08d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, wave, codec.spec.sample_rate)
        log.info("played a sample: %s", path)
        for logger in trainer.loggers:
            if hasattr(logger, "log_audio"):
                logger.log_audio("samples/stem", [str(path)], step=step)  # pyright: ignore[reportAttributeAccessIssue]
