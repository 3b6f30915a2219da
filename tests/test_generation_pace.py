"""Who has played more or less than is usual is brought back to it; what each row has done is part of its past."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from live_players import tiny_player
from test_generation_steadiness import some_frames
from torch import Tensor

from gigmate.generation.controls import RowControls
from gigmate.generation.guidance import Guidance
from gigmate.generation.habits import NEWCOMER, Habits, moving_average, newcomers
from gigmate.generation.hush import DIES_AWAY_S
from gigmate.generation.note_taste import NO_TASTE, NoteTaste
from gigmate.generation.note_writing import NoteWriting
from gigmate.generation.pace import USUAL, Pace
from gigmate.generation.sampler import TopK, row_generators
from gigmate.generation.step_decoder import FREE, StepDecoder
from gigmate.live.engine import Engine
from gigmate.live.frames import SlotSettings
from gigmate.model.conditions import StepConditions, step_conditions
from gigmate.model.lm import AccompanimentLM
from gigmate.music.grid import BeatGrid
from gigmate.music.instruments import INSTRUMENTS
from gigmate.pitch import FIRST_CHORD, REST

V, RATE = 1024, 50.0
HELD, STRUCK, KICK = FIRST_CHORD, FIRST_CHORD + 1, 1
KEYS, DRUMS, OTHER = (INSTRUMENTS.index(name) for name in ("keys", "drums", "other"))
TASTE = NoteTaste(pace=1.0, frame_rate=RATE)


def pace(strength: float = 1.0, taste: NoteTaste = TASTE) -> Pace:
    return Pace(V, replace(taste, pace=strength), torch.device("cpu"))


def conditions(
    rows: int, instrument: int, *, bpm: float | None = None, frame: int = 0, steps: int = 1
) -> StepConditions:
    beats = np.zeros((10, steps), np.float32)
    if bpm is not None:
        beats = BeatGrid.from_tempo(bpm, 4, 30.0).features(frame + steps, Fraction(50))[:, frame:]
    return StepConditions(
        torch.zeros(rows, steps, 3, 8),
        torch.ones(rows, steps, 3, dtype=torch.bool),
        torch.from_numpy(beats.T.copy()).expand(rows, -1, -1),
        torch.full((rows,), instrument),
        torch.zeros(rows, dtype=torch.int64),
    )


def rested(notes: Tensor) -> Tensor:
    """[rows, S]: steps of rest up to each, by the definition."""
    counts = []
    for row in notes.tolist():
        run, runs = 0, []
        for note in row:
            run = run + 1 if note == REST else 0
            runs.append(run)
        counts.append(runs)
    return torch.tensor(counts, dtype=torch.float32)


def heard(own: Habits, notes: Tensor, given: StepConditions) -> tuple[Tensor, Tensor]:
    return pace().heard(own, notes, rested(notes), given)


def usual_quiet(name: str) -> float:
    usual = USUAL[name].quiet
    assert usual is not None
    return usual


def habits(strikes: list[float] | None = None, quiet_excess: list[float] | None = None) -> Habits:
    rows = len(strikes or quiet_excess or [])
    new = Habits(*newcomers(rows, torch.device("cpu")).unbind(1))
    new = new if strikes is None else new._replace(strikes=torch.tensor(strikes))
    return new if quiet_excess is None else new._replace(quiet_excess=torch.tensor(quiet_excess))


def added(own: Habits, instrument: int = KEYS, strength: float = 1.0, busier: float = 0.0, **where: float) -> Tensor:
    """[rows, V]."""
    given = conditions(len(own.strikes), instrument, **where)  # pyright: ignore[reportArgumentType]
    return pace(strength).weigh(torch.zeros(len(own.strikes), V), own, given, 2.0**busier)


def test_as_is_usual_logits_stay_to_the_last_bit_and_for_others_whatever_they_do() -> None:
    logits, given = torch.randn(2, V), conditions(2, KEYS, bpm=120.0)
    assert torch.equal(pace().weigh(logits, habits([1.0, 1.0], [0.0, 0.0]), given), logits)
    wild = habits([9.0, 0.0], [0.5, -0.1])
    assert torch.equal(pace().weigh(logits, wild, conditions(2, OTHER, bpm=120.0)), logits)
    assert not torch.equal(pace().weigh(logits, wild, given), logits)


@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_who_has_struck_twice_as_often_is_sixteen_times_less_likely_to_strike(strength: float) -> None:
    often = [2.0 + 0.06, 1.0, 0.5 - 0.03, 0.0, 90.0]
    gain = added(habits(often), strength=strength)
    expected = -4 * strength * torch.tensor([math.log(2), 0.0, -math.log(2), -1.5, 1.5])
    torch.testing.assert_close(gain[:, STRUCK], expected, rtol=0, atol=1e-5)
    assert not gain[:, [REST, HELD]].any()


def test_who_plays_too_much_leaves_out_what_is_off_the_beat_and_who_plays_too_little_comes_in_on_it() -> None:
    much_on, little_on = added(habits([2.06, 0.47]), bpm=120.0, frame=24)[:, STRUCK].tolist()  # a note of frame 25
    much_off, little_off = added(habits([2.06, 0.47]), bpm=120.0, frame=11)[:, STRUCK].tolist()
    assert much_off == pytest.approx(3 * much_on, rel=0.15)  # half a frame is off already
    assert little_on == pytest.approx(3 * little_off, rel=0.15)
    assert much_on < 0 < little_on


def test_who_was_quieter_than_is_usual_rests_less() -> None:
    gain = added(habits(quiet_excess=[0.1, 0.0, -0.1, 0.8]))
    torch.testing.assert_close(gain[:, REST], torch.tensor([-2.0, 0.0, 2.0, -10.0]))
    assert not gain[:, [HELD, STRUCK]].any()
    assert not added(habits(quiet_excess=[0.5]), DRUMS).any()


def test_more_and_less_can_be_asked_for() -> None:
    usual = usual_quiet("keys")
    assert added(habits([1.0]), busier=1.0)[0, STRUCK] > 1.0
    assert added(habits([1.0]), busier=-1.0)[0, STRUCK] < -1.0
    half = habits([0.5], [(1 - usual) / 2])  # sounds half as long as usual
    torch.testing.assert_close(added(half, busier=-1.0)[0, REST], torch.tensor(0.0), rtol=0, atol=1e-5)
    assert added(half, busier=-1.0)[0, STRUCK].abs() < 0.1
    never = habits([2.0], [-usual])  # more than always can't be asked for
    torch.testing.assert_close(added(never, busier=1.0)[0, REST], torch.tensor(0.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("bpm", "beat_frames"), [(60.0, 50), (150.0, 20), (None, 25)])
def test_strikes_are_counted_by_the_beat(bpm: float | None, beat_frames: int) -> None:
    """A kick on each beat is one strike a beat, whatever the tempo; a song of 30 s is five times the memory."""
    notes = torch.full((1, 1500), REST)
    notes[:, ::beat_frames] = KICK
    given = conditions(1, DRUMS, bpm=bpm, steps=1500)
    strikes, quiet_excess = heard(habits([1.0]), notes, given)
    assert strikes.item() == pytest.approx(1 / USUAL["drums"].strikes, rel=0.1)
    assert quiet_excess.item() == 0.0


def test_rests_count_half_at_once_and_whole_when_the_last_note_has_died_away() -> None:
    dies_away = round(DIES_AWAY_S["keys"] * RATE)
    short = torch.tensor([REST, HELD]).repeat(750)[None]
    _, excess = heard(habits([1.0]), short, conditions(1, KEYS, steps=1500))
    assert excess.item() == pytest.approx(0.5 * 0.5 - usual_quiet("keys"), abs=0.01)
    long = torch.tensor([REST] * (3 * dies_away - 1) + [HELD] * dies_away).repeat(20)[None]
    _, excess = heard(habits([1.0]), long, conditions(1, KEYS, steps=long.shape[1]))
    share = ((3 * dies_away - 1) + 2 * dies_away) / (2 * 4 * dies_away)
    assert excess.item() == pytest.approx(share - usual_quiet("keys"), abs=0.1)


def test_at_once_is_one_by_one_and_no_code_and_others_change_nothing() -> None:
    draws = torch.Generator().manual_seed(0)
    notes = torch.randint(0, 400, (3, 40), generator=draws)
    notes[0, [0, 1, 20, 39]] = V
    notes[2] = V
    one_by_one, given = habits([1.0, 0.2, 3.0], [0.0, 0.1, -0.1]), conditions(3, KEYS, bpm=100.0, steps=40)
    start = one_by_one
    runs = rested(notes)
    for step in range(40):
        at = slice(step, step + 1)
        strikes, excess = pace().heard(one_by_one, notes[:, at], runs[:, at], given.at(at))
        one_by_one = one_by_one._replace(strikes=strikes, quiet_excess=excess)
    strikes, excess = heard(start, notes, given)
    torch.testing.assert_close(strikes, one_by_one.strikes, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(excess, one_by_one.quiet_excess, rtol=1e-5, atol=1e-6)
    assert (strikes[2], excess[2]) == (start.strikes[2], start.quiet_excess[2])
    others = heard(start, notes, conditions(3, OTHER, bpm=100.0, steps=40))
    assert [each[:2].tolist() for each in others] == [[1.0] * 2, [0.0] * 2]


def test_an_average_forgets_and_skips_what_does_not_count() -> None:
    now, counts = torch.tensor([[4.0, 9.0, 8.0]]), torch.tensor([[True, False, True]])
    assert moving_average(torch.tensor([2.0]), now, counts, 0.5).item() == 0.5 * (0.5 * 2 + 0.5 * 4) + 0.5 * 8


@pytest.fixture(scope="module")
def model() -> AccompanimentLM:
    return tiny_player(1, writes_notes=True).model


def drawn(model: AccompanimentLM, decoder: StepDecoder, rows: int, plan: int = FREE, instrument: int = KEYS) -> Tensor:
    """Twelve steps [rows, K, 12]."""
    pattern = model.config.build_pattern()
    given = step_conditions(some_frames(model, rows, instrument), pattern, 12)
    steps = torch.full((rows, model.config.num_streams), plan)
    calls = (given.at(slice(step, step + 1)) for step in range(12))
    return torch.stack([decoder.step(steps, call, row_generators(5, rows)) for call in calls], dim=2)


@pytest.mark.parametrize("instrument", [KEYS, DRUMS], ids=["keys", "drums"])
def test_a_past_that_is_given_counts_like_one_that_was_played(model: AccompanimentLM, instrument: int) -> None:
    taste = replace(TASTE, steadiness=1.0, code_db=torch.linspace(-40.0, 0.0, V))
    players = [StepDecoder(model, TopK(), batch=2, guidance=Guidance(2.0, 2.0), taste=taste) for _ in range(2)]
    steps = drawn(model, players[0], 2, instrument=instrument)
    players[1].prefill(steps, step_conditions(some_frames(model, 2, instrument), model.config.build_pattern(), 12))
    for own, other in zip(*(player.habits for player in players), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)
    assert players[0].habits.strikes[0] != 1.0
    assert (players[0].habits.level[0] != 1.0) == (instrument == DRUMS)


def test_what_was_planned_is_no_manner_but_rests_are_rests(model: AccompanimentLM) -> None:
    player = StepDecoder(model, TopK(), batch=1, taste=TASTE)
    drawn(model, player, 1, plan=REST)
    assert [each.item() for each in player.habits] == [12.0, 1.0, 1.0, 0.0]


def test_habits_go_where_their_row_goes(model: AccompanimentLM) -> None:
    player = StepDecoder(model, TopK(), batch=2, taste=TASTE)
    drawn(model, player, 2)
    before = [each.tolist() for each in player.habits]
    assert before[2][0] != before[2][1]
    assert [each.tolist() for each in player.fork().habits] == before
    player.select(torch.tensor([1, 0]))
    assert [each.tolist() for each in player.habits] == [each[::-1] for each in before]
    player.reset(torch.tensor([False, True]))
    assert [each.tolist() for each in player.habits] == [
        [each[1], new] for each, new in zip(before, NEWCOMER, strict=True)
    ]
    assert [each.tolist() for each in player.alone().habits] == [[0.0], [1.0], [1.0], [0.0]]
    one = player.alone()
    drawn(model, one, 1)
    player.adopt(0, one)
    assert [each[0].item() for each in player.habits] == [each[0].item() for each in one.habits]


def test_only_who_has_a_pace_keeps_it(model: AccompanimentLM) -> None:
    steps = [drawn(model, StepDecoder(model, TopK(), batch=2, taste=taste), 2) for taste in (NO_TASTE, TASTE)]
    assert torch.equal(steps[0][:, :, 0], steps[1][:, :, 0])  # the first step comes out of no habit
    given = conditions(2, KEYS)
    logits = torch.randn(2, model.config.num_streams, V)
    weighed = [
        NoteWriting(model, Guidance(), taste).weigh(logits, torch.full((2,), REST), habits([4.0, 0.1]), given)
        for taste in (NO_TASTE, TASTE)
    ]
    assert torch.equal(weighed[0][:, 1:], weighed[1][:, 1:])
    assert (weighed[1] - weighed[0])[:, 0, STRUCK].sign().tolist() == [-1.0, 1.0]


def test_a_session_that_asks_for_more_is_not_held_to_the_usual() -> None:
    engine = Engine(tiny_player(1, writes_notes=True), 2)
    slot = engine.open(SlotSettings("keys", -20, 5, density=0.5))
    assert isinstance(engine._controls, RowControls)
    assert engine._controls.wanted.tolist() == pytest.approx([2**0.5, 1.0])
    engine.set(slot, SlotSettings("keys", -20, 5, density=-1.0))
    assert engine._controls.wanted.tolist() == [0.5, 1.0]
