"""How times are taken: players take turns, several rounds; steps during which the core was taken away don't count."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

_STOLEN_SHARE = 0.15
"""Of a step's wall time, how much may have gone to others on one thread before the step is left out."""


@dataclass(frozen=True)
class Times:
    """Seconds of one player's steps.

    Args:
        rounds: median of each round's steps.
        kept: share of the steps that counted.
    """

    rounds: tuple[float, ...]
    kept: float

    @property
    def median_s(self) -> float:
        """Of the rounds."""
        return statistics.median(self.rounds)


def take_turns(
    players: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    steps: int,
    warm_up: int = 2,
    is_one_thread: bool = True,
) -> dict[str, Times]:
    """Time each player for `steps` steps a round, one after the other, in `rounds` rounds and one that isn't counted.

    Args:
        players: name to what makes one step.
        rounds: how many count.
        steps: of each player's turn.
        warm_up: steps at the beginning of each turn that aren't counted: they fetch the weights.
        is_one_thread: the calling thread does all the work, so that its own time tells what others took.
    """
    medians: dict[str, list[float]] = {name: [] for name in players}
    kept: dict[str, list[bool]] = {name: [] for name in players}
    for number in range(rounds + 1):
        for name, step in players.items():
            taken = [timed(step) for _ in range(warm_up + steps)][warm_up:]
            calm = calm_of(taken) if is_one_thread else [True] * steps
            if number:
                medians[name].append(median_of([wall for wall, _ in taken], calm))
                kept[name] += calm
    return {name: Times(tuple(medians[name]), statistics.mean(kept[name])) for name in players}


def ratio(slow: Times, fast: Times) -> list[float]:
    """How many times as fast, in each round."""
    return [a / b for a, b in zip(slow.rounds, fast.rounds, strict=True)]


def copy_bytes_per_s() -> float:
    """Bytes read and written a second by a copy that no cache can hold, on torch's threads: the best of several."""
    source, target = torch.ones(1 << 27), torch.empty(1 << 27)
    seconds = min(timed(lambda: target.copy_(source))[0] for _ in range(6))
    return 2 * source.nbytes / seconds


def timed(step: Callable[[], object]) -> tuple[float, float]:
    """Wall time and this thread's own time of a step."""
    wall, own = time.perf_counter(), time.thread_time()
    step()
    return time.perf_counter() - wall, time.thread_time() - own


def calm_of(taken: Sequence[tuple[float, float]]) -> list[bool]:
    """Of steps as `timed` took them, which had the core to themselves."""
    return [wall - own <= _STOLEN_SHARE * wall for wall, own in taken]


def median_of(values: Sequence[float], calm: Sequence[bool]) -> float:
    """Of the calm ones; of all if none was."""
    return statistics.median([value for value, counts in zip(values, calm, strict=True) if counts] or values)
