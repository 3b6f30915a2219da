"""How often something may happen: a token bucket, and one per address."""

import time
from collections import OrderedDict
from collections.abc import Callable

_MAX_ADDRESSES = 10_000


class Bucket:
    """Lets `per_s` things a second pass in the long run, and `burst` at once.

    Args:
        per_s: rate.
        burst: how many may come together.
        clock: monotonic seconds.
    """

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._left, self._at_s = burst, clock()

    def take(self) -> bool:
        """Whether one more may pass now."""
        now_s = self._clock()
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class PerAddress:
    """A bucket for every address, those asked for least lately forgotten when there are too many."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._make = lambda: Bucket(per_s, burst, clock)
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, address: str) -> bool:
        """Whether one more from `address` may pass now."""
        bucket = self._buckets.setdefault(address, self._make())
        self._buckets.move_to_end(address)
        if len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return bucket.take()
