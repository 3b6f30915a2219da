"""What makes a model's single steps in its place: on a CPU `stepper`, on an NVIDIA GPU `graph_stepper`."""

from typing import Protocol

import torch
from torch import Tensor

from gigmate.model.cache import KVCache
from gigmate.model.conditions import StepConditions
from gigmate.shapes import Mask


class Views(Protocol):
    """Which conditions each view of a guided step knows."""

    @property
    def views(self) -> tuple[tuple[float, bool, bool], ...]:
        """(weight, with mix, with beats) of each; the same from step to step."""
        ...

    def expand(self, conditions: StepConditions) -> StepConditions:
        """Conditions of B rows -> of B * views rows, each view without what it isn't to know."""
        ...


class SingleSteps(Protocol):
    """The same function as `AccompanimentLM.forward` with a cache and S = 1."""

    @property
    def dtype(self) -> torch.dtype:
        """In which keys and values are kept."""
        ...

    def logits(
        self, previous: Tensor, conditions: StepConditions, guidance: Views, cache: KVCache, active: Mask | None
    ) -> Tensor:
        """The distribution of the next step's codes.

        Args:
            previous: [B * views, K] int64, the step before, as each view sees it.
            conditions: of this step, S = 1.
            guidance: says which views of each row there are.
            cache: the past; its first B * views rows are changed in place.
            active: [B * views] bool, rows that take part; None for all.

        Returns:
            [B * views, K, V] float32.
        """
        ...
