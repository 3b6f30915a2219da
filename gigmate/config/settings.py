"""Judges a composed config against `gigmate.config.schema`, before anything is read, created or built."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gigmate.config import registry
from gigmate.config.rules import Rule, Text
from gigmate.config.schema import ROOTS
from gigmate.errors import UsageError, printable

NAMED_VARIABLES = ("GIGMATE_RUNS", "GIGMATE_DATA")
"""Environment variables that a config may read."""

_MAX_DEPTH = 32
_ALLOWED_INTERPOLATION = re.compile(
    r"\$\{(?:[A-Za-z_][\w.]*|now:[%\w :.-]*|oc\.env:(?:" + "|".join(NAMED_VARIABLES) + r")(?:,[^${}]*)?)\}"
)
Flat = dict[str, Any]


def did_you_mean(word: str, options: Mapping[str, object] | list[str]) -> str:
    """A remedy that names the nearest of `options`, by its whole path or by its last part; empty if none is near."""
    if same_leaf := [key for key in options if key.rpartition(".")[2] == word]:
        return f"did you mean {' or '.join(same_leaf[:3])}?"
    leaves = {key.rpartition(".")[2]: key for key in reversed(list(options))}
    close = difflib.get_close_matches(word, list(options), n=1) or [
        leaves[leaf] for leaf in difflib.get_close_matches(word.rpartition(".")[2], list(leaves), n=1)
    ]
    return f"did you mean {close[0]}?" if close else ""


def check_interpolations(text: str, where: str) -> None:
    """Refuse a `${...}` that does more than name another key, the time, or one of `NAMED_VARIABLES`.

    Raises:
        UsageError: `interpolation`; what it would resolve to is never looked at.
    """
    if "${" in _ALLOWED_INTERPOLATION.sub("", text):
        what = f"{printable(text, 80)!r} reads what a setting may not read"
        allowed = ", ".join(f"${{oc.env:{name}}}" for name in NAMED_VARIABLES)
        raise UsageError("interpolation", what, where, f"use ${{another.key}} or {allowed}")


def _bad(value: object, key: str, rule: Rule) -> UsageError:
    if value == "???":
        example = rule.example or f"{key}=..."
        return UsageError("missing", "a value is missing", key, f"for instance {example}")
    quoting = " (quote it)" if isinstance(rule, Text) and isinstance(value, int | float) else ""
    return UsageError(
        "setting", f"{printable(repr(value), 80)} isn't allowed", key, f"it must be {rule.describe()}{quoting}"
    )


def _unknown(key: str, root: str) -> UsageError:
    hint = did_you_mean(key, ROOTS[root]) or f"python {root}.py --help lists the settings"
    return UsageError("unknown_key", f"{root} has no setting of this name", key, hint)


def _leaves(
    tree: Mapping[Any, Any], prefix: str, rules: Mapping[str, Rule], depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Key paths and values; a mapping where a value belongs is a value, an empty one where keys belong is none."""
    if depth > _MAX_DEPTH:
        raise UsageError("setting", f"nested over {_MAX_DEPTH} deep", prefix, "use the documented settings")
    for key, value in tree.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        is_group = isinstance(value, Mapping) and any(known.startswith(f"{path}.") for known in rules)
        if is_group or (isinstance(value, Mapping) and not value and path == "logger"):
            yield from _leaves(value, path, rules, depth + 1)
        else:
            yield path, value


