"""Does anything grow that should not: `python -m experiments.speed.growth`.

30,000 steps at tiny, ten minutes of music, in a process of its own, with step time and memory on the way; the time to
the first frame after a prompt of 10 s; time and memory against the number of sessions and against the size of the
model, the memory of each in a process of its own.
"""

import sys
import time
from typing import Any

import torch

from experiments.speed.figures import Cells, Figure
from experiments.speed.held import WINDOW, play_alone
from experiments.speed.long_run import long_run, points, thirds
from experiments.speed.own import conditions_of, model_of, player
from experiments.speed.peers import NUM_CODEBOOKS, NUM_CODES, Shape
from experiments.speed.process import MEMORY
from experiments.speed.report import FOLDER, write
from experiments.speed.rounds import take_turns
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.sampler import TopK, row_generators
from gigmate.model.stepper import equip

_TINY = ("tiny", 384, 8, 6)
_PROMPT = 500
_FILLED = 600
"""Steps after which the ring is full, and with it the memory that it was promised."""
_SESSIONS = (1, 2, 4, 8, 16)
_SIZES = (("nano", 256, 6, 4), _TINY, ("640 x 12", 640, 12, 10), ("small", 1024, 24, 16))


def first_frame() -> Figure:
    """Milliseconds from a prompt of 10 s to the first frame after it, with generator and cache made anew."""
    model = model_of(Shape(*_TINY), WINDOW)
    equip(model, "int8")
    now, taken = conditions_of(model, 1), []
    past = torch.randint(0, NUM_CODES, (1, NUM_CODEBOOKS, _PROMPT))
    for _ in range(4):
        start = time.perf_counter()
        generator = FrameGenerator(model, TopK())
        generator.prefill(past, now.at(torch.zeros(_PROMPT, dtype=torch.int64)))
        draws = row_generators(0, 1)
        for _ in range(generator.max_delay + 1):
            generator.step(now, draws)
        taken.append(time.perf_counter() - start)
    return Figure.over(taken[1:], ".0f", 1e3)


def filled(shape: Shape) -> dict[str, Figure]:
    """What a process holds when its ring is full, and how much of it came with the model."""
    run = play_alone(shape, _FILLED)
    now = run["marks"][-1]["mib"]
    return {"memory, MiB": Figure(now, ".0f"), "of it the model's, MiB": Figure(now - run["before_mib"], ".0f")}


def sessions() -> list[Cells]:
    """A row for each number of guided sessions in one batch."""
    shapes = {count: Shape(*_TINY, batch=count, is_guided=True) for count in _SESSIONS}
    model = model_of(shapes[1], WINDOW)
    steps = {str(count): player(shape, "int8", model) for count, shape in shapes.items()}
    times = take_turns(steps, rounds=3, steps=20)
    return [
        {"sessions": count, "ms a step": Figure.over(times[str(count)].rounds, ".2f", 1e3), **filled(shape)}
        for count, shape in shapes.items()
    ]


def sizes() -> list[Cells]:
    """A row for each size."""
    rows: list[Cells] = []
    for size in _SIZES:
        shape = Shape(*size)
        model = model_of(shape, WINDOW)
        millions = sum(part.numel() for part in model.parameters()) / 1e6
        times = take_turns({"step": player(shape, "int8", model)}, rounds=3, steps=20)["step"]
        cells = {"million parameters": Figure(millions, ".1f"), "ms a step": Figure.over(times.rounds, ".2f", 1e3)}
        rows.append({"size": shape.name, **cells, **filled(shape)})
    return rows


def draw(run: dict[str, Any], batches: list[Cells], grown: list[Cells]) -> None:
    """Keep all curves as growth.png."""
    from matplotlib.figure import Figure as Picture

    def column(rows: list[Cells], name: str) -> list[float]:
        return [cell.value if isinstance(cell, Figure) else float(cell) for cell in (row[name] for row in rows)]

    picture = Picture(figsize=(12, 3), layout="constrained")
    left, middle, right = picture.subplots(1, 3)
    marks = run["marks"]
    left.plot([mark["step"] for mark in marks[1:]], [mark["ms"] for mark in marks[1:]])
    left.set(xlabel="steps made", ylabel="ms a step", ylim=(0, None), title="a long run, tiny, int8")
    memory = left.twinx()
    memory.plot([mark["step"] for mark in marks], [mark["mib"] for mark in marks], color="tab:orange")
    memory.set(ylabel="memory, MiB", ylim=(0, None))
    middle.plot(column(batches, "sessions"), column(batches, "ms a step"), marker="o")
    middle.set(xlabel="guided sessions in a batch", ylabel="ms a step", ylim=(0, None), title="sessions, tiny, int8")
    right.plot(column(grown, "million parameters"), column(grown, "ms a step"), marker="o")
    right.set(xlabel="million parameters", ylabel="ms a step", ylim=(0, None), title="size, one row, int8")
    picture.savefig(FOLDER / "growth.png", dpi=80)


def main() -> None:
    """Measure, print and keep."""
    torch.set_num_threads(1)
    run = long_run(Shape(*_TINY))
    with torch.inference_mode():
        prompt, batches, grown = first_frame(), sessions(), sizes()
    rows: list[Cells] = [*thirds(run), {"what": "first frame after a prompt of 10 s, ms", "figure": prompt}]
    draw(run, batches, grown)
    more = {"The long run": points(run), "Guided sessions in a batch, tiny": batches, "Sizes, one row": grown}
    sys.stdout.write(write("growth", rows, more=more, threads=1, window=WINDOW, memory=MEMORY))


if __name__ == "__main__":
    main()
