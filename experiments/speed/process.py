"""A measurement in a process of its own, and the memory of the process that asks."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[2]
_STATM = Path("/proc/self/statm")
MEMORY = "resident at that moment" if _STATM.exists() else "the most so far"
"""What `memory_mib` returns."""


def memory_mib() -> float:
    """Memory that this process holds now, in MiB; where the system doesn't say, the most that it ever held."""
    if not _STATM.exists():
        return peak_mib()
    return int(_STATM.read_text().split()[1]) * resource.getpagesize() / 2**20


def peak_mib() -> float:
    """The most memory that this process ever held, in MiB: it never falls."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def alone(module: str, *arguments: str) -> Any:
    """What a module says as JSON in a process of its own, where nothing else has run before.

    Raises:
        CalledProcessError: it failed.
    """
    made = subprocess.run([sys.executable, "-m", module, *arguments], cwd=REPO, check=True, stdout=subprocess.PIPE)
    return json.loads(made.stdout)
