"""How sure a mean over songs is: songs are drawn again and again, because what is measured within one is alike."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_DRAWS = 2_000
_LEVELS = (2.5, 97.5)

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Interval:
    """An estimate with the interval that holds 95 % of its redrawn values."""

    value: float
    low: float
    high: float

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.low > 0

    def __format__(self, spec: str) -> str:
        """`value (low..high)`, each with `spec`."""
        return f"{self.value:{spec}} ({self.low:{spec}}..{self.high:{spec}})"


def interval(per_song: ArrayLike, statistic: Statistic | None = None, seed: int = 0) -> Interval:
    """A statistic of songs with its percentile interval. Source: Efron 1979.

    Args:
        per_song: [songs], or [songs, columns] where a statistic needs several values of the same song.
        statistic: [..., songs] or [..., songs, columns] -> [...]; None: the mean.
        seed: of the draws; the default makes reports repeatable.

    Raises:
        ValueError: no song.
    """
    values = np.asarray(per_song, np.float64)
    if not len(values):
        raise ValueError("an interval needs a song at least")
    statistic = statistic or (lambda drawn: drawn.mean(axis=-1))
    drawn = values[np.random.default_rng(seed).integers(len(values), size=(_DRAWS, len(values)))]
    redrawn = statistic(drawn)
    low, high = np.percentile(redrawn[np.isfinite(redrawn)], _LEVELS) if np.isfinite(redrawn).any() else (np.nan,) * 2
    return Interval(float(statistic(values)), float(low), float(high))
