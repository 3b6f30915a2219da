"""Ten minutes of music in a process of its own: do a step's time or the memory grow? Part of `growth`."""

from typing import Any

from experiments.speed.figures import Cells, Figure
from experiments.speed.held import play_alone
from experiments.speed.peers import Shape

_STEPS, _MARKS = 30_000, 30
_WHAT = {"ms": ("ms a step", ".2f"), "mib": ("memory, MiB", ".1f")}


def long_run(shape: Shape) -> dict[str, Any]:
    """What `held.play` finds over 30,000 steps."""
    return play_alone(shape, _STEPS, _MARKS)


def thirds(run: dict[str, Any]) -> list[Cells]:
    """The first third beside the last, each with the range of its marks."""
    marks = run["marks"][1:]
    third = len(marks) // 3
    rows: list[Cells] = []
    for name, (what, spec) in _WHAT.items():
        for which, part in (("first", marks[:third]), ("last", marks[-third:])):
            steps = f"steps {part[0]['step'] - marks[0]['step']} to {part[-1]['step']}"
            rows.append(
                {"what": f"{what}, {which} third: {steps}", "figure": Figure.over([mark[name] for mark in part], spec)}
            )
    return rows


def points(run: dict[str, Any]) -> list[Cells]:
    """A row before the model, one before its first step, and some on the way."""
    first, *others = run["marks"]
    rows: list[Cells] = [
        {"steps": "before there is a model", "memory, MiB": Figure(run["before_mib"], ".1f")},
        {"steps": first["step"], "memory, MiB": Figure(first["mib"], ".1f")},
    ]
    for number, mark in enumerate(others, 1):
        if number <= 2 or number % 5 == 0:
            found: Cells = {what: Figure(mark[name], spec) for name, (what, spec) in _WHAT.items()}
            rows.append({"steps": mark["step"], **found})
    return rows
