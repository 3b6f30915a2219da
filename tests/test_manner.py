"""How loud and how much is played: what is measured, who is told, and what comes of it."""

import copy
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from live_players import GRID, tiny_player
from torch.utils.data import default_collate
from training_fakes import ToyWindows, toy_module

from gigmate.accompanist import Accompanist
from gigmate.errors import UsageError
from gigmate.manner import UNKNOWN, USUAL, manner_of, usual
from gigmate.music.instruments import INSTRUMENTS
from gigmate.music.note_codes import BEGINS, NUM_NOTE_CODES, read_note_code
from gigmate.performance import Take
from gigmate.stopwatch import Stopwatch
from gigmate.training.lm_module import frame_conditions

RATE = 50.0


@pytest.fixture(scope="module")
def player() -> Accompanist:
    return tiny_player(1, writes_notes=True)


def song() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).normal(size=(1, 24_000))).astype(np.float32)


def test_four_times_the_power_is_6_db_more_and_every_beginning_counts() -> None:
    power = np.random.default_rng(0).uniform(0.1, 1, (100, 48))
    notes = np.zeros(100, np.int64)
    notes[[3, 50, 51, 99]] = 1  # strokes of a kick
    soft, loud = (manner_of(p, notes, BEGINS, RATE) for p in (power, 4 * power))
    assert loud.level_db - soft.level_db == pytest.approx(6.02, abs=0.01)
    assert soft.notes_per_s == pytest.approx(2.0)
    assert np.isnan(manner_of(power, np.full(100, -1), BEGINS, RATE).notes_per_s)
    assert BEGINS.tolist() == [read_note_code(code).begins for code in range(NUM_NOTE_CODES)]


def test_usual_is_moved_by_decibels_and_doublings_and_unknown_stays_so() -> None:
    assert set(USUAL) == set(INSTRUMENTS) - {"all"}
    level_db, notes_per_s = usual("bass")
    assert usual("bass", 3.0, -1.0) == pytest.approx((level_db + 3, notes_per_s / 2))
    assert np.isnan(usual("all", 3.0, 1.0)).all()


@pytest.mark.parametrize("change", [{"louder_db": 12.0}, {"density": 2.0}])
def test_a_model_plays_otherwise_when_told_or_says_that_it_can_not_be(
    player: Accompanist, change: dict[str, float]
) -> None:
    one, other = (player.accompany(song(), 24_000, take, grid=GRID).codes for take in (Take(), Take(**change)))
    assert not np.array_equal(one, other)
    deaf = copy.deepcopy(player.model)
    deaf.conditions.manner, deaf.config = None, replace(deaf.config, knows_manner=False)
    with pytest.raises(UsageError, match="this checkpoint can't be told"):
        Accompanist(deaf, player.codec).accompany(song(), 24_000, Take(**change), grid=GRID)


def test_who_goes_on_with_a_stem_is_told_nothing_but_the_stem(player: Accompanist) -> None:
    told: list[torch.Tensor] = []
    watch = player.model.conditions.register_forward_pre_hook(lambda _, given: told.append(given[0].manner))
    prompt = torch.zeros(1, 4, 10, dtype=torch.int64)
    power = torch.rand(1, player.model.config.mix_features, 40)
    for take in (Take(num_candidates=1), Take(num_candidates=1, louder_db=20.0)):
        with pytest.raises(UsageError, match="gone on with") if take.louder_db else nullcontext():
            player.play(40, take, Stopwatch(), power=power, grid=GRID, prompt=prompt)
    watch.remove()
    assert told
    assert all(manner.isnan().all() for manner in told)


def test_training_leaves_it_out_now_and_then_and_level_and_density_apart() -> None:
    module = toy_module(manner_dropout=0.5)
    told: list[torch.Tensor] = []
    module.net.conditions.register_forward_pre_hook(lambda _, given: told.append(given[0].manner.isfinite()))
    batch = default_collate([ToyWindows(64)[0, index] for index in range(64)])
    module.log = module.log_dict = lambda *_, **__: None  # pyright: ignore[reportAttributeAccessIssue]
    module.training_step(batch, 0)
    kinds = {tuple(row) for row in told[0].tolist()}
    assert len(kinds) == 4
    assert 0.1 < told[0].float().mean() < 0.45  # a quarter
    never = replace(frame_conditions(batch), manner=torch.tensor([UNKNOWN]))
    assert never.manner.shape == (64, 2)
    assert never.manner.isnan().all()
