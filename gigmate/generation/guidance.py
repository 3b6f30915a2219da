"""Classifier-free guidance: conditions count for more than they did in training.

The logits of up to three views of the same step are blended: all conditions, the beat grid alone, neither.

    logits = nothing + beats * (grid - nothing) + mix * (all - grid)

Both scales 1 give plain sampling, both s the usual guidance with scale s, and a scale for each source says what to
follow. Views of weight 0 aren't computed: plain sampling costs one row, equal scales two, different ones three.

Source: Classifier-Free Diffusion Guidance (arXiv 2207.12598); on tokens, AudioGen (arXiv 2209.15352).
"""

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from gigmate.model.conditions import StepConditions


@dataclass(frozen=True)
class Guidance:
    """How strongly to follow what is heard, as a value.

    Args:
        mix: scale of the mix; 1 is off, 0 doesn't listen.
        beats: scale of the beat grid.

    Raises:
        ValueError: a scale is negative or no number.
    """

    mix: float = 1.0
    beats: float = 1.0

    def __post_init__(self) -> None:
        for name, scale in (("mix", self.mix), ("beats", self.beats)):
            if not (scale >= 0 and math.isfinite(scale)):
                raise ValueError(f"guidance scale of {name} is {scale}, but must be a number >= 0")

    @property
    def views(self) -> tuple[tuple[float, bool, bool], ...]:
        """(weight, with mix, with beats) of each view that counts; the weights add up to 1."""
        views = ((self.mix, True, True), (self.beats - self.mix, False, True), (1.0 - self.beats, False, False))
        return tuple(view for view in views if view[0] != 0)

    def repeat(self, rows: Tensor) -> Tensor:
        """[B, ...] -> [B * views, ...]: each row once for each view, one after the other.

        So the first rows of a batch are the first ones of its cache as well.
        """
        return rows if len(self.views) == 1 else rows.repeat_interleave(len(self.views), dim=0)

    def expand(self, conditions: StepConditions) -> StepConditions:
        """Conditions of B rows -> of B * views rows, each view without what it isn't to know."""
        views = [without(conditions, mix=not mix, beats=not beats) for _, mix, beats in self.views]
        if len(views) == 1:
            return views[0]
        names = [field.name for field in fields(StepConditions)]
        return StepConditions(
            *(torch.stack([getattr(view, name) for view in views], dim=1).flatten(0, 1) for name in names)
        )

    def blend(self, logits: Tensor, weights: Tensor | None = None) -> Tensor:
        """Logits [B * views, K, V] -> [B, K, V]; `weights` [B, views] are those of each row, if they differ."""
        if len(self.views) == 1:
            return logits
        if weights is None:
            weights = torch.tensor([[weight for weight, _, _ in self.views]], device=logits.device)
        return (logits.float().unflatten(0, (-1, len(self.views))) * weights[:, :, None, None]).sum(dim=1)


def without(conditions: StepConditions, *, mix: bool = False, beats: bool = False) -> StepConditions:
    """The same conditions with the mix unheard, or without a grid."""
    if mix:
        conditions = replace(conditions, heard=torch.zeros_like(conditions.heard))
    return replace(conditions, beats=torch.zeros_like(conditions.beats)) if beats else conditions
