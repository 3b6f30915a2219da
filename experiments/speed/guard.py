"""The regression guard: `make bench-guard` fails if a fast path has lost a fifth of its lead over the plain one.

Ratios are compared, not times, each taken in one run: `python -m experiments.speed.guard --keep` writes those of
today into experiments/004_speed/guard.json; without it they are held against the file.
"""

import argparse
import json
import statistics
import sys

import torch

from experiments.speed.figures import Cells, Figure, shown
from experiments.speed.own import model_of, player
from experiments.speed.peers import Shape
from experiments.speed.report import FOLDER, write
from experiments.speed.rounds import ratio, take_turns
from gigmate.evaluation.tables import markdown

_FLOOR, _WINDOW = 0.8, 512
_CASES = (
    Shape("nano", 256, 6, 4, is_guided=True, context=600),
    Shape("tiny", 384, 8, 6),
    Shape("tiny", 384, 8, 6, is_guided=True),
    Shape("tiny", 384, 8, 6, batch=8),
)


def ratios() -> dict[str, float]:
    """How many times as fast as the plain model each fast path is, by case."""
    found = {}
    for shape in _CASES:
        model = model_of(shape, _WINDOW)
        steps = {str(weights): player(shape, weights, model) for weights in (None, "float32", "int8")}
        times = take_turns(steps, rounds=7, steps=40)
        name = f"{shape.name}, {shape.batch} row{'s' * (shape.batch > 1)}{', guided' * shape.is_guided}"
        for weights in ("float32", "int8"):
            found[f"{name}: {weights}"] = round(statistics.median(ratio(times["None"], times[weights])), 3)
    return found


def main() -> int:
    """0 if every ratio holds, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="make today's ratios those to be held")
    given = parser.parse_args()
    torch.set_num_threads(1)
    path, found = FOLDER / "guard.json", ratios()
    known = found if given.keep else {row["case"]: float(row["ratio"]) for row in json.loads(path.read_text())["rows"]}
    rows: list[Cells] = [{"case": name, "ratio": Figure(value, ".3f")} for name, value in found.items()]
    kept: list[Cells] = [{**row, "kept": Figure(known.get(str(row["case"]), 0.0), ".3f")} for row in rows]
    lost = [name for name, value in known.items() if found.get(name, 0.0) < _FLOOR * value]
    if given.keep:
        write("guard", rows, threads=1, window=_WINDOW)
    sys.stdout.write(markdown(shown(kept)))
    for name in lost:
        sys.stdout.write(
            f"{name} is {found.get(name, 0.0):.2f} times as fast as the plain model, was {known[name]:.2f}\n"
        )
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
