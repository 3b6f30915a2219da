"""A process that only plays, and the memory that it holds on the way: `python -m experiments.speed.held 384 8 6`.

It says one JSON object: what it held before there was a model, and at each mark the step, the median ms of the steps
since the mark before, and the memory.
"""

import argparse
import json
import statistics
import sys
import time
from typing import Any

import torch

from experiments.speed.own import model_of, player
from experiments.speed.peers import Shape
from experiments.speed.process import alone, memory_mib

WINDOW = 512


def play(shape: Shape, steps: int, marks: int) -> dict[str, Any]:
    """Play in int8; the first mark, before any step, has no ms."""
    before_mib = memory_mib()
    with torch.inference_mode():
        step = player(shape, "int8", model_of(shape, WINDOW))
        found: list[dict[str, float | None]] = [{"step": 0, "ms": None, "mib": memory_mib()}]
        for mark in range(1, marks + 1):
            taken = []
            for _ in range(steps // marks):
                start = time.perf_counter()
                step()
                taken.append(time.perf_counter() - start)
            found.append({"step": mark * (steps // marks), "ms": 1e3 * statistics.median(taken), "mib": memory_mib()})
    return {"before_mib": before_mib, "marks": found}


def play_alone(shape: Shape, steps: int, marks: int = 1) -> dict[str, Any]:
    """`play` in a process of its own."""
    sizes = (shape.dim, shape.num_layers, shape.num_heads)
    options = ("--batch", str(shape.batch), "--steps", str(steps), "--marks", str(marks))
    return alone("experiments.speed.held", *map(str, sizes), *options, *(["--guided"] if shape.is_guided else []))


def main() -> None:
    """Play and say what was held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("dim", "layers", "heads"):
        parser.add_argument(name, type=int)
    parser.add_argument("--batch", type=int, default=1, help="sessions")
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--marks", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    shape = Shape("", given.dim, given.layers, given.heads, batch=given.batch, is_guided=given.guided)
    sys.stdout.write(json.dumps(play(shape, given.steps, given.marks)))


if __name__ == "__main__":
    main()
