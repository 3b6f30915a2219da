"""How codes are drawn: pure functions of logits and of uniform draws, over all codebooks at once.

The draws are an argument, one per row and codebook, so that each row can have a generator of its own: what a row gets
then depends neither on the batch that it is in nor on the pace of the others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gigmate.shapes import Mask


class Sampler(Protocol):
    """Chooses codes."""

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Logits [B, K, V] and draws [B, K] from [0, 1) to codes [B, K] int64."""
        ...


@dataclass(frozen=True)
class Greedy:
    """Always the likeliest code."""

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """[B, K, V] -> [B, K]."""
        return logits.argmax(dim=-1)


@dataclass(frozen=True)
class TopK:
    """A draw among the `k` likeliest codes.

    Args:
        k: at least 1; above V it means all.
        temperature: below 1 sharpens the distribution, above 1 flattens it; 0 is greedy.

    Raises:
        ValueError: out of range.
    """

    k: int = 100
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"sampler.k is {self.k}, but must be at least 1")
        _check_temperature(self.temperature)

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """[B, K, V] -> [B, K]."""
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        values, codes = logits.float().topk(min(self.k, logits.shape[-1]), dim=-1)
        return pick((values / self.temperature).softmax(dim=-1), codes, uniform)


@dataclass(frozen=True)
class TopP:
    """A draw among the likeliest codes that together hold `p` of the probability.

    Source: nucleus sampling (arXiv 1904.09751).

    Args:
        p: in (0, 1]; the likeliest code is always among them.
        temperature: as in `TopK`; it is applied first.

    Raises:
        ValueError: out of range.
    """

    p: float = 0.9
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.p <= 1:
            raise ValueError(f"sampler.p is {self.p}, but must lie in (0, 1]")
        _check_temperature(self.temperature)

    def __call__(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """[B, K, V] -> [B, K]."""
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        probabilities, codes = (logits.float() / self.temperature).softmax(dim=-1).sort(dim=-1, descending=True)
        before = probabilities.cumsum(dim=-1) - probabilities
        return pick(probabilities.masked_fill(before >= self.p, 0.0), codes, uniform)


def row_generators(seed: int, batch: int) -> list[torch.Generator]:
    """One generator a row, on the CPU; row b's depends on `seed` and b alone."""
    return [torch.Generator().manual_seed(seed * 1_000_003 + row) for row in range(batch)]


def draw_uniform(generators: Sequence[torch.Generator], num_codebooks: int, active: Mask | None = None) -> Tensor:
    """Draws [B, K] from [0, 1), a row from each generator; generators of rows that aren't `active` stay untouched."""
    rows = range(len(generators)) if active is None else active.nonzero().flatten().tolist()
    uniform = torch.zeros(len(generators), num_codebooks)
    for row in rows:
        uniform[row] = torch.rand(num_codebooks, generator=generators[row])
    return uniform


def pick(probabilities: Tensor, codes: Tensor, uniform: Tensor) -> Tensor:
    """The code at which the running sum of `probabilities` (any total, zeros last) passes the uniform share of it."""
    running = probabilities.cumsum(dim=-1)
    # The share stays below the total, for float32 draws are at most 1 - 2^-24: the place is that of a possible code.
    place = (running <= uniform[:, :, None] * running[:, :, -1:]).sum(dim=-1, keepdim=True)
    return codes.gather(-1, place)[:, :, 0]


def _check_temperature(temperature: float) -> None:
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise ValueError(f"sampler.temperature is {temperature}, but must be a number >= 0")
