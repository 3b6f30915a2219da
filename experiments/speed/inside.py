"""Where the time of a whole goes while it runs: methods are timed where they are called, not alone with warm caches."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

Methods = Sequence[tuple[type, str]]
"""Each a class and the name of its method."""


@contextmanager
def timed_parts(parts: Mapping[str, Methods]) -> Iterator[dict[str, float]]:
    """Seconds that each part's methods take, added up until the caller sets them back.

    Args:
        parts: name to methods. Parts may lie in each other; methods of one part may not, or they count twice.
    """
    seconds = dict.fromkeys(parts, 0.0)

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                seconds[name] += time.perf_counter() - start

        return run

    with ExitStack() as patches:
        for name, methods in parts.items():
            for owner, method in methods:
                patches.enter_context(patch.object(owner, method, timed(name, getattr(owner, method))))
        yield seconds
