"""Figures of the last seconds: how long something took, and for what share of the cases."""

import math
from collections import deque


class Window:
    """Values of the last seconds and their quantiles.

    Args:
        span_s: how long a value counts.
        limit: how many are kept at most; then the oldest go.
    """

    def __init__(self, span_s: float, limit: int = 4096) -> None:
        self._span_s = span_s
        self._values: deque[tuple[float, float]] = deque(maxlen=limit)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float, now_s: float) -> None:
        """Count a value; those that are too old by now go, but never the newest."""
        self._values.append((now_s, value))
        while self._values[0][0] < now_s - self._span_s:
            self._values.popleft()

    def quantile(self, share: float) -> float | None:
        """The smallest value that a share 0..1 of the values doesn't exceed; None without values."""
        if not self._values:
            return None
        values = sorted(value for _, value in self._values)
        return values[max(0, math.ceil(share * len(values)) - 1)]

    def share_at_least(self, value: float) -> float:
        """The share of the values that are `value` or more; 1 without values."""
        return sum(other >= value for _, other in self._values) / len(self._values) if self._values else 1.0

    def sum_quantile(self, share: float, group: int) -> float | None:
        """The quantile of the sums of `group` values that follow each other, None if there aren't so many.

        What so many calls in a row take: spikes don't come in groups, so it is less than `group` times the quantile.
        """
        single = [value for _, value in self._values]
        sums = sorted(sum(single[i : i + group]) for i in range(len(single) - group + 1))
        return sums[max(0, math.ceil(share * len(sums)) - 1)] if sums else None
