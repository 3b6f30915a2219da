"""The module that trains the language model: it learns, it listens, and its figures are what they say."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import default_collate
from training_fakes import SHAPE, SPEC, K, T, ToyData, ToyWindows, V, toy_module, toy_trainer

from gigmate.checkpoint import load_lm
from gigmate.generation.offline import generate
from gigmate.generation.sampler import Greedy
from gigmate.training.lm_module import LMModule, frame_conditions, name, with_next_mix
from gigmate.training.metrics import CodebookMean, UnigramEntropy
from gigmate.training.run import quiet_lightning
from gigmate.training.schedules import warmup_constant, warmup_cosine


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_lightning():
        yield


def toy_batch(size: int = 4) -> dict[str, torch.Tensor]:
    return default_collate([ToyWindows(16)[0, i] for i in range(size)])


def test_codebook_mean_weighs_by_codes() -> None:
    metric = CodebookMean(2)
    metric.update(torch.tensor([1.0, 2.0]), torch.tensor([1, 0]))
    metric.update(torch.tensor([4.0, 5.0]), torch.tensor([3, 2]))
    torch.testing.assert_close(metric.compute(), torch.tensor([(1 + 3 * 4) / 4, 5.0]))


def test_unigram_entropy_is_that_of_counts_without_the_special_id() -> None:
    metric = UnigramEntropy(2, 4)
    metric.update(torch.tensor([[[0, 0, 1, 1, 4], [2, 2, 2, 2, 4]]]))
    metric.update(torch.tensor([[[2, 2, 3, 3, 4], [2, 4, 4, 4, 4]]]))
    torch.testing.assert_close(metric.compute(), torch.tensor([4.0, 1.0]).log())


def test_schedules_rise_then_fall() -> None:
    rates = [warmup_cosine(step, warmup_steps=4, max_steps=24, floor=0.1) for step in range(30)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[4] == 1
    assert rates == sorted(rates[:5]) + sorted(rates[5:], reverse=True)
    assert rates[14] == pytest.approx(0.55)
    assert rates[24:] == pytest.approx([0.1] * 6)
    assert [warmup_constant(step, 1, 9) for step in (0, 1, 5, 50)] == [0.5, 1, 1, 1]


def test_every_row_gets_the_mix_of_the_next() -> None:
    conditions = frame_conditions(toy_batch())
    swapped = with_next_mix(conditions)
    for row in range(4):
        assert torch.equal(swapped.mix_power[row], conditions.mix_power[(row + 1) % 4])
    assert torch.equal(swapped.beats, conditions.beats)
    assert torch.equal(swapped.instrument, conditions.instrument)


def validated(module: LMModule, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    """Figures of one validation batch, without a trainer."""
    found: dict[str, Any] = {}
    module.log_dict = found.update  # pyright: ignore[reportAttributeAccessIssue]
    module.eval()
    with torch.no_grad():
        module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    return {name: float(value) for name, value in found.items()}


def test_validation_figures_are_those_of_an_obvious_loop() -> None:
    module, batch = toy_module().eval(), toy_batch()
    batch["codes"][0, :, -3:] = V  # the end of a song: no code
    figures = validated(module, batch)
    totals = {frames: torch.zeros(K) for frames in (-2, 0, 2)}
    right = torch.zeros(K)
    for frames, total in totals.items():
        conditions = replace(frame_conditions(batch), lookahead=torch.full((4,), frames))
        with torch.no_grad():
            logits, steps = module.predict(batch["codes"], conditions)
        for row in range(4):
            for k in range(K):
                for step in range(steps.shape[2]):
                    if (target := int(steps[row, k, step])) != V:
                        total[k] -= logits[row, k, step].log_softmax(-1)[target]
                        right[k] += int(logits[row, k, step].argmax()) == target
    count = 4 * T - 3
    for frames, total in totals.items():
        assert figures[f"valid/true_{name(frames)}"] == pytest.approx(float(total.mean()) / count, rel=1e-5)
    for k in range(K):
        mean = sum(float(total[k]) for total in totals.values()) / 3 / count
        assert figures[f"valid/loss_k{k}"] == pytest.approx(mean, rel=1e-5)
        assert figures[f"valid/perplexity_k{k}"] == pytest.approx(float(torch.tensor(mean).exp()), rel=1e-5)
        assert figures[f"valid/accuracy_k{k}"] == pytest.approx(float(right[k]) / 3 / count, rel=1e-5)


def test_a_second_validation_starts_anew() -> None:
    module, batch = toy_module(), toy_batch()
    assert validated(module, batch) == validated(module, batch)


def test_names_of_lookaheads() -> None:
    assert [name(frames) for frames in (-50, 0, 25)] == ["minus50", "0", "plus25"]


def test_lookaheads_stay_in_the_range_of_the_model() -> None:
    for low, high, expected in ((-2, 2, [-2, 0, 2]), (1, 3, [1, 3]), (-3, -1, [-3, -1]), (0, 0, [0])):
        shape = replace(SHAPE, min_lookahead_frames=low, max_lookahead_frames=high)
        module = LMModule(shape, SPEC, partial(torch.optim.SGD, lr=1.0), lambda step: 1.0)
        assert module.lookaheads == expected


def test_only_matrices_shrink() -> None:
    optimizer = toy_module().configure_optimizers()["optimizer"]
    shrinking, others = optimizer.param_groups
    assert others["weight_decay"] == 0 < shrinking["weight_decay"]
    assert all(p.ndim > 1 for p in shrinking["params"])
    assert all(p.ndim == 1 for p in others["params"])
    assert sum(p.numel() for g in optimizer.param_groups for p in g["params"]) == sum(
        p.numel() for p in toy_module().parameters()
    )


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> LMModule:
    """A module that has seen the same 16 windows, whose stem is the mix, over and over."""
    torch.manual_seed(0)
    shape = replace(SHAPE, dropout=0.0, min_lookahead_frames=1, max_lookahead_frames=1)
    schedule = partial(warmup_cosine, warmup_steps=10, max_steps=120)
    module = LMModule(shape, SPEC, partial(torch.optim.AdamW, lr=1e-2), schedule, None, 0.0, 0.0)
    with quiet_lightning():
        trainer = toy_trainer(
            tmp_path_factory.mktemp("learned"),
            max_steps=120,
            overfit_batches=8,
            accumulate_grad_batches=1,
            val_check_interval=1000,
        )
        trainer.fit(module, datamodule=ToyData(lookaheads=(1, 1)))
    return module


def test_toy_data_is_overfitted(learned: LMModule) -> None:
    figures = validated(learned, toy_batch())
    assert figures["valid/accuracy"] >= 0.99


def test_a_model_that_listens_finds_another_mix_harder(learned: LMModule) -> None:
    figures = validated(learned, toy_batch())
    assert figures["valid/loss"] < 0.1 * min(figures["valid/unigram_entropy_k0"], figures["valid/unigram_entropy_k1"])
    assert figures["valid/swapped_plus1"] > 10 * figures["valid/true_plus1"]


@pytest.mark.parametrize("kind", ["bundle", "ckpt"])
def test_tokens_are_the_same_before_and_after_saving(tmp_path: Path, kind: str) -> None:
    module = toy_module(condition_dropout=0.0)
    trainer = toy_trainer(tmp_path, max_steps=3)
    trainer.fit(module, datamodule=ToyData())
    exporter = trainer.callbacks[-1]  # pyright: ignore[reportAttributeAccessIssue]
    bundle = exporter.bundle(trainer, module)
    path = tmp_path / ("model.safetensors" if kind == "bundle" else "last.ckpt")
    if kind == "bundle":
        bundle.save(path)
    else:
        trainer.save_checkpoint(path)
    conditions = frame_conditions(toy_batch(2))
    bundle.load_into(module.net)
    before = generate(module.net.eval(), conditions, T, Greedy(), seed=1)
    after = generate(load_lm(path).model, conditions, T, Greedy(), seed=1)
    assert torch.equal(before, after)
