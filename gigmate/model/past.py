"""How a `KVCache` holds keys and values: as they come, or packed for an attention of single steps twice as fast.

One query's attention is two weighted sums: its scores are those of the keys' *features*, weighted by the query's, and
its result is that of the values, weighted by the scores' softmax. torch has a kernel for weighted sums of rows,
`embedding_bag`: it prefetches and reads half precision, which attention of one query in torch doesn't.

    keys, in blocks of 128 slots             values

              slots 0..127   128..255                  features 0..E-1
    feature 0   row 0         row E          slot 0      row 0
    ...                                      ...
    feature E-1 row E-1       row 2 E - 1    slot M-1    row M-1
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from gigmate.shapes import Mask

BLOCK = 128
"""Slots in a row of packed keys: longer rows cost short pasts more, shorter ones all others."""


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


class Past(Protocol):
    """Keys and values that more are appended to."""

    def append(self, layer: int, keys: Tensor, values: Tensor, claim: Claim) -> tuple[Tensor, Tensor]:
        """Store a layer's [B, H, S, E] in the claimed places; returns all its keys and values, [B, H, used, E]."""
        ...


class OneStep(Protocol):
    """A step that attends to a past, layer by layer: a tuple of all the tensors that it reads and writes, so that what
    it does can be traced once and done with the tensors of other steps.
    """

    def __iter__(self) -> Iterator[Tensor]:
        """The tensors."""
        ...

    def attend(self, layer: int, heads: Tensor) -> Tensor:
        """Store a step's keys and values and mix what its queries see.

        Args:
            layer: which.
            heads: [B, 3 * H, E] float32, queries (scaled as scores are to be), keys and values.

        Returns:
            [B, H * E], in the type of the past.
        """
        ...


class PlainPast:
    """Keys and values as they come, in any type, on any device: `data` is [L, 2, B, H, M, E]."""

    def __init__(self, data: Tensor) -> None:
        self.data = data
        batch, num_heads, capacity = data.shape[2:5]
        rows = torch.arange(2 * batch * num_heads, device=data.device).view(2, batch, num_heads).transpose(0, 1)
        self._first_rows = rows * capacity  # [B, 2, H]: where each ring begins if E is the last of two dimensions

    @property
    def keys(self) -> Tensor:
        """[L, B, H, M, E], a view."""
        return self.data[:, 0]

    @property
    def values(self) -> Tensor:
        """[L, B, H, M, E], a view."""
        return self.data[:, 1]

    def append(self, layer: int, keys: Tensor, values: Tensor, claim: Claim) -> tuple[Tensor, Tensor]:
        """Store a layer's [B, H, S, E] in the claimed places; returns all its keys and values, [B, H, used, E]."""
        index = claim.slots[:, None, :, None].expand_as(keys)
        rows, used = len(keys), claim.mask.shape[-1]
        for store, new in zip(self.data[layer, :, :rows].unbind(), (keys, values), strict=True):
            store.scatter_(2, index, new.to(store.dtype))
        return self.data[layer, 0, :rows, :, :used], self.data[layer, 1, :rows, :, :used]

    def one_step(self, claim: Claim) -> OneStep:
        """What attends with a claim of one step."""
        places = (self._first_rows[: len(claim.slots)] + claim.slots[:, :, None]).flatten()
        mask = torch.zeros(claim.mask.shape, device=places.device).masked_fill_(~claim.mask, -math.inf)
        return _PlainStep(self.data, places, mask)


class _PlainStep(NamedTuple):
    data: Tensor
    places: Tensor
    mask: Tensor

    def attend(self, layer: int, heads: Tensor) -> Tensor:
        past, (batch, used) = self.data[layer], (heads.shape[0], self.mask.shape[-1])
        query, new = _split(heads)
        past.view(-1, past.shape[-1]).index_copy_(0, self.places, new.flatten(0, -2))  # both by one operation
        key, value = past[0, :batch, :, :used], past[1, :batch, :, :used]
        mixed = F.scaled_dot_product_attention(query[:, :, None], key, value, attn_mask=self.mask, scale=1.0)
        return mixed.flatten(1)


