"""Rotary positions that stay exact however long a session lasts.

A position p turns pair i of a head's features by p * f_i turns. A float32 product loses the turn after hours of playing
(540,000 steps in three hours at 50 Hz: an error of 0.03 rad). So f_i is held as an integer in units of 2^-32 turns, and
the product wraps around in integer arithmetic, which is exact.

Source: RoFormer (arXiv 2104.09864), section 3.2.
"""

import math

import torch
from torch import Tensor, nn

TURN = 1 << 32


class RotaryPositions(nn.Module):
    """Turns queries and keys by their position, so that attention depends on distances alone.

    Args:
        head_dim: E, even.
        base: longest wavelength in steps, over 2 pi.
    """

    turns_per_step: Tensor

    def __init__(self, head_dim: int, base: float = 10_000.0) -> None:
        super().__init__()
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
        turns = (base**-exponents / (2 * math.pi) * TURN).round().to(torch.int64)
        self.register_buffer("turns_per_step", turns, persistent=False)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine for positions [B, S] int64: two [B, 1, S, E / 2] float32, once per forward pass."""
        turns = (positions[:, None, :, None] * self.turns_per_step) % TURN
        angles = turns.to(torch.float32) * (2 * math.pi / TURN)
        return angles.cos(), angles.sin()


def rotate(values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Values [B, H, S, E] turned by the angles of `RotaryPositions`: in float32, whatever their own type is."""
    first, second = values.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(values.dtype)
