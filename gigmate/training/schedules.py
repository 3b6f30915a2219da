"""Learning rates over time."""

import math


def warmup_cosine(step: int, warmup_steps: int, max_steps: int, floor: float = 0.0) -> float:
    """Factor in 0..1 for the learning rate at `step`: a linear rise, then half a cosine down to `floor`.

    It reaches 1 at `warmup_steps` and stays at `floor` after `max_steps`. The first step isn't wasted at 0.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = min(1.0, (step - warmup_steps) / max(1, max_steps - warmup_steps))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def warmup_constant(step: int, warmup_steps: int, max_steps: int, floor: float = 0.0) -> float:
    """As `warmup_cosine` without the fall: for trainings whose end isn't known; `max_steps` and `floor` are unused."""
    return min(1.0, (step + 1) / (warmup_steps + 1))
