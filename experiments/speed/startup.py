"""From a command to its first sign of life: `python -m experiments.speed.startup`."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from experiments.speed.report import write
from gigmate.evaluation.tables import Row, markdown

_REPO, _RUNS = Path(__file__).parents[2], 5
_FIRST_FRAME = """
import torch
from gigmate.accompanist import Accompanist
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.guidance import Guidance
from gigmate.generation.sampler import TopK, row_generators
from gigmate.model.streams import codes_of
from experiments.speed.own import conditions_of

player = Accompanist.load()
generator = FrameGenerator(player.model, TopK(), guidance=Guidance(3.0, 3.0))
now, draws, frame = conditions_of(player.model, 1), row_generators(0, 1), None
while frame is None:
    frame = generator.step(now, draws)
player.codec.stream().decode(codes_of(frame[:, :, None], player.model.config))
"""
_COMMANDS = {
    "python generate.py --help": (["generate.py", "--help"], "1.5"),
    "first decoded frame, shipped weights": (["-c", _FIRST_FRAME], "6"),
    "import torch alone": (["-c", "import torch"], ""),
}


def seconds(command: list[str]) -> float:
    """Wall time of a Python process, median of several after one that fills the file cache.

    Raises:
        CalledProcessError: it failed.
    """
    taken = []
    for _ in range(_RUNS + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=_REPO, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def main() -> None:
    """Measure, print and keep."""
    rows: list[Row] = [
        {"from the command to": name, "s": f"{seconds(command):.2f}", "goal, s": goal}
        for name, (command, goal) in _COMMANDS.items()
    ]
    write("startup", rows, runs=_RUNS)
    sys.stdout.write(markdown(rows))


if __name__ == "__main__":
    main()
