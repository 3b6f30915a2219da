"""Blind listening: two sounds in an order that the listener doesn't know, and a score to keep."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Mono = NDArray[np.float32]


@dataclass(frozen=True)
class BlindPair:
    """The same song with two stems; which is which stays hidden until it is asked for.

    Args:
        song: [N] float32.
        stem: [N'] float32, the one that was made for the song.
        other: [N''] float32, one that wasn't.
        seed: decides the order.
    """

    song: Mono
    stem: Mono
    other: Mono
    seed: int
    _is_swapped: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_is_swapped", bool(np.random.default_rng(self.seed).integers(2)))

    @property
    def a(self) -> Mono:
        """The song with one of the stems."""
        return mixed(self.song, self.other if self._is_swapped else self.stem)

    @property
    def b(self) -> Mono:
        """The song with the other one."""
        return mixed(self.song, self.stem if self._is_swapped else self.other)

    @property
    def answer(self) -> str:
        """Which of them has the stem that was made for the song: `a` or `b`."""
        return "b" if self._is_swapped else "a"


@dataclass
class ListeningTest:
    """Keeps a listener's guesses; how likely that many would be right by chance is part of the result."""

    answers: list[str] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)

    def guess(self, pair: BlindPair, choice: str) -> None:
        """Note that the listener takes `choice` for the one with the fitting stem.

        Raises:
            ValueError: neither a nor b.
        """
        if choice not in ("a", "b"):
            raise ValueError(f"choice is {choice!r}, must be 'a' or 'b'")
        self.answers.append(pair.answer)
        self.guesses.append(choice)

    def result(self) -> str:
        """Right guesses, and the probability of at least as many by tossing a coin."""
        right = sum(a == g for a, g in zip(self.answers, self.guesses, strict=True))
        if not self.answers:
            return "no guesses yet"
        chance = binomtest(right, len(self.answers), 0.5, alternative="greater").pvalue
        return f"{right} of {len(self.answers)} right; a coin does as well with probability {chance:.2f}"


def mixed(song: Mono, stem: Mono) -> Mono:
    """Song and stem together, as long as the song, turned down if it would clip."""
    together = song + np.pad(stem[: len(song)], (0, max(0, len(song) - len(stem))))
    return (together / max(1.0, float(np.abs(together).max(initial=0.0)) / 0.99)).astype(np.float32)
