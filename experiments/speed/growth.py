"""Does anything grow that should not: `python -m experiments.speed.growth`.

30,000 steps at tiny, ten minutes of music, with step time and memory on the way; the time to the first frame after a
prompt of 10 s; the cost of a step against the number of sessions and against the size of the model.
"""

import resource
import statistics
import sys
import time

import torch

from experiments.speed.own import conditions_of, model_of, player
from experiments.speed.peers import NUM_CODEBOOKS, NUM_CODES, Shape
from experiments.speed.report import FOLDER, write
from experiments.speed.rounds import take_turns
from gigmate.evaluation.tables import Row, markdown
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.sampler import TopK, row_generators
from gigmate.model.stepper import equip

_TINY, _WINDOW = ("tiny", 384, 8, 6), 512
_STEPS, _MARKS, _PROMPT = 30_000, 30, 500
_SESSIONS = (1, 2, 4, 8, 16)
_SIZES = (("nano", 256, 6, 4), _TINY, ("640 x 12", 640, 12, 10), ("small", 1024, 24, 16))


def long_run() -> list[tuple[int, float, float]]:
    """(step, median ms a step since the mark before, peak memory in MiB) at each mark."""
    step, marks = player(Shape(*_TINY), "int8", model_of(Shape(*_TINY), _WINDOW)), []
    for mark in range(_MARKS):
        taken = []
        for _ in range(_STEPS // _MARKS):
            start = time.perf_counter()
            step()
            taken.append(time.perf_counter() - start)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        marks.append(((mark + 1) * _STEPS // _MARKS, 1e3 * statistics.median(taken), memory))
    return marks


def first_frame() -> float:
    """Seconds from a prompt of 10 s to the first frame after it, with generator and cache made anew."""
    model = model_of(Shape(*_TINY), _WINDOW)
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
    return statistics.median(taken[1:])


def sessions() -> dict[int, float]:
    """Milliseconds of a step of so many guided sessions in one batch."""
    shapes = {count: Shape(*_TINY, batch=count, is_guided=True) for count in _SESSIONS}
    model = model_of(shapes[1], _WINDOW)
    steps = {str(count): player(shape, "int8", model) for count, shape in shapes.items()}
    return {int(name): 1e3 * times.median_s for name, times in take_turns(steps, rounds=3, steps=20).items()}


def sizes() -> dict[str, tuple[float, float]]:
    """Millions of parameters, and milliseconds of a step of one row, by size."""
    found = {}
    for size in _SIZES:
        shape = Shape(*size)
        model = model_of(shape, _WINDOW)
        millions = sum(part.numel() for part in model.parameters()) / 1e6
        times = take_turns({"step": player(shape, "int8", model)}, rounds=3, steps=20)
        found[shape.name] = (millions, 1e3 * times["step"].median_s)
    return found


def draw(marks: list[tuple[int, float, float]], batch: dict[int, float], grown: dict[str, tuple[float, float]]) -> None:
    """Keep all curves as growth.png."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.plot([mark[0] for mark in marks], [mark[1] for mark in marks])
    left.set(xlabel="steps made", ylabel="ms a step", ylim=(0, None), title="a long run, tiny, int8")
    memory = left.twinx()
    memory.plot([mark[0] for mark in marks], [mark[2] for mark in marks], color="tab:orange")
    memory.set(ylabel="peak memory, MiB", ylim=(0, None))
    middle.plot(list(batch), list(batch.values()), marker="o")
    middle.set(xlabel="guided sessions in a batch", ylabel="ms a step", ylim=(0, None), title="sessions, tiny, int8")
    right.plot(*zip(*grown.values(), strict=True), marker="o")
    right.set(xlabel="million parameters", ylabel="ms a step", ylim=(0, None), title="size, one row, int8")
    figure.savefig(FOLDER / "growth.png", dpi=80)


def main() -> None:
    """Measure, print and keep."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        batch, prompt_s, marks, grown = sessions(), first_frame(), long_run(), sizes()
    early, late = marks[1], marks[-1]
    rows: list[Row] = [
        {"what": f"ms a step, after {early[0]} and {late[0]} steps", "figure": f"{early[1]:.2f}, {late[1]:.2f}"},
        {"what": "peak memory then, MiB", "figure": f"{early[2]:.0f}, {late[2]:.0f}"},
        {"what": "first frame after a prompt of 10 s, ms", "figure": f"{1e3 * prompt_s:.0f}"},
        *({"what": f"ms a step, {count} guided sessions", "figure": f"{ms:.2f}"} for count, ms in batch.items()),
        *(
            {"what": f"ms a step, {name}, {millions:.1f} M parameters", "figure": f"{ms:.2f}"}
            for name, (millions, ms) in grown.items()
        ),
    ]
    draw(marks, batch, grown)
    write("growth", rows, threads=1, window=_WINDOW)
    sys.stdout.write(markdown(rows))


if __name__ == "__main__":
    main()
