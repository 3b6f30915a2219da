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
from dataclasses import dataclass

import torch
from torch import Tensor

from gigmate.shapes import Mask


@dataclass(frozen=True)
class Claim:
    """Places in a `KVCache` for the steps of one forward pass.

    Args:
        positions: [B, S] int64, position of each step.
        slots: [B, S] int64, where its key and value go.
        mask: [B, 1, S, used] bool, which slots each step sees.
    """

    positions: Tensor
    slots: Tensor
    mask: Mask


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
        self._past = torch.zeros(shape, device=device, dtype=dtype)
        """[L, 2, B, H, M, E], keys and values side by side: a layer's step is written by one operation."""
        rows = torch.arange(2 * batch * num_heads, device=device).view(2, batch, num_heads).transpose(0, 1)
        self._first_rows = rows * self.capacity  # [B, 2, H]: where each ring begins if E is the last of two dimensions
        self.positions = torch.full((batch, self.capacity), -1, device=device)
        self.next_position = torch.zeros(batch, dtype=torch.int64, device=device)
        self._num_used = 0  # slots that any row may have filled: short pasts cost less, and no read-back is needed

    @property
    def batch(self) -> int:
        """B."""
        return self.positions.shape[0]

    @property
    def keys(self) -> Tensor:
        """[L, B, H, M, E], a view."""
        return self._past[:, 0]

    @property
    def values(self) -> Tensor:
        """[L, B, H, M, E], a view."""
        return self._past[:, 1]

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
        index = claim.slots[:, None, :, None].expand_as(keys)
        rows, used = len(keys), claim.mask.shape[-1]
        for store, new in zip(self._past[layer, :, :rows].unbind(), (keys, values), strict=True):
            store.scatter_(2, index, new.to(store.dtype))
        return self._past[layer, 0, :rows, :, :used], self._past[layer, 1, :rows, :, :used]

    def rows_of(self, claim: Claim) -> Tensor:
        """Where `append_step` is to write a claim of one step: [B * 2 * H], for all layers the same."""
        return (self._first_rows[: len(claim.slots)] + claim.slots[:, :, None]).flatten()

    def append_step(self, layer: int, heads: Tensor, rows: Tensor, claim: Claim) -> tuple[Tensor, Tensor]:
        """As `append`, for one step whose keys and values lie side by side: `heads` [B, 2 * H, E]."""
        past = self._past[layer]
        past.view(-1, past.shape[-1]).index_copy_(0, rows, heads.reshape(-1, heads.shape[-1]))
        used = claim.mask.shape[-1]
        return past[0, : len(heads), :, :used], past[1, : len(heads), :, :used]

    def fork(self) -> "KVCache":
        """A copy that goes its own way."""
        return copy.deepcopy(self)

    def reset(self, rows: Mask | None = None) -> None:
        """Forget the past of `rows` [B] bool, or of all: they are as new to the last bit."""
        chosen = torch.ones_like(self.next_position, dtype=torch.bool) if rows is None else rows
        self.positions[chosen] = -1
        self.next_position[chosen] = 0
        # a weight of 0 for what isn't seen would let a NaN through
        self._past[:, :, chosen] = 0.0
        self._num_used = min(int(self.next_position.max()), self.capacity)
