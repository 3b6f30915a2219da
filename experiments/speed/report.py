"""Where figures go: a table to read and a JSON file to compare with, both with the machine that made them."""

import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from gigmate.evaluation.tables import Row, markdown
from gigmate.files.atomic import write_bytes

FOLDER = Path(__file__).parents[1] / "004_speed"


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    versions = {}
    for package in ("torch", "transformers", "audiocraft", "moshi"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not there"
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 1),
        "has_vnni": torch.cpu._is_vnni_supported(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "versions": versions,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def write(name: str, rows: list[Row], **facts: Any) -> None:
    """Keep `name`.md and `name`.json in experiments/004_speed."""
    here = machine()
    said = ", ".join(f"{key} {value}" for key, value in (here | facts).items() if key != "versions")
    versions = ", ".join(f"{package} {number}" for package, number in here["versions"].items())
    write_bytes(FOLDER / f"{name}.md", f"{markdown(rows)}\n{said}; {versions}\n".encode())
    text = json.dumps({"machine": here, **facts, "rows": rows}, indent=1)
    write_bytes(FOLDER / f"{name}.json", (text + "\n").encode())


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
