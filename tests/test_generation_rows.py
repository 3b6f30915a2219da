"""What a batch of sessions needs: rows that cost nothing, rows with settings of their own, rows that are told."""

import pytest
import torch
from test_generation_frames import NUM_FRAMES, call_conditions, play
from tiny_models import K, V, as_inputs, from_inputs, random_frames, tiny_model
from torch import Tensor

from gigmate.generation.controls import RowControls
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.guidance import Guidance
from gigmate.generation.sampler import Greedy, Sampler, TopK, row_generators
from gigmate.generation.step_decoder import FREE
from gigmate.model.conditions import StepConditions


def first_rows(calls: StepConditions, num_rows: int) -> StepConditions:
    return from_inputs(tuple(part[:num_rows] for part in as_inputs(calls)))


def state(generator: FrameGenerator, rows: slice, views: int) -> list[Tensor]:
    """All that a generator knows of some rows."""
    decoder, line = generator._decoder, generator._line
    cache, double = decoder._cache, slice(rows.start * views, rows.stop * views)
    parts = (cache.keys[:, double], cache.values[:, double], cache.positions[double], cache.next_position[double])
    return [part.clone() for part in (*parts, decoder._previous[rows], line._held[rows], line.num_steps[rows])]


@pytest.mark.parametrize("guidance", [Guidance(), Guidance(3.0, 3.0), Guidance(2.0, 3.0)])
@pytest.mark.parametrize("name", ["delay", "flatten"])
def test_the_first_rows_go_on_alone_and_the_others_stay_to_the_last_bit(name: str, guidance: Guidance) -> None:
    model, views = tiny_model(name), len(guidance.views)
    calls = call_conditions(model, random_frames(3, NUM_FRAMES), NUM_FRAMES)
    generator = FrameGenerator(model, TopK(5), batch=3, guidance=guidance)
    alone = FrameGenerator(model, TopK(5), batch=2, guidance=guidance)
    draws, own_draws = row_generators(4, 3), row_generators(4, 2)
    before, third = state(generator, slice(2, 3), views), draws[2].get_state()
    for index in range(calls.num_steps):
        call = first_rows(calls.at(slice(index, index + 1)), 2)
        frame, expected = generator.step(call, draws), alone.step(call, own_draws)
        assert (frame is None) == (expected is None)
        assert frame is None or torch.equal(frame, expected)  # pyright: ignore[reportArgumentType]
    assert all(map(torch.equal, state(generator, slice(2, 3), views), before))
    assert torch.equal(draws[2].get_state(), third)
    assert all(map(torch.equal, state(generator, slice(0, 2), views), state(alone, slice(0, 2), views)))


def test_a_reset_row_is_as_new_to_the_last_bit_even_after_nan() -> None:
    model, guidance = tiny_model(), Guidance(3.0, 3.0)
    calls = call_conditions(model, random_frames(2, NUM_FRAMES), NUM_FRAMES)
    generator = FrameGenerator(model, Greedy(), batch=2, guidance=guidance)
    play(generator, calls, row_generators(0, 2))
    generator._decoder._cache.values[:, :2] = float("nan")
    generator.reset(torch.tensor([True, False]))
    fresh = FrameGenerator(model, Greedy(), batch=2, guidance=guidance)
    assert all(map(torch.equal, state(generator, slice(0, 1), 2), state(fresh, slice(0, 1), 2)))
    alone = first_rows(calls, 1)
    assert torch.equal(play(generator, alone, row_generators(0, 1)), play(fresh, alone, row_generators(0, 1)))


@pytest.mark.parametrize("scale", [1.0, 3.0, 0.0])
@pytest.mark.parametrize("sampler", [TopK(5), TopK(100, 0.7), TopK(5, 0.0)])
def test_equal_controls_in_all_rows_are_the_scalar_path(sampler: TopK, scale: float) -> None:
    model = tiny_model()
    calls = call_conditions(model, random_frames(3, NUM_FRAMES), NUM_FRAMES)
    scalar = FrameGenerator(model, sampler, batch=3, guidance=Guidance(scale, scale))
    controls = RowControls(3)
    for row in range(3):
        controls.set(row, temperature=sampler.temperature, top_k=sampler.k, guidance=scale)
    expected = play(scalar, calls, row_generators(1, 3))
    assert torch.equal(play(FrameGenerator(model, controls, batch=3), calls, row_generators(1, 3)), expected)


