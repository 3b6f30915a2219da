"""The command line of every GigMate command: flags and KEY=VALUE, judged before Hydra sees them.

Hydra reads a small language after the `=`. A path or a name is taken as it was typed instead (`input=My Song (1).wav`),
and what Hydra would answer with a page is answered here with a line.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gigmate.config import conf_files
from gigmate.config.rules import Text
from gigmate.config.schema import ROOTS
from gigmate.config.settings import check_interpolations, did_you_mean
from gigmate.errors import UsageError, printable

_MAX_ARGUMENT = 8192
_MAX_TOTAL = 64 * 1024
_MAX_DEPTH = 16
_KEY = re.compile(r"[A-Za-z_][\w-]*(?:[./][A-Za-z_][\w-]*)*")
_HYDRA_KEY = re.compile(r"hydra(?:/(?:launcher|sweeper)(?:/[a-z]+)?|\.(?:launcher|sweeper)(?:\.[A-Za-z][\w/-]*)+)")
_HYDRA_VALUE = re.compile(r"[\w.:/,()+-]*")
_SWEEP_CALL = re.compile(r"(?:choice|range|interval|glob|sort|shuffle|tag)\(.*\)", re.DOTALL)


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Args:
        overrides: in Hydra's language.
        is_multirun: one run per combination of values.
        wants_help: print the help and leave.
        wants_config: print the composed config and leave.
    """

    overrides: tuple[str, ...] = ()
    is_multirun: bool = False
    wants_help: bool = False
    wants_config: bool = False


def parse(argv: Sequence[str], root: str) -> Request:
    """Judge the command line of the command `root`.

    Raises:
        UsageError: an unknown flag, setting or option, a setting given twice, or text that can't be read.
    """
    flags, overrides = [], []
    for argument in argv:
        (flags if argument.startswith("-") else overrides).append(argument)
    known = {"-h": "help", "--help": "help", "-m": "multirun", "--multirun": "multirun", "--cfg": "config"}
    if "-cn" in flags or any(flag.startswith("--config") for flag in flags):
        what = f"python {root}.py always reads conf/{root}.yaml; configs: {', '.join(conf_files.roots())}"
        raise UsageError("flag", what, "", f"choose experiment={'|'.join(conf_files.options('experiment', root))}")
    for flag in flags:
        if flag not in known:
            remedy = did_you_mean(flag, list(known)) or "use KEY=VALUE, -m (multirun), --cfg or --help"
            raise UsageError("flag", "no such flag", flag, remedy)
    wanted = {known[flag] for flag in flags}
    if "help" in wanted:
        return Request(wants_help=True)
    is_multirun = "multirun" in wanted
    if "config" in wanted and overrides[:1] == ["job"]:
        overrides = overrides[1:]
    return Request(_judged(overrides, root, is_multirun), is_multirun, wants_config="config" in wanted)


def _judged(arguments: Sequence[str], root: str, is_multirun: bool) -> tuple[str, ...]:
    if sum(map(len, arguments)) > _MAX_TOTAL:
        raise UsageError("override", f"over {_MAX_TOTAL} characters", "command line", "use a file in conf/experiment")
    seen: set[str] = set()
    judged = []
    for argument in arguments:
        key, value = _split(argument, root)
        if key in seen:
            raise UsageError("override", "given twice", key, "give it once")
        seen.add(key)
        check_interpolations(value, key)
        override = _override(key, value, root, is_multirun)
        judged += [override] if override else []
    return tuple(judged)


def _split(argument: str, root: str) -> tuple[str, str]:
    if len(argument) > _MAX_ARGUMENT:
        where = printable(argument.partition("=")[0], 60)
        raise UsageError("override", f"{len(argument)} characters, up to {_MAX_ARGUMENT} are read", where, "shorten it")
    key, equals, value = argument.partition("=")
    if key.startswith("~"):
        raise UsageError("override", "settings can't be removed", key, "give it another value, or null")
    if not equals:
        remedy = did_you_mean(key, ROOTS[root]) or f"for instance seed=1; python {root}.py --help lists the settings"
        raise UsageError("override", f"{printable(argument, 80)!r} isn't KEY=VALUE", "command line", remedy)
    key = key.lstrip("+")
    if not _KEY.fullmatch(key):
        raise UsageError("override", f"{printable(key, 80)!r} is no name of a setting", "command line", "use KEY=VALUE")
    return key, value


def _override(key: str, value: str, root: str, is_multirun: bool) -> str | None:
    """The override for Hydra; None where it changes nothing."""
    groups = conf_files.groups(root)
    if key.split("/", maxsplit=1)[0].split(".", maxsplit=1)[0] == "hydra":
        if not (is_multirun and _HYDRA_KEY.fullmatch(key) and _HYDRA_VALUE.fullmatch(value)):
            remedy = "with -m, hydra/launcher, hydra/sweeper, hydra.launcher.* and hydra.sweeper.* take plain values"
            raise UsageError("override", "this part of Hydra isn't open to change", key, remedy)
        return f"{key}={value}"
    if key in groups and not value.lstrip().startswith("{"):
        return _group_override(key, value, root, is_multirun)
    rules = ROOTS[root]
    is_section = any(known.startswith(f"{key}.") for known in rules)
    if key not in rules and not is_section:
        hint = did_you_mean(key, list(rules) + list(groups)) or f"python {root}.py --help lists the settings"
        raise UsageError("unknown_key", f"{root} has no setting of this name", key, hint)
    if isinstance(rules.get(key), Text):
        return f"{key}={_literal(value, is_multirun)}"
    if _depth(value) > _MAX_DEPTH:
        raise UsageError("override", f"nested over {_MAX_DEPTH} deep", key, "use the documented settings")
    return f"{key}={value}"


def _group_override(group: str, value: str, root: str, is_multirun: bool) -> str | None:
    if value == "null" and conf_files.groups(root)[group] is None:
        return None
    allowed = conf_files.options(group, root)
    if is_multirun and _SWEEP_CALL.fullmatch(value):
        return f"{group}={value}"
    for option in value.split(",") if is_multirun else [value]:
        if option.strip() not in allowed:
            close = did_you_mean(option, list(allowed))
            remedy = f"{close} " * bool(close) + f"choose one of {', '.join(allowed)}"
            raise UsageError("option", f"{printable(option, 80)!r} is no option", group, remedy)
    return f"{group}={value}"


def _literal(value: str, is_multirun: bool) -> str:
    """`value` quoted for Hydra, unless it is null, quoted already, refers to a key or is swept over."""
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    is_sweep = is_multirun and ("," in value or _SWEEP_CALL.fullmatch(value))
    if is_quoted or is_sweep or value == "null" or "${" in value:
        return value
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(value, Quote.single).with_quotes()


def _depth(value: str) -> int:
    depth = deepest = 0
    for character in value:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest
