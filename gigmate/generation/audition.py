"""Search while playing: several ways to go on are tried, the one that fits best is kept, and all go on from there.

A small model proposes well-formed music and follows the chords weakly; that a piece fits them can be heard afterwards.
So whatever one wants of a stem and can measure needs no training. Source of the idea: sequential Monte Carlo decoding
and best-of-n sampling, by the piece.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gigmate.shapes import Codes

Judge = Callable[[Codes, int], Tensor]
"""What the model wrote [N, K, T] and the first frame of what is new in it -> scores [N], the higher the better."""


@dataclass(frozen=True)
class Audition:
    """How a stem is searched for.

    Args:
        judge: of how well the candidates fit.
        num_candidates: ways to go on that are tried for each row.
        every_frames: how often one is chosen.

    Raises:
        ValueError: less than one candidate or frame.
    """

    judge: Judge
    num_candidates: int = 2
    every_frames: int = 25

    def __post_init__(self) -> None:
        if min(self.num_candidates, self.every_frames) < 1:
            raise ValueError(
                f"{self.num_candidates} candidates every {self.every_frames} frames: both must be 1 or more"
            )

    def chosen(self, codes: Codes, start: int) -> Tensor:
        """For each of the rows, which come in groups of candidates, the number of the row to go on from: the best of
        its group.
        """
        scores = self.judge(codes, start).view(-1, self.num_candidates)
        first = torch.arange(len(scores), device=scores.device) * self.num_candidates
        return (first + scores.argmax(dim=1)).repeat_interleave(self.num_candidates)
