"""`train.py`: a config in, a trained model in the run folder out.

seed ── data ── module ── callbacks, loggers ── Trainer.fit ── last validation ── export
"""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch

from gigmate.checkpoint import load_any
from gigmate.config.registry import build, primitives
from gigmate.device import check_accelerator
from gigmate.errors import MachineError, UsageError
from gigmate.training.assembly import build_module, build_trainer, provenance_of
from gigmate.training.export import Exporter, bundle_of
from gigmate.training.folder import find_resumed, run_folder

log = logging.getLogger(__name__)
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # windows are cut in less time than a worker takes to hand them over
    ".*smaller than the logging interval.*",
    ".*GPU available but not used.*",
    ".*MPS available but not used.*",
    ".*is not resumable.*",  # the data module keeps the position, not the loader
    ".*Checkpoint directory .* exists.*",
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
)


def train(cfg: Any) -> float:
    """Train as the config of the root `train` says.

    Returns:
        The figure named `optimized_metric`.

    Raises:
        UsageError: the run folder is in use, or the figure isn't one.
        CheckpointError: what is to be resumed or started from is refused.
        MachineError: no such device, disk or memory full, or another training in the same folder.
        DivergedError: the numbers left the finite.
        SystemExit: after a signal; the state was saved.
    """
    config = primitives(cfg)
    check_accelerator(config["trainer"]["accelerator"])
    run_dir = Path(config["paths"]["run_dir"])
    with run_folder(run_dir, is_resumed=config["resume"] is not None), quiet_lightning():
        if config["prepare"] is not None:
            from gigmate.data.prepare import prepare

            prepare(config["prepare"])
        try:
            return _train(config, run_dir)
        except torch.OutOfMemoryError as error:
            remedy = "lower loader.batch_size and raise trainer.accumulate_grad_batches"
            raise MachineError("memory", f"the device's memory is full: {error}", remedy=remedy) from error


def _train(config: dict[str, Any], run_dir: Path) -> float:
    resumed = find_resumed(config["resume"], run_dir)
    L.seed_everything(config["seed"], verbose=False)
    data = build(config["loader"], "loader", seed=config["seed"])
    data.prepare_data()
    data.setup("fit")
    module = build_module(config, data)
    if config["init_from"] is not None and resumed is None:
        load_any(config["init_from"], bundle_of(module).kind).load_into(module.net)  # pyright: ignore[reportArgumentType]
    exporter = Exporter(run_dir, provenance_of(config))
    trainer = build_trainer(config, run_dir, module, exporter)
    start = time.monotonic()
    trainer.fit(module, datamodule=data, ckpt_path=resumed)
    seconds = time.monotonic() - start
    if trainer.limit_val_batches and exporter.last_step != trainer.global_step:
        trainer.validate(module, datamodule=data, verbose=False)
    exporter.export(trainer, module, {"fit_seconds": round(seconds, 3)})
    return _figure(trainer, config["optimized_metric"])


def _figure(trainer: L.Trainer, name: str) -> float:
    if name not in trainer.callback_metrics:
        known = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
        raise UsageError("metric", f"{name} wasn't measured, but {known}", "optimized_metric", "name one of those")
    return float(trainer.callback_metrics[name])


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's remarks that don't apply here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            for message in _EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
