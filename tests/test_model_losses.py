import math

import pytest
import torch

from gigmate.model import pattern as patterns
from gigmate.model.losses import token_losses

B, K, S, V = 2, 3, 7, 11


def random_case() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(B, K, S, V, generator=g)
    return logits, patterns.delay(K).interleave(torch.randint(0, V, (B, K, S - K + 1), generator=g), V)


def loop(logits: torch.Tensor, steps: torch.Tensor, valid: torch.Tensor) -> list[float]:
    means = []
    for k in range(K):
        places = [(b, s) for b in range(B) for s in range(S) if steps[b, k, s] != V and valid[b, k, s]]
        nats = [-math.log(torch.softmax(logits[b, k, s], 0)[steps[b, k, s]]) for b, s in places]
        means.append(sum(nats) / len(nats))
    return means


def test_losses_are_the_loop() -> None:
    logits, steps = random_case()
    loss, per_codebook = token_losses(logits, steps)
    expected = loop(logits, steps, torch.ones(B, K, S))
    assert per_codebook.tolist() == pytest.approx(expected, rel=1e-5)
    assert float(loss) == pytest.approx(sum(expected) / K, rel=1e-5)


def test_padding_does_not_count() -> None:
    logits, steps = random_case()
    valid = torch.arange(S) < 4
    loss, per_codebook = token_losses(logits, steps, valid)
    expected = loop(logits, steps, valid.expand(B, K, S))
    assert per_codebook.tolist() == pytest.approx(expected, rel=1e-5)
    assert float(loss) == pytest.approx(
        sum(expected) / K, rel=1e-5
    )  # codebooks count alike, though later ones have less
    logits[:, :, 4:] = float("nan")
    assert torch.equal(token_losses(logits, steps, valid)[1], per_codebook)


def test_no_gradient_where_there_is_no_code() -> None:
    logits, steps = random_case()
    logits.requires_grad_()
    token_losses(logits, steps)[0].backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad.abs().sum(-1) > 0, steps != V)


def test_a_codebook_without_codes_counts_nothing() -> None:
    logits, steps = random_case()
    steps[:, 1] = V
    loss, per_codebook = token_losses(logits, steps)
    assert per_codebook[1] == 0
    assert torch.isfinite(loss)


def test_flat_predictions_cost_the_logarithm_of_the_codes_in_bfloat16_too() -> None:
    _, steps = random_case()
    loss, _ = token_losses(torch.zeros(B, K, S, V, dtype=torch.bfloat16), steps)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(math.log(V), rel=1e-6)
