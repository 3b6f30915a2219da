import math

import pytest
import torch
from tiny_models import V, random_codes, random_frames, random_steps, tiny_model

from gigmate.generation.guidance import Guidance, without
from gigmate.generation.offline import generate
from gigmate.generation.sampler import Greedy, TopK
from gigmate.model.conditions import drop_conditions, step_conditions
from gigmate.model.lm import shift_steps


@pytest.mark.parametrize(("mix", "beats", "views"), [(1, 1, 1), (3, 3, 2), (3, 1, 2), (1, 2, 3), (3, 2, 3), (0, 0, 1)])
def test_weights_add_up_and_views_without_weight_cost_nothing(mix: float, beats: float, views: int) -> None:
    guidance = Guidance(mix, beats)
    assert len(guidance.views) == views
    assert sum(weight for weight, _, _ in guidance.views) == pytest.approx(1)


@pytest.mark.parametrize(("mix", "beats"), [(1.0, 1.0), (3.0, 3.0), (2.5, 1.0), (1.0, 2.0), (3.0, 2.0), (0.0, 0.0)])
def test_guidance_is_the_formula_in_one_pass(mix: float, beats: float) -> None:
    model, guidance = tiny_model(), Guidance(mix, beats)
    steps, conditions = random_steps(model, 2, 8)
    previous = shift_steps(steps, V)
    with torch.no_grad():
        everything = model(previous, conditions)
        grid = model(previous, without(conditions, mix=True))
        nothing = model(previous, without(conditions, mix=True, beats=True))
        together = model(guidance.repeat(previous), guidance.expand(conditions))[:, :, -1]
    expected = (nothing + beats * (grid - nothing) + mix * (everything - grid))[:, :, -1]
    assert torch.allclose(guidance.blend(together), expected, rtol=0, atol=1e-4)


def test_guidance_takes_away_what_training_dropped() -> None:
    model = tiny_model()
    pattern, frames = model.config.build_pattern(), random_frames(2, 8, lookahead=2)
    steps, _ = random_steps(model, 2, 8)
    conditions = step_conditions(frames, pattern, steps.shape[2])
    assert conditions.heard.any()
    dropped = drop_conditions(frames, torch.zeros(2, 2), p_mix=1.0, p_beats=1.0)
    with torch.no_grad():
        trained = model(steps, step_conditions(dropped, pattern, steps.shape[2]))
        guided = model(steps, without(conditions, mix=True, beats=True))
    assert torch.equal(trained, guided)


def test_scale_one_is_off_and_others_are_not() -> None:
    model, frames = tiny_model(), random_frames(2, 30)
    plain = generate(model, frames, 30, TopK(5), seed=3)
    assert torch.equal(generate(model, frames, 30, TopK(5), seed=3, guidance_scale=1.0), plain)
    assert not torch.equal(generate(model, frames, 30, TopK(5), seed=3, guidance_scale=4.0), plain)


def test_guided_generation_with_a_prompt_begins_with_it() -> None:
    model, frames, prompt = tiny_model(), random_frames(2, 30), random_codes(2, 12)
    codes = generate(model, frames, 30, Greedy(), guidance_scale=2.0, beats_guidance_scale=3.0, prompt=prompt)
    assert torch.equal(codes[:, :, :12], prompt)


@pytest.mark.parametrize(
    ("mix", "beats", "name"), [(-1.0, 1.0, "mix"), (1.0, math.inf, "beats"), (math.nan, 1.0, "mix")]
)
def test_scales_out_of_range_are_refused(mix: float, beats: float, name: str) -> None:
    with pytest.raises(ValueError, match=f"guidance scale of {name}"):
        Guidance(mix, beats)
