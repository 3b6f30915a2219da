"""Figures of the promises in RELIABILITY: tests report them, the session keeps them in one file (a pytest plugin)."""

import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

FIGURES = Path(__file__).parent.parent / "reports" / "reliability.json"
PARTS = pytest.StashKey[Path]()
"""Folder with one file for each process that runs tests, so that a worker's death loses none of its figures."""


class Report:
    """The fixture: `report(name, value, unit)`."""

    def __init__(self, part: Path) -> None:
        self.part = part

    def __call__(self, name: str, value: float | str, unit: str = "") -> None:
        if not isinstance(value, str) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}, no figure")
        sys.stdout.write(f"REPORT {name}={value} {unit}\n")
        with open(self.part, "a", encoding="utf-8") as file:
            file.write(json.dumps([name, value, unit]) + "\n")


def merged(parts: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Of a name that was reported often (a case each), the worst value, which is the largest, and how often."""
    at, figures = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), {}
    for part in parts:
        for line in part.read_text(encoding="utf-8").splitlines():
            name, value, unit = json.loads(line)
            figure = figures.setdefault(name, {"value": value, "unit": unit, "reports": 0, "at": at})
            figure.update(value=max(figure["value"], value), reports=figure["reports"] + 1)
    return figures


def keep(figures: dict[str, dict[str, Any]], path: Path) -> None:
    """Renew these figures in the file; those of other tests, say of the long lane, stay with the time of theirs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    temp = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    temp.write_text(json.dumps(known | figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temp, path)


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Say a figure that a promise is about, before the assertion on it."""
    return Report(pytestconfig.stash[PARTS] / str(os.getpid()))


def pytest_configure(config: pytest.Config) -> None:
    given = getattr(config, "workerinput", {}).get("parts")
    config.stash[PARTS] = Path(given or tempfile.mkdtemp(prefix="gigmate-report-"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of pytest-xdist: the controller tells a worker where to write."""
    node.workerinput["parts"] = str(node.config.stash[PARTS])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """At the end of the session, in the controller alone."""
    figures = merged(sorted(config.stash[PARTS].iterdir()))
    for name, figure in sorted(figures.items()):
        terminalreporter.write_line(f"REPORT {name}={figure['value']} {figure['unit']}".rstrip())
    if figures:
        keep(figures, FIGURES)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(config.stash[PARTS], ignore_errors=True)
