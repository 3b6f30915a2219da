"""What lies in `conf/`, read without Hydra: so that help and refusals are quick."""

import functools
import re
from pathlib import Path
from typing import Any

import yaml

from gigmate.errors import UsageError

CONF = Path(__file__).resolve().parents[2] / "conf"

_MAX_BYTES = 256 * 1024


def _read(path: Path) -> str:
    """The text of a config file of ours, which has no use for size or YAML anchors (a few of them make gigabytes)."""
    if path.stat().st_size > _MAX_BYTES:
        what = f"{path.stat().st_size} bytes, a config has up to {_MAX_BYTES}"
        raise UsageError("config_file", what, path, "split it")
    text = path.read_text(encoding="utf-8", errors="replace")
    if "&" in text or "*" in text:
        anchors = (token for token in yaml.scan(text) if isinstance(token, yaml.AliasToken | yaml.AnchorToken))
        if anchor := next(anchors, None):
            line = anchor.start_mark.line + 1
            raise UsageError("config_file", "YAML anchors aren't read", f"{path}:{line}", "write the values out")
    return text


def yaml_fault(error: yaml.YAMLError, path: object = "") -> UsageError:
    """What is wrong with a YAML file and in which line."""
    mark = getattr(error, "problem_mark", None)
    where = f"{getattr(mark, 'name', path)}:{mark.line + 1}" if mark else str(path)
    return UsageError("config_file", str(getattr(error, "problem", error)), where, "mend that line")


def guard(folder: Path = CONF) -> None:
    """Refuse config files that would take more than a moment to read.

    Raises:
        UsageError: too large, with anchors, or no YAML; names file and line.
    """
    for path in sorted(folder.rglob("*.yaml")):
        try:
            _read(path)
        except yaml.YAMLError as error:
            raise yaml_fault(error, path) from error


@functools.cache
def roots() -> tuple[str, ...]:
    """Names of the commands that have a config."""
    return tuple(sorted(path.stem for path in CONF.glob("*.yaml")))


_FOR_ONE = re.compile(r"^# For (\w+)\.py", re.MULTILINE)


@functools.cache
def options(group: str, root: str = "") -> tuple[str, ...]:
    """Options of a config group, in the order of their names; empty if there is no such group.

    Args:
        group: folder in `conf/`.
        root: leave out those that say `# For OTHER.py`; empty: all.
    """
    files = sorted((CONF / group).glob("*.yaml"))
    meant_for = {path.stem: _FOR_ONE.search(path.read_text(encoding="utf-8")) if root else None for path in files}
    return tuple(name for name, match in meant_for.items() if match is None or match[1] == root)


@functools.cache
def root_config(root: str) -> dict[str, Any]:
    """The config file of a command as it stands, with its defaults list.

    Raises:
        UsageError: it can't be read.
    """
    path = CONF / f"{root}.yaml"
    try:
        return yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise yaml_fault(error, path) from error


def groups(root: str) -> dict[str, str | None]:
    """The config groups of a command and the option that each has by default (None: none)."""
    entries = [entry for entry in root_config(root)["defaults"] if isinstance(entry, dict)]
    return {group: option for entry in entries for group, option in entry.items()}
