"""A packed past attends as a plain one does, whatever comes before, between and after."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gigmate.model.cache import KVCache
from gigmate.model.past import BLOCK

H, E, WINDOW, CHUNK = 2, 16, BLOCK + 30, 5
HALF_ERROR = 2e-3
"""Of the size of what comes out: values, scores and weights have 11 bits each."""


def new_cache(batch: int = 3) -> KVCache:
    return KVCache(1, batch, H, E, window=WINDOW, max_chunk=CHUNK)


def heads_of(batch: int, num_steps: int) -> Tensor:
    """[B, S, 3 * H, E]; values have a mean, or errors would be held against sums that nearly vanish."""
    heads = torch.randn(batch, num_steps, 3 * H, E, generator=torch.Generator().manual_seed(3))
    heads[:, :, 2 * H :] += 1.0
    return heads


def step(cache: KVCache, heads: Tensor, active: Tensor | None = None) -> Tensor:
    return cache.one_step(cache.claim(1, active, num_rows=len(heads))).attend(0, heads).float()


def append(cache: KVCache, heads: Tensor) -> Tensor:
    """Several steps at once, as the plain model stores and attends to them."""
    query, key, value = heads.transpose(1, 2).split(H, dim=1)
    claim = cache.claim(heads.shape[1], num_rows=len(heads))
    keys, values = cache.append(0, key, value, claim)
    return F.scaled_dot_product_attention(query, keys.float(), values.float(), attn_mask=claim.mask, scale=1.0)


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("num_before", [0, CHUNK])
def test_packed_steps_are_the_plain_ones(num_before: int) -> None:
    """Rows wait, one is reset, some steps are of the first rows alone, the ring wraps."""
    plain, packed, heads = new_cache(), new_cache(), heads_of(3, 400)
    dice = torch.Generator().manual_seed(0)
    for cache in (plain, packed):
        for start in range(0, num_before, CHUNK):
            append(cache, heads[:, start : start + CHUNK])
    packed.pack()
    for s in range(num_before, 400):
        num_rows = 2 if 300 <= s < 310 else 3
        active = (torch.rand(num_rows, generator=dice) < 0.9) | (torch.arange(num_rows) == s % 2)
        if s == 250:
            for cache in (plain, packed):
                cache.reset(torch.tensor([False, True, False]))
        expected = step(plain, heads[:num_rows, s].clone(), active)
        assert distance(step(packed, heads[:num_rows, s].clone(), active)[active], expected[active]) < HALF_ERROR


def test_a_packed_past_takes_several_steps_at_once() -> None:
    plain, packed, heads = new_cache(), new_cache(), heads_of(3, 2 * BLOCK)
    packed.pack()
    for start in range(0, 2 * BLOCK - CHUNK, CHUNK):
        part = heads[:, start : start + CHUNK]
        assert distance(append(packed, part), append(plain, part)) < HALF_ERROR
    assert distance(step(packed, heads[:, -1].clone()), step(plain, heads[:, -1].clone())) < HALF_ERROR


def test_rows_of_a_packed_past_do_not_depend_on_their_batch() -> None:
    together, alone, heads = new_cache(), new_cache(1), heads_of(3, 20)
    for cache in (together, alone):
        cache.pack()
    for s in range(20):
        assert torch.equal(step(together, heads[:, s])[:1], step(alone, heads[:1, s]))


def test_a_fork_goes_its_own_way() -> None:
    cache, heads = new_cache(), heads_of(3, 40)
    cache.pack()
    for s in range(20):
        step(cache, heads[:, s])
    fork, twin = cache.fork(), cache.fork()
    for s in range(30, 40):
        step(fork, heads[:, s])
    for s in range(20, 25):
        assert torch.equal(step(cache, heads[:, s]), step(twin, heads[:, s]))


def test_what_was_forgotten_is_gone_even_if_it_was_no_number() -> None:
    cache, fresh, heads = new_cache(), new_cache(), heads_of(3, 2)
    for each in (cache, fresh):
        each.pack()
    step(cache, torch.full_like(heads[:, 0], float("nan")))
    cache.reset()
    assert torch.equal(step(cache, heads[:, 1]), step(fresh, heads[:, 1]))