def test_each_row_has_controls_of_its_own() -> None:
    model, frames = tiny_model(), random_frames(3, NUM_FRAMES)
    calls = call_conditions(model, frames, NUM_FRAMES)
    settings: list[tuple[Sampler, Guidance]] = [
        (TopK(5), Guidance(3.0, 3.0)),
        (TopK(9, 0.5), Guidance()),
        (Greedy(), Guidance(1.5, 1.5)),
    ]
    controls = RowControls(3)
    controls.set(0, top_k=5, guidance=3.0)
    controls.set(1, top_k=9, temperature=0.5)
    controls.set(2, temperature=0.0, guidance=1.5)
    got = play(FrameGenerator(model, controls, batch=3), calls, row_generators(1, 3))
    for row, (sampler, guidance) in enumerate(settings):
        alone = play(FrameGenerator(model, sampler, batch=3, guidance=guidance), calls, row_generators(1, 3))
        assert torch.equal(got[row], alone[row])


def test_a_bias_moves_the_codes_that_it_is_for_in_its_row_alone() -> None:
    model, frames = tiny_model(), random_frames(2, NUM_FRAMES)
    calls = call_conditions(model, frames, NUM_FRAMES)
    biased = torch.zeros(K, V)
    biased[0, 7] = 1.0

    def share(bias: float) -> tuple[float, Tensor]:
        controls = RowControls(2, biased)
        controls.set(0, top_k=V, bias=bias)
        codes = play(FrameGenerator(model, controls, batch=2), calls, row_generators(1, 2))
        return float((codes[0, 0] == 7).float().mean()), codes

    none, codes = share(0.0)
    assert share(-30.0)[0] == 0.0 < share(3.0)[0] < share(30.0)[0] == 1.0
    assert none < share(3.0)[0]
    assert torch.equal(share(30.0)[1][1], codes[1])


@pytest.mark.parametrize("name", ["delay", "flatten", "parallel"])
def test_rows_that_are_told_play_what_they_are_told_and_remember_it(name: str) -> None:
    model = tiny_model(name)
    calls = call_conditions(model, random_frames(2, NUM_FRAMES), NUM_FRAMES)
    told, start, stop = torch.tensor([[3, 5, 8], [FREE] * K]), 10, 25
    generator, draws, frames = FrameGenerator(model, TopK(5), batch=2), row_generators(2, 2), []
    for index in range(calls.num_steps):
        plan = told if start <= index < stop else None
        frame = generator.step(calls.at(slice(index, index + 1)), draws, plan=plan)
        frames += [] if frame is None else [frame]
    codes = torch.stack(frames, 2)
    free = play(FrameGenerator(model, TopK(5), batch=2), calls, row_generators(2, 2))
    whole = slice(start, stop - generator.max_delay)  # frames all of whose codes were written between start and stop
    assert torch.equal(codes[0, :, whole], torch.tensor([[3], [5], [8]]).expand(-1, whole.stop - whole.start))
    assert torch.equal(codes[1], free[1])
    assert torch.equal(codes[0, :, : start - generator.max_delay], free[0, :, : start - generator.max_delay])
    assert not torch.equal(codes[0, :, stop:], free[0, :, stop:])


def test_what_does_not_fit_is_refused() -> None:
    model = tiny_model()
    calls = call_conditions(model, random_frames(3, NUM_FRAMES), NUM_FRAMES)
    with pytest.raises(ValueError, match="conditions of 3 rows, but the generator has 2"):
        FrameGenerator(model, Greedy(), batch=2).step(calls.at(slice(0, 1)), row_generators(0, 3))
    with pytest.raises(ValueError, match="3 rows at once, but this cache has 2"):
        model.new_cache(2).claim(1, num_rows=3)
    with pytest.raises(ValueError, match="controls of 2 rows with their guidance given for 3 rows"):
        FrameGenerator(model, RowControls(2), batch=3)
    with pytest.raises(ValueError, match="top_k is 0"):
        RowControls(1).set(0, top_k=0)
    with pytest.raises(ValueError, match="temperature -1"):
        RowControls(1).set(0, temperature=-1.0)
    with pytest.raises(ValueError, match="bias nan"):
        RowControls(1).set(0, bias=float("nan"))
