"""The objects that a config may name, and the only way to make them: by exact names, checked before anything runs.

A prefix rule ("everything under lightning.pytorch") lets through whatever those modules import, `torch.load` among it.
Here a name is looked up in a table, then imported from the place that the table gives, and what is found there must say
itself that it was defined there and is of the right kind. A whole tree is judged before the first object is made.
"""

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gigmate.errors import UsageError

TARGET = "_target_"


@dataclass(frozen=True)
class Entry:
    """Where a registered name leads.

    Args:
        role: what it is used as; a config key takes one role only.
        module: where it is defined.
        base: `module:Class` that it must be a subclass of; empty for functions and classes of our own without a base.
        name: by which name configs know it; empty: as defined.
    """

    role: str
    module: str
    qualname: str
    base: str = ""
    name: str = ""

    @property
    def public_name(self) -> str:
        """The dotted name that configs use."""
        return self.name or f"{self.module}.{self.qualname}"


_OPTIMIZER = "torch.optim.optimizer:Optimizer"
_CALLBACK = "lightning.pytorch.callbacks.callback:Callback"
_LOGGER = "lightning.pytorch.loggers.logger:Logger"
_MODULE = "lightning.pytorch.core.module:LightningModule"
_DATA_MODULE = "lightning.pytorch.core.datamodule:LightningDataModule"

ENTRIES: tuple[Entry, ...] = (
    Entry("optimizer", "torch.optim.adamw", "AdamW", _OPTIMIZER, "torch.optim.AdamW"),
    Entry("optimizer", "torch.optim.adam", "Adam", _OPTIMIZER, "torch.optim.Adam"),
    Entry("optimizer", "torch.optim.sgd", "SGD", _OPTIMIZER, "torch.optim.SGD"),
    Entry("scheduler", "gigmate.training.schedules", "warmup_cosine"),
    Entry("scheduler", "gigmate.training.schedules", "warmup_constant"),
    Entry("module", "gigmate.training.lm_module", "LMModule", _MODULE),
    Entry("module", "gigmate.training.codec_module", "CodecModule", _MODULE),
    Entry("loader", "gigmate.data.module", "TokenData", _DATA_MODULE),
    Entry("loader", "gigmate.data.module", "AudioData", _DATA_MODULE),
    Entry("source", "gigmate.data.sources", "PracticeSource"),
    Entry("source", "gigmate.data.sources", "MidiSource"),
    Entry("source", "gigmate.data.sources", "StemSource"),
    Entry("sampler", "gigmate.generation.sampler", "Greedy"),
    Entry("sampler", "gigmate.generation.sampler", "TopK"),
    Entry("sampler", "gigmate.generation.sampler", "TopP"),
    Entry("callback", "gigmate.training.checkpoints", "CheckpointSaver", _CALLBACK),
    Entry("callback", "gigmate.training.averaging", "WeightAverage", _CALLBACK),
    Entry("callback", "gigmate.training.callbacks", "SignalGuard", _CALLBACK),
    Entry("callback", "gigmate.training.callbacks", "FiniteGuard", _CALLBACK),
    Entry("callback", "gigmate.training.callbacks", "Progress", _CALLBACK),
    Entry(
        "callback",
        "lightning.pytorch.callbacks.early_stopping",
        "EarlyStopping",
        _CALLBACK,
        "lightning.pytorch.callbacks.EarlyStopping",
    ),
    *(
        Entry("logger", f"lightning.pytorch.loggers.{module}", name, _LOGGER, f"lightning.pytorch.loggers.{name}")
        for module, name in (
            ("csv_logs", "CSVLogger"),
            ("tensorboard", "TensorBoardLogger"),
            ("wandb", "WandbLogger"),
        )
    ),
)


def names(role: str = "") -> tuple[str, ...]:
    """The registered names, of one role or all."""
    return tuple(entry.public_name for entry in ENTRIES if role in ("", entry.role))


def _refuse(what: str, where: str, remedy: str) -> UsageError:
    return UsageError("target", what, where, remedy)


def find(name: object, where: str = TARGET, role: str = "") -> Entry:
    """The entry of an exact name.

    Args:
        name: the value of a `_target_`.
        where: its key path, for the message.
        role: take this role only; empty: any.

    Raises:
        UsageError: not a text, not registered, or of another role.
    """
    if type(name) is not str:
        raise _refuse(f"{name!r} is no name", where, "choose an option of its config group")
    for entry in ENTRIES:
        if entry.public_name == name and role in ("", entry.role):
            return entry
    close = difflib.get_close_matches(name, names(role), n=1)
    hint = f"did you mean {close[0]}?" if close else "choose an option of its config group"
    raise _refuse(f"{name!r} isn't a registered object", where, hint)


