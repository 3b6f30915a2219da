"""Seeded chance: every part of a song draws from a named stream, so that one part never moves another's draws."""

import zlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")


def stream(seed: int, *labels: str | int) -> np.random.Generator:
    """The generator that belongs to `labels` in song `seed`: the same one in any process.

    Labels are hashed with CRC-32 because Python's own hash of a string differs between processes.
    """
    return np.random.default_rng([seed, *(zlib.crc32(str(label).encode()) for label in labels)])


def pick(rng: np.random.Generator, options: Sequence[Choice]) -> Choice:
    """One of `options`, all equally likely."""
    return options[int(rng.integers(len(options)))]


def pick_weighted(rng: np.random.Generator, weights: Sequence[tuple[Choice, float]]) -> Choice:
    """One of the options of (option, weight) pairs."""
    point = rng.random() * sum(weight for _, weight in weights)
    for option, weight in weights:
        point -= weight
        if point < 0:
            return option
    return weights[-1][0]
