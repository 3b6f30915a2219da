import math

import pytest
import torch
from torch import Tensor

from gigmate.generation.sampler import Greedy, Sampler, TopK, TopP, draw_uniform, row_generators

K, V = 3, 7


def random_logits(batch: int = 1) -> Tensor:
    return 2 * torch.randn(batch, K, V, generator=torch.Generator().manual_seed(0))


def frequencies(sampler: Sampler, logits: Tensor) -> Tensor:
    """How often each code is drawn, by an even sweep over the uniform draws: [K, V]."""
    num = 20_000
    uniform = ((torch.arange(num) + 0.5) / num)[:, None].expand(-1, K)
    codes = sampler(logits.expand(num, -1, -1), uniform)
    return torch.nn.functional.one_hot(codes, V).double().mean(0)


@pytest.mark.parametrize("k", [1, 3, V, 100])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_topk_draws_from_the_k_likeliest_in_proportion(k: int, temperature: float) -> None:
    logits = random_logits()
    expected = (logits[0].double() / temperature).softmax(-1)
    for row in expected:
        row[row.argsort(descending=True)[k:]] = 0
    expected /= expected.sum(-1, keepdim=True)
    assert torch.allclose(frequencies(TopK(k, temperature), logits), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 1.0])
def test_topp_draws_from_the_fewest_that_hold_p(p: float) -> None:
    logits = random_logits()
    expected = logits[0].double().softmax(-1)
    for row in expected:
        held = 0.0
        for code in row.argsort(descending=True).tolist():
            probability = float(row[code])
            row[code] = 0 if held >= p else probability
            held += probability
    expected /= expected.sum(-1, keepdim=True)
    assert torch.allclose(frequencies(TopP(p), logits), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampler", [Greedy(), TopK(5, 0.0), TopP(0.9, 0.0), TopK(1), TopP(1e-9)])
def test_greedy_in_all_its_forms(sampler: Sampler) -> None:
    logits = random_logits(4)
    assert torch.equal(sampler(logits, torch.full((4, K), 0.999)), logits.argmax(-1))


@pytest.mark.parametrize("sampler", [TopK(V), TopK(3), TopP(1.0), TopP(0.5)])
def test_the_ends_of_the_uniform_range_draw_possible_codes(sampler: Sampler) -> None:
    """The largest float32 below 1, times any total, is below the total: no code of probability 0 comes of it."""
    logits = torch.randn(50, K, V, generator=torch.Generator().manual_seed(1))
    logits[:, :, 4:] = -math.inf
    top = torch.nextafter(torch.ones(50, K), torch.zeros(50, K))
    for uniform in (torch.zeros(50, K), top):
        codes = sampler(logits, uniform)
        assert torch.isfinite(logits.gather(2, codes[:, :, None])).all()


def test_low_precision_logits_are_sampled_in_float32() -> None:
    logits = random_logits(5).bfloat16()
    uniform = torch.rand(5, K, generator=torch.Generator().manual_seed(0))
    for sampler in (TopK(4, 0.8), TopP(0.8, 0.8)):
        assert torch.equal(sampler(logits, uniform), sampler(logits.float(), uniform))


def test_a_rows_draws_depend_on_seed_and_row_alone() -> None:
    wide, narrow = row_generators(7, 5), row_generators(7, 2)
    for _ in range(3):
        assert torch.equal(draw_uniform(wide, K)[:2], draw_uniform(narrow, K))
    assert len({tuple(row) for row in draw_uniform(wide, K).tolist()}) == 5
    assert not torch.equal(draw_uniform(row_generators(8, 1), K), draw_uniform(row_generators(7, 1), K))


def test_rows_that_wait_draw_nothing() -> None:
    generators, untouched = row_generators(1, 3), row_generators(1, 3)
    first = draw_uniform(untouched, K)
    waited = draw_uniform(generators, K, torch.tensor([False, True, False]))
    assert torch.equal(waited[1], first[1])
    assert torch.equal(draw_uniform(generators, K)[[0, 2]], first[[0, 2]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TopK(0), "sampler.k is 0, but must be at least 1"),
        (lambda: TopK(5, -1.0), "temperature is -1.0, but must be a number >= 0"),
        (lambda: TopP(0.9, math.nan), "temperature is nan"),
        (lambda: TopP(0.0), r"sampler.p is 0.0, but must lie in \(0, 1\]"),
        (lambda: TopP(math.nan), "sampler.p is nan"),
    ],
)
def test_settings_out_of_range_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
