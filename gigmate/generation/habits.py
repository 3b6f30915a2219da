"""What players have been doing lately, a few numbers a row: what is held against their habits is told by these.

A model takes its own past for the manner of the piece: who rests goes on resting, who plays softly plays softer still.
What has to be known of that past to pull it back is small, and is kept here for each row, beside its cache.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gigmate.shapes import Mask


class Habits(NamedTuple):
    """One column each of what a `StepDecoder` keeps [B, 4], float32; see `NEWCOMER` for where they begin.

    Args:
        rested: steps since anything was played.
        level: power of what was played, as a moving average, to the usual one (`Steadiness`).
        strikes: notes begun, as a moving average, to the usual number (`Pace`).
        quiet_excess: share of rest and silence, as a moving average, beyond the usual one (`Pace`).
    """

    rested: Tensor
    level: Tensor
    strikes: Tensor
    quiet_excess: Tensor


NEWCOMER = (0.0, 1.0, 1.0, 0.0)
"""Who hasn't played yet is taken for one who plays as is usual."""


def newcomers(batch: int, device: torch.device) -> Tensor:
    """[B, 4]: the habits of players without a past."""
    return torch.tensor(NEWCOMER, device=device).repeat(batch, 1)


def moving_average(before: Tensor, now: Tensor, counts: Tensor, kept: float) -> Tensor:
    """An exponential moving average [B] after the values [B, S], one after the other.

    Args:
        before: [B], the average so far.
        now: [B, S] float32.
        counts: [B, S] bool; values that don't count leave the average as it is.
        kept: the share of the average that one value leaves.
    """
    for value, does_count in zip(now.unbind(1), counts.unbind(1), strict=True):
        before = torch.where(does_count, kept * before + (1 - kept) * value, before)
    return before


def keep(kept: Tensor, now: Tensor, rows: Mask | None) -> None:
    """Write [b, ...] into the first b rows of what is kept, in those of `rows` [b] only; None: in all."""
    own = kept[: len(now)]
    own.copy_(now if rows is None else torch.where(rows[:, None], now, own))
