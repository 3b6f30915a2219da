"""Where figures go: a table to read and a JSON file to compare with, both with the machine that made them."""

import json
import os
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.speed.figures import Cells, plain, shown
from gigmate.evaluation.tables import markdown
from gigmate.files.atomic import write_bytes

FOLDER = Path(__file__).parents[1] / "004_speed"
_VENV = Path(__file__).parents[2] / ".venv"
_PACKAGES = ("torch", "transformers", "audiocraft", "moshi", "onnxruntime")


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 1),
        "has_vnni": torch.cpu._is_vnni_supported(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in _PACKAGES} | _blas(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def write(name: str, rows: Sequence[Cells], *, more: Mapping[str, Sequence[Cells]] | None = None, **facts: Any) -> str:
    """Keep `name`.md and `name`.json in experiments/004_speed; returns the tables as a page.

    Args:
        name: of both files.
        rows: the table. In JSON its figures are numbers, or an object of median, least and most.
        more: further tables by title.
        facts: what else must be known to read them.
    """
    here, further = machine(), more or {}
    said = ", ".join(f"{key} {value}" for key, value in (here | facts).items() if key != "versions")
    versions = ", ".join(f"{package} {number}" for package, number in here["versions"].items())
    page = markdown(shown(rows)) + "".join(
        f"\n{title}:\n\n{markdown(shown(table))}" for title, table in further.items()
    )
    write_bytes(FOLDER / f"{name}.md", f"{page}\n{said}; {versions}\n".encode())
    tables = {"rows": plain(rows)} | {title: plain(table) for title, table in further.items()}
    write_bytes(FOLDER / f"{name}.json", (json.dumps({"machine": here, **facts, **tables}, indent=1) + "\n").encode())
    return page


def _version(package: str) -> str:
    """Also of what `make bench-peers` and `make bench-onnx` keep apart, whether or not it was imported."""
    places = [*sys.path, str(_VENV / "peers"), str(_VENV / "onnx")]
    return next((found.version for found in distributions(name=package, path=places)), "not there")


def _blas() -> dict[str, str]:
    """What multiplies matrices; empty where a build doesn't say."""
    built = torch.__config__.show()
    kinds = {
        "BLAS of torch": r"BLAS_INFO=(\w+)",
        "MKL": r"Math Kernel Library Version ([\d.]+)",
        "oneDNN": r"MKL-DNN v([\d.]+)",
    }
    found = {name: match[1] for name, pattern in kinds.items() if (match := re.search(pattern, built))}
    own = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return found | ({"BLAS of numpy": f"{own['name']} {own.get('version', '')}".strip()} if "name" in own else {})


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
