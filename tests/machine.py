"""Promises in seconds, told to a machine of any speed: what a block takes, beside what fixed work takes just then.

Seconds alone say more about the machine and its other users than about the code; a ratio in the same run doesn't.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import numpy as np

_REFERENCE_S = 0.025
"""CPU seconds of `_work` on a machine that keeps the promises of RELIABILITY with room: two cores with AVX-512."""
_SHARED = 2.0
"""Neighbours take caches and clock from a block and not from the work beside it, or the other way round."""


def _work() -> float:
    """Bytes walked by Python and waves transformed by numpy, half of the time each; returns its CPU seconds."""
    begin_s, total = time.process_time(), 0
    for byte in bytes(range(250)) * 1_200:
        total += byte & 0x7F if byte < 200 else -byte
    wave = np.sin(np.arange(2**17, dtype=np.float64))
    for _ in range(4):
        wave = np.fft.irfft(np.fft.rfft(wave))
    return time.process_time() - begin_s


def slowness() -> float:
    """How many times as long as on the reference machine work takes here and now; at least 1."""
    return max(1.0, median(_work() for _ in range(9)) / _REFERENCE_S)


@dataclass
class Spent:
    """What a block took, once it has ended."""

    cpu_s: float = 0.0


@contextmanager
def within(promised_s: float) -> Iterator[Spent]:
    """That the block takes no more CPU time than this, or than this means on a machine that is slower."""
    spent, begin_s = Spent(), time.process_time()
    yield spent
    spent.cpu_s = time.process_time() - begin_s
    if spent.cpu_s > promised_s:
        allowed_s = promised_s * _SHARED * slowness()
        assert spent.cpu_s <= allowed_s, f"{spent.cpu_s:.2f} s of CPU, {promised_s} s are {allowed_s:.2f} s here"
