"""The program that tracing makes of a step (`gigmate.model.step_function`).

A step is some three hundred small operations. Python takes a third of their time to call them one by one; traced once,
torch's own interpreter does, without a compiler and within a few tenths of a second. Sizes of batch and past may be
others than when it was traced: nothing in the function may turn one into a number of Python.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gigmate.model.past import OneStep
from gigmate.model.step_function import StepFunction
from gigmate.shapes import Mask

Program = Callable[..., Tensor]
_WARM_UPS = 3
"""Runs after which the interpreter has settled."""


def traced(step: nn.Module, given: tuple[Tensor, ...]) -> Program:
    """The program of a module, which is run a few times with these tensors: it has to come to the same every time."""
    make: Any = torch.jit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.compile, its successor, wants a compiler
        program = make.freeze(make.trace(step.eval(), given, check_trace=False))
    for _ in range(_WARM_UPS):
        program(*given)
    return program


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
