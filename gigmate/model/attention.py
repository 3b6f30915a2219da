"""Windowed causal self-attention: over a whole piece in training, over a ring of the past when playing."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gigmate.model.past import Claim, Past
from gigmate.model.positions import rotate
from gigmate.shapes import Mask


@dataclass(frozen=True)
class View:
    """What the steps of one forward pass see, the same for every layer.

    Args:
        cos: cosine of the rotary angles, [B or 1, 1, S, E / 2].
        sin: their sine.
        mask: [B or 1, 1, S, keys] bool; None for plain causal attention, which needs no mask to be read.
        cache: the past that keys and values are appended to, or None.
        claim: the places of these steps in the cache, if there is one.
    """

    cos: Tensor
    sin: Tensor
    mask: Mask | None
    cache: Past | None = None
    claim: Claim | None = None


def band(num_steps: int, window: int, device: torch.device) -> Mask | None:
    """The mask [1, 1, S, S] of causal attention over `window` steps, or None where plain causality says the same."""
    if num_steps <= window:
        return None
    steps = torch.arange(num_steps, device=device)
    distance = steps[:, None] - steps
    return ((distance >= 0) & (distance < window))[None, None]


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions; one fused product makes queries, keys and values.

    Attention weights are never dropped: with dropout the CPU has no fused kernel, and the blocks drop whole features.

    Args:
        dim: width of the trunk.
        num_heads: H.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, hidden: Tensor, layer: int, view: View) -> Tensor:
        """[B, S, dim] -> [B, S, dim]; `layer` says which part of the cache is this module's."""
        batch, num_steps, dim = hidden.shape
        heads = self.query_key_value(hidden).view(batch, num_steps, 3 * self.num_heads, -1).transpose(1, 2)
        turned = rotate(heads[:, : 2 * self.num_heads], view.cos, view.sin)
        query, key = turned.chunk(2, dim=1)
        value = heads[:, 2 * self.num_heads :]
        if view.cache is not None and view.claim is not None:
            key, value = view.cache.append(layer, key, value, view.claim)
        mixed = F.scaled_dot_product_attention(
            query,
            key.to(query.dtype),
            value.to(query.dtype),
            attn_mask=view.mask,
            is_causal=view.mask is None,
        )
        return self.out(mixed.transpose(1, 2).reshape(batch, num_steps, dim))
