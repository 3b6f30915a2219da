"""Where the bench for GPUs runs, and how it waits for one; in tests a CPU takes its place."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from experiments.speed.own import conditions_of
from experiments.speed.peers import Step
from experiments.speed.rounds import Times
from gigmate.model.conditions import StepConditions
from gigmate.model.graph_stepper import Capture
from gigmate.model.lm import AccompanimentLM


@dataclass(frozen=True)
class Place:
    """Where it is measured.

    Args:
        device: of everything.
        wait: until all that was asked for is done.
        capture: of a step, for `GraphStepper`.
        rounds: that count.
        steps: of a round.
    """

    device: torch.device
    wait: Callable[[], object]
    capture: Capture
    rounds: int = 5
    steps: int = 40


def timed(step: Step, place: Place, steps: int) -> Times:
    """Seconds of a step, from rounds of many; the first round isn't counted."""
    seconds = []
    for _ in range(place.rounds + 1):
        place.wait()
        start = time.perf_counter()
        for _ in range(steps):
            step()
        place.wait()
        seconds.append((time.perf_counter() - start) / steps)
    return Times(tuple(seconds[1:]), 1.0)


def limits(place: Place, copied: int, width: int) -> tuple[float, float]:
    """Bytes a second of a copy of so many floats, operations a second of a product of so wide squares in bfloat16."""
    source = torch.ones(copied, device=place.device)
    target, square = torch.empty_like(source), torch.randn(width, width, device=place.device, dtype=torch.bfloat16)
    copying = timed(lambda: target.copy_(source), place, 10)
    return 2 * source.nbytes / copying.median_s, 2 * width**3 / timed(lambda: square @ square, place, 10).median_s


def conditions_there(model: AccompanimentLM, batch: int, place: Place) -> StepConditions:
    """Random conditions of one step, live."""
    return StepConditions(*(value.to(place.device) for value in vars(conditions_of(model, batch)).values()))
