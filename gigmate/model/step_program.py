"""A step (`gigmate.model.step_function`) as one module, of which tracing makes a program (`gigmate.tracing`).

A step is some three hundred small operations.
"""

from collections.abc import Callable

from torch import Tensor, nn

from gigmate.model.past import OneStep
from gigmate.model.step_function import StepFunction
from gigmate.shapes import Mask


class Step(nn.Module):
    """A step with one kind of past.

    Args:
        function: the step.
        kind: from the tensors of a past to the past.
    """

    def __init__(self, function: StepFunction, kind: Callable[..., OneStep]) -> None:
        super().__init__()
        self.function, self.kind = function, kind

    def forward(
        self,
        previous: Tensor,
        mix: Tensor,
        heard: Mask,
        beats: Tensor,
        known: Tensor,
        whole: Tensor,
        cos: Tensor,
        sin: Tensor,
        *past: Tensor,
    ) -> Tensor:
        """Logits [B * views, K, V]; what is given see `StepFunction`."""
        hidden = self.function.embed(previous, mix, heard, beats, known, whole)
        return self.function.logits(hidden, cos, sin, self.kind(*past))