def load(entry: Entry, where: str = TARGET) -> Callable[..., Any]:
    """The object of an entry, which must be defined where the table says and be of the right kind.

    Raises:
        UsageError: what is found there is something else.
    """
    found = getattr(importlib.import_module(entry.module), entry.qualname, None)
    is_own = (
        getattr(found, "__module__", None) == entry.module and getattr(found, "__qualname__", None) == entry.qualname
    )
    if not callable(found) or not is_own or not (inspect.isclass(found) or inspect.isfunction(found)):
        raise _refuse(f"{entry.public_name} isn't what was registered", where, "reinstall what is in the lock")
    if entry.base:
        module, _, base = entry.base.partition(":")
        if not (inspect.isclass(found) and issubclass(found, getattr(importlib.import_module(module), base))):
            raise _refuse(f"{entry.public_name} is no {base}", where, "reinstall what is in the lock")
    return found


def primitives(config: object, where: str = "") -> Any:
    """A copy of `config` in dicts, lists, texts, numbers, booleans and None, so that nothing can change it meanwhile.

    Args:
        config: primitives, or an OmegaConf node, whose interpolations are resolved.
        where: key path, for the message.

    Raises:
        UsageError: anything else inside, or a key that isn't a plain name.
    """
    if type(config).__module__.startswith("omegaconf."):
        from omegaconf import OmegaConf

        config = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # pyright: ignore[reportArgumentType]
    if isinstance(config, Mapping):
        for key in config:
            is_private = type(key) is str and key.startswith("_") and key != TARGET
            if type(key) is not str or key == "()" or is_private:
                raise _refuse(f"key {key!r} isn't allowed", f"{where}.{key}".lstrip("."), "remove it")
        return {key: primitives(value, f"{where}.{key}".lstrip(".")) for key, value in config.items()}
    if isinstance(config, Sequence) and not isinstance(config, str | bytes):
        return [primitives(value, f"{where}[{i}]") for i, value in enumerate(config)]
    if config is None or type(config) in (str, int, float, bool):
        return config
    raise _refuse(f"a {type(config).__name__} is no plain value", where, "use texts, numbers, lists and groups")


def check(config: object, where: str = "") -> None:
    """Refuse a tree that names anything unregistered; imports and makes nothing.

    Raises:
        UsageError: see `find` and `primitives`; the message has the key path.
    """
    _check(primitives(config, where), where)


def _check(tree: Any, where: str) -> None:
    if isinstance(tree, dict):
        if TARGET in tree:
            find(tree[TARGET], f"{where}.{TARGET}".lstrip("."))
        for key, value in tree.items():
            _check(value, f"{where}.{key}".lstrip("."))
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            _check(value, f"{where}[{i}]")


@dataclass(frozen=True)
class _Plan:
    """A judged call that hasn't been made."""

    make: Callable[..., Any]
    arguments: dict[str, Any]


def _judged(tree: Any, where: str, extra: Mapping[str, Any]) -> Any:
    """`tree` with a `_Plan` in the place of every mapping that has a `_target_`."""
    if isinstance(tree, list):
        return [_judged(value, f"{where}[{i}]", {}) for i, value in enumerate(tree)]
    if not isinstance(tree, dict):
        return tree
    arguments = {key: _judged(value, f"{where}.{key}", {}) for key, value in tree.items() if key != TARGET}
    if TARGET not in tree:
        return arguments
    make = load(find(tree[TARGET], f"{where}.{TARGET}"), f"{where}.{TARGET}")
    try:
        inspect.signature(make).bind_partial(**{**arguments, **extra})
    except TypeError as error:
        raise _refuse(f"{tree[TARGET]}: {error}", where, "remove that key") from error
    return _Plan(make, arguments)


def _made(judged: Any) -> Any:
    if isinstance(judged, list):
        return [_made(value) for value in judged]
    if isinstance(judged, dict):
        return {key: _made(value) for key, value in judged.items()}
    if isinstance(judged, _Plan):
        return judged.make(**_made(judged.arguments))
    return judged


def bind(config: Mapping[str, Any], where: str = "config", **extra: Any) -> "functools.partial[Any]":
    """What `build` would call, with its settings and `extra` filled in: for functions that need more arguments later.

    Raises:
        UsageError: as `build`.
    """
    plan = _judged(primitives(config, where), where, extra)
    if not isinstance(plan, _Plan):
        raise _refuse(f"{TARGET} is missing", where, "choose an option of its config group")
    return functools.partial(plan.make, **{**_made(plan.arguments), **extra})


def build(config: Mapping[str, Any], where: str = "config", **extra: Any) -> Any:
    """Make the object that `config` describes, its parts that have a `_target_` first.

    Args:
        config: `_target_`, an exact registered name, and its arguments.
        where: key path of `config`, for messages.
        extra: arguments that aren't settings, handed on as they are; they win over settings of the same name.

    Raises:
        UsageError: the tree names something unregistered, has a key like `_partial_`, or arguments that don't fit;
            nothing was made then.
    """
    return bind(config, where, **extra)()
