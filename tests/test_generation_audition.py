"""Search while playing: what is kept is what fits best, and everything goes on as if nothing else had been tried."""

import pytest
import torch
from tiny_models import V, random_frames, tiny_model
from torch import Tensor

from gigmate.generation.audition import Audition
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.guidance import Guidance
from gigmate.generation.offline import generate
from gigmate.generation.sampler import Greedy, TopK, row_generators
from gigmate.model.conditions import step_conditions
from gigmate.model.stepper import equip

NUM_FRAMES = 40


def first_codes(codes: Tensor, start: int) -> Tensor:
    """A judge that likes high first codes."""
    return codes[:, 0, start:].float().mean(dim=1)


@pytest.mark.parametrize("guidance", [Guidance(), Guidance(2.0, 3.0)])
@pytest.mark.parametrize("is_equipped", [False, True])
def test_selected_rows_go_on_as_the_row_that_they_were_taken_from(guidance: Guidance, is_equipped: bool) -> None:
    model, num_before = tiny_model(), 12
    if is_equipped:
        equip(model, "float32")
    conditions = random_frames(1, NUM_FRAMES).rows(torch.zeros(3, dtype=torch.int64))
    steps = step_conditions(conditions, model.config.build_pattern(), NUM_FRAMES)
    generator, draws = FrameGenerator(model, TopK(5), batch=3, guidance=guidance), row_generators(0, 3)
    for call in range(num_before):
        generator.step(steps.at(slice(call, call + 1)), draws)
    alone = generator.fork()
    generator.select(torch.tensor([1, 1, 1]))
    for call in range(num_before, NUM_FRAMES):
        here, same = steps.at(slice(call, call + 1)), [torch.Generator().manual_seed(call) for _ in range(6)]
        chosen, expected = generator.step(here, same[:3]), alone.step(here, same[3:])
        assert chosen is not None
        assert expected is not None
        assert torch.equal(chosen, expected[1:2].expand(3, -1))


def test_one_candidate_is_no_search() -> None:
    model, frames = tiny_model(), random_frames(2, NUM_FRAMES)
    plain = generate(model, frames, NUM_FRAMES, TopK(5), seed=3)
    assert torch.equal(
        generate(model, frames, NUM_FRAMES, TopK(5), seed=3, audition=Audition(first_codes, 1, 7)), plain
    )


def test_equal_candidates_change_nothing() -> None:
    model, frames = tiny_model(), random_frames(2, NUM_FRAMES)
    searched = generate(model, frames, NUM_FRAMES, Greedy(), audition=Audition(first_codes, 3, 7))
    assert torch.equal(searched, generate(model, frames, NUM_FRAMES, Greedy()))


def test_more_candidates_fit_better() -> None:
    model, frames = tiny_model(), random_frames(2, NUM_FRAMES)
    fits = []
    for num_candidates in (1, 4, 16):
        codes = generate(model, frames, NUM_FRAMES, TopK(V, 3.0), audition=Audition(first_codes, num_candidates, 5))
        fits.append(float(first_codes(codes, 0).mean()))
    assert fits[0] < fits[1] < fits[2]


def test_every_frame_is_judged_once_and_the_rest_at_the_end() -> None:
    seen: list[tuple[int, int]] = []

    def judge(codes: Tensor, start: int) -> Tensor:
        seen.append((start, codes.shape[2]))
        return first_codes(codes, start)

    model = tiny_model()
    prompt = torch.ones(1, 3, 5, dtype=torch.int64)
    codes = generate(model, random_frames(1, 24), 24, TopK(5), prompt=prompt, audition=Audition(judge, 2, 8))
    assert seen == [(5, 13), (13, 21), (21, 24)]
    assert torch.equal(codes[:, :, :5], prompt)


def test_the_best_of_each_group_is_chosen() -> None:
    audition = Audition(lambda codes, start: torch.tensor([1.0, 3.0, 2.0, 9.0, 7.0, 8.0]), num_candidates=3)
    assert audition.chosen(torch.zeros(6, 1, 1), 0).tolist() == [1, 1, 1, 3, 3, 3]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="0 candidates every 25 frames"):
        Audition(first_codes, 0)
    model = tiny_model("coarse_first")
    with pytest.raises(ValueError, match="no audition"):
        generate(model, random_frames(1, 4), 4, Greedy(), audition=Audition(first_codes))
