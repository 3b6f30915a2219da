"""The model that ships, playing a song in every number type: step by step it does what it does in one pass."""

import copy

import numpy as np
import pytest
import torch
from contracts import ERRORS, in_every_precision
from reporting import Report
from torch import Tensor

from gigmate.accompanist import SHIPPED, instrument_ids
from gigmate.checkpoint import load_lm
from gigmate.codec.features import MixFeatures
from gigmate.generation.guidance import Guidance
from gigmate.generation.offline import generate
from gigmate.generation.sampler import TopK
from gigmate.model.conditions import FrameConditions, StepConditions, step_conditions
from gigmate.model.graph_stepper import GraphStepper
from gigmate.model.lm import AccompanimentLM, shift_steps
from gigmate.music.band import compose, render_song

SECONDS, RATE, HOP = 5.0, 24_000, 480
PLAYERS = ("drums", "bass", "keys")
TOP_1 = 0.99
"""Share of places at which the likeliest code stays it in 16 bits; at 1.4 % of them bfloat16 has two likeliest."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> AccompanimentLM:
    return load_lm(SHIPPED).model.eval()


@pytest.fixture(scope="module")
def played(model: AccompanimentLM) -> tuple[Tensor, StepConditions]:
    """What the model writes to a song, a row a player, as steps [B, K, S]; and what it hears, each without itself."""
    song = compose(11, SECONDS)
    stems = render_song(song, RATE)
    mixes = [np.sum([wave for name, wave in stems.items() if name != own], axis=0) for own in PLAYERS]
    num_frames, pattern = round(SECONDS * RATE / HOP), model.config.build_pattern()
    frames = FrameConditions(
        mix_power=MixFeatures(RATE, HOP).analyse(torch.from_numpy(np.stack(mixes, dtype=np.float32))[:, None]),
        mix_present=torch.ones(len(PLAYERS), dtype=torch.bool),
        beats=torch.from_numpy(song.grid.features(num_frames, 50)).expand(len(PLAYERS), -1, -1),
        instrument=instrument_ids(list(PLAYERS)),
        lookahead=torch.tensor([50, 0, -25]),
    )
    steps = pattern.interleave(generate(model, frames, num_frames, TopK(), seed=0), model.config.special_id)
    return steps, step_conditions(frames, pattern, steps.shape[2])


def compare(got: Tensor, whole: Tensor, is_code: Tensor, dtype: torch.dtype, report: Report) -> None:
    """Logits [B, K, S, V] against those of the full pass; `is_code` [B, K, S] says which places hold a code."""
    error = float((got.double() - whole.double()).abs().max() / whole.double().abs().max())
    lost = float((got.argmax(-1) != whole.argmax(-1))[is_code].double().mean())
    report(f"p16_cached_error_shipped_{str(dtype)[6:]}", error)
    report(f"p16_top1_lost_shipped_{str(dtype)[6:]}", lost)
    assert error <= ERRORS[dtype]
    assert lost <= (1 - TOP_1 if dtype.itemsize == 2 else 0)


@in_every_precision
@torch.inference_mode()
def test_cached_steps_are_those_of_the_full_pass(
    model: AccompanimentLM, played: tuple[Tensor, StepConditions], dtype: torch.dtype, report: Report
) -> None:
    steps, conditions = played
    before = shift_steps(steps, model.config.special_id)
    player = copy.deepcopy(model).double() if dtype == torch.float64 else model
    with torch.autocast("cpu", dtype, enabled=dtype.itemsize == 2):  # as it plays
        whole, cache = player(before, conditions), player.new_cache(len(before))
        singly = [player(before[:, :, [s]], conditions.at(slice(s, s + 1)), cache) for s in range(steps.shape[2])]
    assert whole.dtype == dtype
    compare(torch.cat(singly, dim=2), whole, steps != model.config.special_id, dtype, report)


@torch.inference_mode()
def test_steps_of_a_graph_are_those_of_the_full_pass(
    model: AccompanimentLM, played: tuple[Tensor, StepConditions], report: Report
) -> None:
    """On a GPU layers and cache are bfloat16; here the graph's work is computed, not replayed."""
    steps, conditions = played
    before = shift_steps(steps, model.config.special_id)
    with torch.autocast("cpu", torch.bfloat16):
        whole = model(before, conditions)
    player = copy.copy(model)
    player.stepper = GraphStepper(model, torch.bfloat16)
    cache, guidance = player.new_cache(len(before)), Guidance()
    singly = [
        player.stepper.logits(before[:, :, s], conditions.at(slice(s, s + 1)), guidance, cache, None)
        for s in range(steps.shape[2])
    ]
    compare(torch.stack(singly, dim=2), whole, steps != model.config.special_id, torch.bfloat16, report)