class PackedPast:
    """Keys and values in half precision, laid out for single steps of float32 on a CPU.

    Args:
        past: what is held so far.
    """

    def __init__(self, past: PlainPast) -> None:
        capacity, self._width = past.data.shape[4:]
        self._num_blocks = math.ceil(capacity / BLOCK)
        padded = F.pad(past.data, (0, 0, 0, self._num_blocks * BLOCK - capacity)).half()
        self.data = padded.flatten(-2).clone()
        self.keys.copy_(padded[:, 0].unflatten(-2, (self._num_blocks, BLOCK)).transpose(-1, -2))
        batch, num_heads, ring = self.data.shape[2:]
        rings = torch.arange(2 * batch * num_heads).view(2, batch, num_heads).transpose(0, 1) * ring
        feature = torch.arange(self._width) * torch.tensor([[BLOCK], [1]])
        self._first = rings[..., None] + feature[:, None]  # [B, 2, H, E]: the place of slot 0 in a layer's memory
        slot = torch.arange(capacity)
        key_shift = slot // BLOCK * (BLOCK * self._width) + slot % BLOCK
        self._shift = torch.stack((key_shift, slot * self._width), dim=1)  # [M, 2]: how far from there a slot is
        self._bags = _Bags(self, batch, 1)

    @property
    def keys(self) -> Tensor:
        """[L, B, H, blocks, E, BLOCK], a view."""
        return self.data[:, 0].unflatten(-1, (self._num_blocks, self._width, BLOCK))

    @property
    def values(self) -> Tensor:
        """[L, B, H, blocks * BLOCK, E], a view."""
        return self.data[:, 1].unflatten(-1, (self._num_blocks * BLOCK, self._width))

    def append(self, layer: int, keys: Tensor, values: Tensor, claim: Claim) -> tuple[Tensor, Tensor]:
        """As of `PlainPast`, for what comes after a reset; keys and values come back in half precision."""
        rows, slots, used = torch.arange(len(keys))[:, None], claim.slots, claim.mask.shape[-1]
        all_keys, all_values = self.keys[layer], self.values[layer]
        all_keys[rows, :, slots // BLOCK, :, slots % BLOCK] = keys.transpose(1, 2).half()
        all_values[rows, :, slots] = values.transpose(1, 2).half()
        unpacked = all_keys[: len(keys)].transpose(-1, -2).flatten(2, 3)
        return unpacked[:, :, :used], all_values[: len(keys), :, :used]

    def one_step(self, claim: Claim) -> OneStep:
        """What attends with a claim of one step."""
        num_rows, used = len(claim.slots), claim.mask.shape[-1]
        num_blocks = math.ceil(used / BLOCK)
        if (num_rows, num_blocks) != (self._bags.num_rows, self._bags.num_blocks):
            self._bags = _Bags(self, num_rows, num_blocks)
        places = (self._first[:num_rows] + self._shift[claim.slots].view(num_rows, 2, 1, 1)).flatten()
        mask = torch.full((num_rows, 1, num_blocks * BLOCK), -math.inf, dtype=torch.float16)
        mask[:, :, :used].masked_fill_(claim.mask[:, 0], 0.0)
        bags = self._bags
        return _PackedStep(
            self.data, places, mask, bags.owners, bags.key_rows, bags.key_starts, bags.value_rows, bags.value_starts
        )


class _Bags:
    """Which rows are summed: for keys a bag is a row, a head and a block; for values a row and a head. `owners` says
    whose query weighs each bag of keys.
    """

    def __init__(self, past: PackedPast, num_rows: int, num_blocks: int) -> None:
        self.num_rows, self.num_blocks = num_rows, num_blocks
        num_features, num_slots = past.keys.shape[-2], num_blocks * BLOCK
        key_rows = torch.arange(past.keys[0, ..., 0].numel(), dtype=torch.int32).view(past.keys.shape[1:-1])
        self.owners = torch.arange(num_rows * past.keys.shape[2], dtype=torch.int32).repeat_interleave(num_blocks)
        self.key_rows = key_rows[:num_rows, :, :num_blocks].flatten()
        self.key_starts = torch.arange(0, len(self.key_rows), num_features, dtype=torch.int32)
        value_rows = torch.arange(past.values[0, ..., 0].numel(), dtype=torch.int32).view(past.values.shape[1:-1])
        self.value_rows = value_rows[:num_rows, :, :num_slots].flatten()
        self.value_starts = torch.arange(0, len(self.value_rows), num_slots, dtype=torch.int32)


class _PackedStep(NamedTuple):
    data: Tensor
    places: Tensor
    mask: Tensor
    owners: Tensor
    key_rows: Tensor
    key_starts: Tensor
    value_rows: Tensor
    value_starts: Tensor

    def attend(self, layer: int, heads: Tensor) -> Tensor:
        past, (query, new) = self.data[layer], _split(heads.half())
        past.view(-1).index_copy_(0, self.places, new.flatten())
        weights = query.flatten(0, 1).index_select(0, self.owners).flatten()
        scores = _sums(past[0].view(-1, BLOCK), self.key_rows, self.key_starts, weights)
        shares = scores.view(query.shape[0], query.shape[1], -1).add_(self.mask).softmax(dim=-1)
        values = past[1].view(-1, query.shape[2])
        return _sums(values, self.value_rows, self.value_starts, shares.flatten()).view(query.shape[0], -1)


def _split(heads: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 3 * H, E] into queries [B, H, E], and keys and values [B, 2, H, E]."""
    parts = heads.unflatten(1, (3, -1))
    return parts[:, 0], parts[:, 1:]


def _sums(table: Tensor, rows: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of a table's rows, one a bag; added up in float32."""
    return torch.embedding_bag(table, rows, starts, False, 0, False, weights)[0]
