"""Where a run's figures go; a W&B that can't be reached doesn't stop a run."""

import logging
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from gigmate.config.registry import build

log = logging.getLogger(__name__)


def build_loggers(entries: Mapping[str, Mapping[str, Any]]) -> list[Logger]:
    """The loggers of the config; W&B without an account or a network keeps its figures in its folder and says so."""
    return [_reached(build(entry, f"logger.{name}"), entry, f"logger.{name}") for name, entry in entries.items()]


def _reached(logger: Any, entry: Mapping[str, Any], where: str) -> Logger:
    if not isinstance(logger, WandbLogger) or entry["offline"]:
        return logger
    import wandb

    try:
        _ = logger.experiment
    except wandb.Error as error:
        reason = str(error).splitlines()[0]
        log.warning("W&B isn't reached (%s): figures stay in %s until `wandb sync`", reason, entry["save_dir"])
        wandb.teardown()  # or it goes on with the settings that it began with
        return build({**entry, "offline": True}, where)
    return logger
