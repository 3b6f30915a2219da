"""What imports cost, as `python -X importtime` tells it."""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence

from experiments.speed.figures import Cells, Figure
from experiments.speed.process import REPO

_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s*([\w.]+)")


def told(command: Sequence[str]) -> str:
    """What a Python process says of its imports.

    Raises:
        CalledProcessError: it failed.
    """
    command = [sys.executable, "-X", "importtime", *command]
    return subprocess.run(command, cwd=REPO, check=True, capture_output=True, text=True).stderr


def heaviest(text: str, count: int = 10) -> list[Cells]:
    """The packages whose own modules take the longest, and the sum of all: each module's time without what it imports,
    so that nothing counts twice.
    """
    microseconds: dict[str, list[int]] = defaultdict(list)
    for own, module in _LINE.findall(text):
        microseconds[module.split(".")[0]].append(int(own))
    named = sorted(microseconds.items(), key=lambda item: -sum(item[1]))
    whole = ("all", [own for times in microseconds.values() for own in times])
    return [
        {"package": name, "modules": len(times), "ms": Figure(sum(times) / 1e3, ".0f")}
        for name, times in (*named[:count], whole)
    ]
