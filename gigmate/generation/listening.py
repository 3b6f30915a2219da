"""What listeners have in common: how exactly they compute, and how they hear one step, or an hour."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from gigmate.model.conditions import StepConditions
from gigmate.tracing import CAN_TRACE, Program, traced

Said = TypeVar("Said", bound=NamedTuple)

_BLOCK_STEPS = 2000  # heard at once: an hour of song needs no more memory than a minute


def exact_dtype(device: torch.device) -> torch.dtype:
    """Double precision on a CPU: products round by the number of rows, and a row is to get the same whoever plays."""
    return torch.float64 if device.type == "cpu" else torch.float32


def step_program(module: nn.Module, given: tuple[Tensor, ...], device: torch.device) -> Program:
    """A module for single steps: its traced program where there can be one.

    Args:
        module: on the device.
        given: what its `forward` takes, S = 1.
        device: where that is.
    """
    return traced(module, given) if CAN_TRACE and device.type == "cpu" else module


def in_blocks(
    hear: Callable[[Tensor, StepConditions], tuple[Tensor, Said]], known: Tensor, conditions: StepConditions
) -> tuple[Tensor, Said]:
    """What is known after the steps of the conditions, and what is said at each of them.

    Args:
        hear: from what is known, and conditions of some steps, to what is known then and a tuple of [B, S, ...].
        known: [B, C].
        conditions: of B rows and any number of steps.
    """
    if conditions.num_steps <= _BLOCK_STEPS:
        return hear(known, conditions)
    said: list[Any] = []
    for start in range(0, conditions.num_steps, _BLOCK_STEPS):
        known, block = hear(known, conditions.at(slice(start, start + _BLOCK_STEPS)))
        said.append(block)
    return known, type(said[0])(*(torch.cat(parts, dim=1) for parts in zip(*said, strict=True)))
