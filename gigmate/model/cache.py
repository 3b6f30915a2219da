"""Keys and values of the past in a ring, with the position of each beside it.

    capacity M = 5, window W = 4, after steps 0..6 have been appended:

        slot        0   1   2   3   4          a query at position 6 sees keys 3..6: slots 3, 4, 0, 1
        position    5   6   2   3   4          position 2 is still there, but outside the window

The positions make mask, window and ring one rule: a key is seen if 0 <= query - key < W. A chunk of F steps is written
before any of its queries looks, and its last key displaces position last - M, which the first query must no longer
need: so the ring is exact only if M >= W + F - 1. Source: the ring of moshi's `modules/streaming.py`, whose capacity W
is too small for F > 1.
"""

import copy

import torch
from torch import Tensor

from gigmate.model.past import Claim, OneStep, PackedPast, Past, PlainPast
from gigmate.shapes import Mask


class KVCache:
    """The past of a batch, passed to the model as an argument and changed in place.

    Rows keep their own position: each can be reset, or held back for a step, while the others go on. A pass may also be
    of the first rows alone: it costs as if the others weren't there.

    Args:
        num_layers: L.
        batch: B.
        num_heads: H.
        head_dim: E.
        window: steps that attention reaches back, the present one included.
        max_chunk: most steps of one forward pass; the capacity is M = window + max_chunk - 1.
        device: where the tensors live.
        dtype: their type.
    """

    def __init__(
        self,
        num_layers: int,
        batch: int,
        num_heads: int,
        head_dim: int,
        *,
        window: int,
        max_chunk: int = 1,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.window, self.max_chunk = window, max_chunk
        self.capacity = window + max_chunk - 1
        shape = (num_layers, 2, batch, num_heads, self.capacity, head_dim)
        self._past: PlainPast | PackedPast = PlainPast(torch.zeros(shape, device=device, dtype=dtype))
        self.positions = torch.full((batch, self.capacity), -1, device=device)
        self.next_position = torch.zeros(batch, dtype=torch.int64, device=device)
        self._num_used = 0  # slots that any row may have filled: short pasts cost less, and no read-back is needed

    @property
    def batch(self) -> int:
        """B."""
        return self.positions.shape[0]

    @property
    def past(self) -> Past:
        """Keys and values alone, which stay where they are in memory until they are packed."""
        return self._past

    @property
    def keys(self) -> Tensor:
        """[L, B, H, ...], a view."""
        return self._past.keys

    @property
    def values(self) -> Tensor:
        """[L, B, H, ...], a view."""
        return self._past.values

    def claim(self, num_steps: int, active: Mask | None = None, *, num_rows: int | None = None) -> Claim:
        """Take places for the next `num_steps` steps of the first `num_rows` rows; None: of all.

        Those of them that are not `active` [num_rows] compute like the others, but stay where they are. What they leave
        in their places lies in the future of their next step: it is not seen, and written over before it could be.

        Raises:
            ValueError: more steps than `max_chunk`, or more rows than there are.
        """
        num_rows = self.batch if num_rows is None else num_rows
        if num_steps > self.max_chunk:
            raise ValueError(f"{num_steps} steps at once, but this cache is exact for at most {self.max_chunk}")
        if num_rows > self.batch:
            raise ValueError(f"{num_rows} rows at once, but this cache has {self.batch}")
        next_position, known = self.next_position[:num_rows], self.positions[:num_rows]
        positions = next_position[:, None] + torch.arange(num_steps, device=self.positions.device)
        slots = positions % self.capacity
        known.scatter_(1, slots, positions)
        self._num_used = min(self._num_used + num_steps, self.capacity)
        distance = positions[:, :, None] - known[:, None, : self._num_used]
        seen = (distance >= 0) & (distance < self.window) & (known[:, None, : self._num_used] >= 0)
        next_position += num_steps if active is None else num_steps * active
        return Claim(positions, slots, seen[:, None])

    def append(self, layer: int, keys: Tensor, values: Tensor, claim: Claim) -> tuple[Tensor, Tensor]:
        """Store a layer's [B, H, S, E] in the claimed places; returns all its keys and values, [B, H, used, E]."""
        return self._past.append(layer, keys, values, claim)

    def one_step(self, claim: Claim) -> OneStep:
        """What stores and attends with a claim of one step."""
        return self._past.one_step(claim)

    def pack(self) -> None:
        """From now on hold the past in half precision, laid out for single steps; on a CPU."""
        if isinstance(self._past, PlainPast):
            self._past = PackedPast(self._past)

    def fork(self) -> "KVCache":
        """A copy that goes its own way."""
        return copy.deepcopy(self)

    def select(self, rows: Tensor) -> None:
        """Row i goes on from where row `rows[i]` was; [B] int64."""
        self._past.data.copy_(self._past.data[:, :, rows])
        self.positions, self.next_position = self.positions[rows], self.next_position[rows]

    def adopt(self, first_row: int, other: "KVCache") -> None:
        """Rows from `first_row` on take the past of all rows of another cache of the same shape but for its batch."""
        if isinstance(self._past, PackedPast):
            other.pack()
        rows = slice(first_row, first_row + other.batch)
        self._past.data[:, :, rows].copy_(other._past.data)
        self.positions[rows], self.next_position[rows] = other.positions, other.next_position
        self._num_used = max(self._num_used, other._num_used)

    def reset(self, rows: Mask | None = None) -> None:
        """Forget the past of `rows` [B] bool, or of all: they are as new to the last bit."""
        chosen = torch.ones_like(self.next_position, dtype=torch.bool) if rows is None else rows
        self.positions[chosen] = -1
        self.next_position[chosen] = 0
        # a weight of 0 for what isn't seen would let a NaN through
        self._past.data[:, :, chosen] = 0.0
        self._num_used = min(int(self.next_position.max()), self.capacity)