def _resolved(config: Any, root: str) -> dict[str, Any]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    raw = OmegaConf.to_container(config, resolve=False)
    assert isinstance(raw, dict)
    for path, text in _texts(raw, ""):
        check_interpolations(text, path)
    try:
        resolved = OmegaConf.to_container(config, resolve=True)
    except (OmegaConfBaseException, RecursionError) as error:
        key = getattr(error, "full_key", "") or root
        what = "refers to itself or to a key that isn't there"
        raise UsageError("interpolation", what, key, "give it a value") from error
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def _texts(tree: object, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > _MAX_DEPTH:
        raise UsageError("setting", f"nested over {_MAX_DEPTH} deep", path, "use the documented settings")
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _texts(value, f"{path}.{key}".lstrip("."), depth + 1)
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            yield from _texts(value, f"{path}[{i}]", depth + 1)


def check(config: Any, root: str) -> dict[str, Any]:
    """Judge every value of `config` and those that must fit together.

    Args:
        config: a composed `DictConfig`.
        root: the command, a key of `gigmate.config.schema.ROOTS`.

    Returns:
        The config as primitives with its interpolations resolved.

    Raises:
        UsageError: with the key, its value and what is allowed.
    """
    rules = ROOTS[root]
    resolved = _resolved(config, root)
    flat = dict(_leaves(resolved, "", rules))
    for key in flat:
        if key not in rules and not any(known.startswith(f"{key}.") for known in rules):
            raise _unknown(key, root)
    registry.check(resolved)
    for key, value in flat.items():
        if key not in rules:
            raise UsageError(
                "setting", f"{printable(repr(value), 80)} isn't a group of settings", key, "choose an option"
            )
        if value == "???" or rules[key].fault(value) is not None:
            raise _bad(value, key, rules[key])
    if root in _CROSS_CHECKS:
        _CROSS_CHECKS[root](flat)
    return resolved


def _fit(is_right: bool, what: str, where: str, remedy: str) -> None:
    if not is_right:
        raise UsageError("settings_clash", what, where, remedy)


def _check_output(flat: Flat, key: str) -> None:
    """No root, home or current folder as a place for results: they hold other things."""
    if flat.get(key):
        folder = Path(flat[key]).expanduser().absolute()
        taken = (Path(folder.anchor), Path.home(), Path.cwd())
        _fit(
            folder not in taken and ".." not in folder.parts[-1:],
            f"{str(flat[key])!r} holds other things",
            key,
            "name a new folder",
        )


def _check_train(flat: Flat) -> None:
    dim, heads = flat["model.dim"], flat["model.num_heads"]
    _fit(dim % (2 * heads) == 0, f"{dim} is no multiple of twice the {heads} heads", "model.dim", "change one of them")
    low, high = flat.get("loader.min_lookahead_s", 0), flat.get("loader.max_lookahead_s", 0)
    _fit(low <= high, f"{low} is above max_lookahead_s, {high}", "loader.min_lookahead_s", "exchange them")
    batch, windows = flat["loader.batch_size"], flat["loader.windows_per_epoch"]
    _fit(batch <= windows, f"{batch} is above windows_per_epoch, {windows}", "loader.batch_size", "take fewer")
    both = flat["resume"] is not None and flat["init_from"] is not None
    _fit(not both, "resume has its own weights", "init_from", "give one of resume and init_from")
    _check_output(flat, "paths.run_dir")


def _check_prepare(flat: Flat) -> None:
    _check_output(flat, "out")
    source = flat.get("data.source.folder")
    clash = source is not None and Path(source).absolute() == Path(flat["out"]).absolute()
    _fit(not clash, "the data set would be written among its sources", "out", "name another folder")


def _check_generate(flat: Flat) -> None:
    instrument, stem, task = flat["instrument"], flat["stem"], flat["task"]
    _fit(task == "continue" or stem is None, "a stem is only gone on with", "stem", "add task=continue")
    if stem is not None and instrument is None:
        raise UsageError("missing", "a value is missing", "instrument", "for instance instrument=drums")
    whole = task == "accompany" or stem is not None or instrument in (None, "all")
    _fit(whole, f"{instrument} needs a stem to go on with", "instrument", "add stem=FILE, or leave instrument out")
    seconds, most = flat["seconds"], flat["max_seconds"]
    _fit(seconds is None or seconds <= most, f"{seconds} is above max_seconds, {most}", "seconds", "raise max_seconds")
    _check_output(flat, "out")


def _check_evaluate(flat: Flat) -> None:
    _check_output(flat, "out")


_CROSS_CHECKS: Mapping[str, Callable[[Flat], None]] = MappingProxyType(
    {"train": _check_train, "prepare": _check_prepare, "generate": _check_generate, "evaluate": _check_evaluate}
)
