"""Who rests is hushed as fast as true parts die away; who plays, and whoever rings as it likes, is left alone."""

import math

import pytest
import torch
from live_players import tiny_player
from test_generation_pace import conditions, habits
from torch import Tensor

from gigmate.generation.guidance import Guidance
from gigmate.generation.hush import DIES_AWAY_S, LOUDEST_DB, SILENT_DB, Hush
from gigmate.generation.note_taste import NO_TASTE, NoteTaste
from gigmate.generation.note_writing import NoteWriting
from gigmate.music.instruments import INSTRUMENTS
from gigmate.pitch import REST

V, RATE = 1024, 50.0
CODE_DB = torch.linspace(-120.0, 0.0, V)
TASTE = NoteTaste(steadiness=1.0, frame_rate=RATE, code_db=CODE_DB)


def hushed(name: str, *rested: float, taste: NoteTaste = TASTE) -> Tensor:
    """What is added to logits, [rows, V]."""
    hush, rows = Hush(taste, torch.device("cpu")), len(rested)
    instrument = torch.full((rows,), INSTRUMENTS.index(name))
    return hush.weigh(torch.zeros(rows, 1, V), torch.tensor(rested), instrument)[:, 0]


@pytest.mark.parametrize("name", list(LOUDEST_DB))
def test_what_can_be_left_falls_by_fifty_decibels_until_a_part_has_died_away(name: str) -> None:
    frames = DIES_AWAY_S[name] * RATE
    for share in (0.25, 0.5, 1.0):
        left_db = LOUDEST_DB[name] - share * SILENT_DB
        (added,) = hushed(name, share * frames)
        assert not added[left_db - 0.1 > CODE_DB].any()
        over = (left_db + 0.1 < CODE_DB) & (left_db + 60.0 > CODE_DB)
        torch.testing.assert_close(added[over], -0.25 * (CODE_DB[over] - left_db), rtol=0, atol=1e-3)


def test_who_plays_and_who_has_no_written_rests_is_left_alone() -> None:
    assert not hushed("keys", 0.0).any()
    for name in set(INSTRUMENTS) - set(LOUDEST_DB):
        assert not hushed(name, 0.0, 5.0, 500.0).any()


def test_after_a_long_rest_silence_is_all_that_is_left() -> None:
    (added,) = hushed("guitar", 500.0)
    assert added.isfinite().all()
    assert (added.diff() <= 0).all()
    assert added[CODE_DB > -60].max() <= -15.0


def test_it_grows_with_steadiness_and_a_louder_player_may_ring_louder() -> None:
    twice = NoteTaste(steadiness=2.0, frame_rate=RATE, code_db=CODE_DB)
    torch.testing.assert_close(hushed("lead", 9.0, taste=twice), 2 * hushed("lead", 9.0))
    louder = NoteTaste(steadiness=1.0, frame_rate=RATE, code_db=CODE_DB - 6.0)
    assert hushed("lead", 9.0, taste=louder).sum() > hushed("lead", 9.0).sum()


def test_rows_that_rest_are_hushed_in_the_first_codebook_of_every_view_alone() -> None:
    model = tiny_player(1, writes_notes=True).model
    guidance, keys = Guidance(2.0, 2.0), INSTRUMENTS.index("keys")
    given = torch.randn(2 * len(guidance.views), model.config.num_streams, V), torch.full((2,), REST)
    own = habits([1.0, 1.0])._replace(rested=torch.tensor([0.0, 30.0]))
    off, on = (
        NoteWriting(model, guidance, taste).weigh(*given, own, conditions(2, keys)) for taste in (NO_TASTE, TASTE)
    )
    added = (on - off).unflatten(0, (2, -1))
    assert not added[0].any()
    assert not added[1][:, [0, *range(2, model.config.num_streams)]].any()
    assert math.isclose(added[1][:, 1].max().item(), 0.0, abs_tol=1e-6)
    assert (added[1][:, 1, -1] < -5.0).all()
