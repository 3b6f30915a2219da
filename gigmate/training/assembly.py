"""The parts of a training, made from its config."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint, ProgressBar

from gigmate.codec.base import Codec
from gigmate.codec.catalog import load_codec
from gigmate.config.registry import bind, build, find, load
from gigmate.errors import UsageError
from gigmate.model.config import ModelConfig
from gigmate.training.checkpoints import VerifiedCheckpointIO
from gigmate.training.export import Exporter
from gigmate.training.lm_module import LMModule
from gigmate.training.loggers import build_loggers
from gigmate.training.step_seed import StepSeed

Config = Mapping[str, Any]


def build_module(config: Config, data: Any) -> L.LightningModule:
    """The module that the config names; a language model is shaped by the data too.

    Raises:
        UsageError: settings that make no model.
    """
    if not _trains_lm(config):
        return build(config["module"], "module")
    optimizer, codec = config["optimizer"], config["codec"]
    factor = bind(config["scheduler"], "scheduler", max_steps=config["trainer"]["max_steps"])

    def schedule(step: int) -> float:  # `build` would call a partial instead of handing it on
        return factor(step)

    return build(
        config["module"],
        "module",
        shape=model_config(config, data),
        codec=data.spec,
        make_optimizer=lambda groups: build(optimizer, "optimizer", params=groups),
        schedule=schedule,
        load_codec=_codec_loader(codec),
    )


def model_config(config: Config, data: Any) -> ModelConfig:
    """The shape of the model: settings, and what the data say of codec and features.

    Raises:
        UsageError: numbers that make no model.
    """
    spec = data.spec
    try:
        return ModelConfig.from_dict(
            {
                **config["model"],
                "pattern": dict(config["pattern"]),
                "num_codebooks": spec.num_codebooks,
                "codebook_size": spec.codebook_size,
                "mix_features": data.num_features,
                "semitone_bands": data.num_semitone_bands,
                "min_lookahead_frames": data.min_lookahead_frames,
                "max_lookahead_frames": data.max_lookahead_frames,
            }
        )
    except ValueError as error:
        raise UsageError("model", str(error), "model", "change that setting") from error


def build_trainer(config: Config, run_dir: Path, module: L.LightningModule, exporter: Exporter) -> L.Trainer:
    """The Trainer with callbacks and loggers."""
    settings = dict(config["trainer"])
    callbacks = [build(entry, f"callbacks.{name}") for name, entry in config["callbacks"].items()]
    if not settings["enable_progress_bar"]:
        callbacks = [callback for callback in callbacks if not isinstance(callback, ProgressBar)]
    return L.Trainer(
        **settings,
        callbacks=[StepSeed(int(config["seed"])), *callbacks, exporter],
        logger=build_loggers(config["logger"]) or False,
        plugins=[VerifiedCheckpointIO(partial(exporter.judge, module))],
        default_root_dir=run_dir,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_model_summary=False,
        check_val_every_n_epoch=None,  # val_check_interval counts batches, across epochs
        use_distributed_sampler=False,  # the data module has its own sampler, whose position it keeps
    )


def provenance_of(config: Config) -> dict[str, Any]:
    """What the config says of how the weights come about; names of folders, not where they lie on this machine."""
    module = {name: value for name, value in config["module"].items() if name not in ("_target_", "model")}
    groups = {name: dict(config[name]) for name in ("optimizer", "scheduler")} if _trains_lm(config) else {}
    return {
        "data": [Path(folder).name for folder in config["loader"]["folders"]],
        "seed": config["seed"],
        "init_from": Path(config["init_from"]).name if config["init_from"] else "",
        "batch_size": config["loader"]["batch_size"] * config["trainer"]["accumulate_grad_batches"],
        "window_s": config["loader"]["window_s"],
        "module": module,
        **groups,
    }


def _trains_lm(config: Config) -> bool:
    return load(find(config["module"]["_target_"], "module._target_", "module")) is LMModule


def _codec_loader(config: Config) -> Callable[[], Codec]:
    return lambda: load_codec(config)
