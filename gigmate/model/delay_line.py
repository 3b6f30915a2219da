"""A codebook pattern one step at a time: steps go in, and a frame comes out as soon as its last code is written.

delay, K = 3          step      0        1        2        3
                      pushed    t0 . .   t1 t0 .  t2 t1 t0 t3 t2 t1
                      returned  None     None     frame 0  frame 1
"""

import copy

import torch
from torch import Tensor

from gigmate.model.pattern import Pattern
from gigmate.shapes import Mask


class DelayLine:
    """Holds the steps in which frames are still incomplete; each row of the batch at its own pace.

    Args:
        pattern: the layout.
        special_id: V; stands in a returned frame for rows that have none.
        batch: B.
        device: where the steps are.

    Raises:
        ValueError: the pattern can't be streamed.
    """

    def __init__(self, pattern: Pattern, special_id: int, batch: int = 1, device: torch.device | str = "cpu") -> None:
        if not pattern.is_streamable:
            raise ValueError(f"{pattern} writes a frame in several passes over the piece: it makes no stream of frames")
        self._period, self._max_delay, self._special_id = pattern.period, pattern.max_delay, special_id
        self._num_held = pattern.period * (pattern.max_delay + 1)
        self._offsets = torch.tensor(pattern.offsets, device=device)
        self._held = torch.full((batch, pattern.num_codebooks, self._num_held), special_id, device=device)
        self.num_steps = torch.zeros(batch, dtype=torch.int64)
        """[B] int64 on the CPU: steps pushed so far."""
        self._first_frame = torch.zeros(batch, dtype=torch.int64)

    def push(self, step: Tensor, active: Mask | None = None) -> Tensor | None:
        """Take a step [b, K] of the first b <= B rows; return the frame [b, K] that it completes, or None if none.

        Args:
            step: codes, special ids where the pattern has none.
            active: [b] bool on the CPU, the rows that take the step; None for all. Where some rows complete a frame and
                others don't, those hold special ids.
        """
        num_steps, held = self.num_steps[: len(step)], self._held[: len(step)]
        moved = torch.ones_like(num_steps) if active is None else active.long()
        slot = (num_steps % self._num_held).to(step.device)[:, None, None].expand(-1, step.shape[1], 1)
        held.scatter_(2, slot, step[:, :, None])  # rows that wait write the same place again when they go on
        num_steps += moved

        frame = num_steps // self._period - 1 - self._max_delay
        is_complete = (moved > 0) & (num_steps % self._period == 0) & (frame >= self._first_frame[: len(step)])
        if not bool(is_complete.any()):
            return None
        first = (frame * self._period).clamp(min=0).to(step.device)
        slots = (first[:, None] + self._offsets) % self._num_held
        codes = held.gather(2, slots[:, :, None])[:, :, 0]
        return torch.where(is_complete.to(step.device)[:, None], codes, self._special_id)

    def hide(self) -> None:
        """Of what was pushed so far no frame is returned any more."""
        self._first_frame = self.num_steps // self._period

    def adopt(self, row: int, other: "DelayLine") -> None:
        """A row goes on from where the only row of another line is."""
        self._held[row], self.num_steps[row] = other._held[0], other.num_steps[0]
        self._first_frame[row] = other._first_frame[0]

    def fork(self) -> "DelayLine":
        """A copy that goes its own way."""
        return copy.deepcopy(self)

    def select(self, rows: Tensor) -> None:
        """Row i goes on from where row `rows[i]` was; [B] int64 on the CPU."""
        self._held, self.num_steps = self._held[rows.to(self._held.device)], self.num_steps[rows]
        self._first_frame = self._first_frame[rows]

    def reset(self, rows: Mask | None = None) -> None:
        """Begin anew in `rows` [B] bool on the CPU, or in all."""
        chosen = torch.ones(len(self.num_steps), dtype=torch.bool) if rows is None else rows
        self._held[chosen.to(self._held.device)] = self._special_id
        self.num_steps[chosen], self._first_frame[chosen] = 0, 0
