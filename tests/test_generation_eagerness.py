"""Drums that have rested for more than a beat come in sooner; how long each row has rested is part of its past."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from live_players import tiny_player
from test_generation_frames import call_conditions, play
from torch import Tensor

from gigmate.generation.controls import RowControls
from gigmate.generation.eagerness import Eagerness
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.note_taste import NO_TASTE, NoteTaste
from gigmate.generation.sampler import row_generators
from gigmate.model.conditions import FrameConditions, StepConditions
from gigmate.model.lm import AccompanimentLM
from gigmate.music.grid import BeatGrid
from gigmate.music.instruments import INSTRUMENTS
from gigmate.pitch import FIRST_MELODY, REST

V, FRAMES, NUM_PAST = 1024, 40, 12
HELD, STRUCK, KICK = FIRST_MELODY, FIRST_MELODY + 1, 1
DRUMS, BASS = INSTRUMENTS.index("drums"), INSTRUMENTS.index("bass")


def gains(rested: list[int], instrument: int, bpm: float | None, eagerness: float = 1.0) -> Tensor:
    """[n, V]: what is added after so many frames of rest, a row each."""
    n = len(rested)
    beats = np.zeros((10, n), np.float32) if bpm is None else BeatGrid.from_tempo(bpm, 4, 9.0).features(n, Fraction(50))
    conditions = StepConditions(
        torch.zeros(n, 1, 3, 8),
        torch.ones(n, 1, 3, dtype=torch.bool),
        torch.from_numpy(beats.T.copy())[:, None],
        torch.full((n,), instrument),
        torch.zeros(n).long(),
    )
    weigher = Eagerness(V, NoteTaste(eagerness=eagerness), torch.device("cpu"))
    return weigher.weigh(torch.zeros(n, V), torch.tensor(rested), conditions)


@pytest.mark.parametrize(("bpm", "beat_frames"), [(60.0, 50), (150.0, 20), (None, 25)])
def test_the_gain_grows_with_the_beats_rested_beyond_the_first_up_to_three(bpm: float | None, beat_frames: int) -> None:
    rested = [0, beat_frames, 2 * beat_frames, 3 * beat_frames, 4 * beat_frames, 90 * beat_frames]
    expected = torch.tensor([0.0, 0.0, 1.0, 2.0, 3.0, 3.0])
    torch.testing.assert_close(gains(rested, DRUMS, bpm)[:, KICK], expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(gains(rested, DRUMS, bpm, 2.0)[:, KICK], 2 * expected, rtol=0, atol=2e-4)


def test_only_drums_and_only_what_begins() -> None:
    assert not gains([500], BASS, 120.0).any()
    weighed = gains([500], DRUMS, 120.0)[0]
    assert weighed[[KICK, STRUCK]].all()
    assert not weighed[[REST, HELD]].any()


@pytest.fixture(scope="module")
def model() -> AccompanimentLM:
    return tiny_player(1, writes_notes=True).model


def some_frames(model: AccompanimentLM, rows: int) -> FrameConditions:
    config, draws = model.config, torch.Generator().manual_seed(0)
    return FrameConditions(
        mix_power=torch.rand(rows, config.mix_features, FRAMES, generator=draws),
        mix_present=torch.ones(rows, dtype=torch.bool),
        beats=torch.zeros(rows, config.beat_features, FRAMES),
        instrument=torch.full((rows,), DRUMS),
        lookahead=torch.zeros(rows, dtype=torch.int64),
    )


def drummer(model: AccompanimentLM, rows: int, taste: NoteTaste, at_rest: int = 0) -> FrameGenerator:
    """Drums that rest as often as they strike, with a past at whose end they rested for so many frames."""
    biased = torch.zeros(model.config.num_streams, model.config.codebook_size)
    biased[0, REST] = 1.0
    controls = RowControls(rows, biased)
    for row in range(rows):
        controls.set(row, bias=9.0)
    generator = FrameGenerator(model, controls, batch=rows, taste=taste)
    past = torch.randint(0, 250, (rows, model.config.num_streams, NUM_PAST), generator=torch.Generator().manual_seed(1))
    past[:, 0] = REST
    past[:, 0, : NUM_PAST - at_rest] = KICK
    generator.prefill(past, call_conditions(model, some_frames(model, rows), FRAMES))
    return generator


FRAME_IS_A_BEAT = NoteTaste(eagerness=4.0, frame_rate=2.0)
"""As if a frame were half a second: a rest of two is enough to show."""


def played(generator: FrameGenerator, model: AccompanimentLM, rows: int) -> Tensor:
    calls = call_conditions(model, some_frames(model, rows), FRAMES)
    return play(generator, calls, row_generators(3, rows), start=NUM_PAST)


def test_who_comes_from_a_rest_is_eager_and_who_has_just_struck_is_not_yet(model: AccompanimentLM) -> None:
    def strikes(taste: NoteTaste, at_rest: int) -> float:
        calls = call_conditions(model, some_frames(model, 64), FRAMES)
        generator = drummer(model, 64, taste, at_rest)
        generator.step(calls.at(slice(NUM_PAST, NUM_PAST + 1)), row_generators(0, 64))
        return float((generator._decoder._previous[:, 0] != REST).float().mean())

    strong = replace(FRAME_IS_A_BEAT, eagerness=3.0)
    assert strikes(strong, at_rest=NUM_PAST) > strikes(NO_TASTE, at_rest=NUM_PAST) + 0.1
    assert strikes(strong, at_rest=0) == strikes(NO_TASTE, at_rest=0)


def test_a_fork_and_a_row_that_goes_on_from_another_have_rested_as_long_as_it(model: AccompanimentLM) -> None:
    plain = played(drummer(model, 2, NO_TASTE, 5), model, 2)
    eager = played(drummer(model, 2, FRAME_IS_A_BEAT, 5), model, 2)
    assert not torch.equal(plain, eager)
    assert torch.equal(played(drummer(model, 2, FRAME_IS_A_BEAT, 5).fork(), model, 2), eager)
    rows = drummer(model, 2, FRAME_IS_A_BEAT, 5)
    rows.reset(torch.tensor([False, True]))
    assert rows._decoder.habits.rested.tolist() == [5, 0]
    rows.select(torch.tensor([0, 0]))
    assert rows._decoder.habits.rested.tolist() == [5, 5]
