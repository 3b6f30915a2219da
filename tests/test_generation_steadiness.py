"""Drums that were softer or louder than usual are brought back; how loud each row was is part of its past."""

from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from live_players import tiny_player
from test_generation_frames import call_conditions, play
from torch import Tensor

import gigmate.accompanist as accompanist_module
from gigmate.accompanist import Accompanist
from gigmate.evaluation.adherence import playing
from gigmate.evaluation.adherence.pairs import Pair
from gigmate.evaluation.adherence.playing import PlayingStyle, play_pairs
from gigmate.generation.controls import RowControls
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.guidance import Guidance
from gigmate.generation.habits import Habits, newcomers
from gigmate.generation.note_taste import NO_TASTE, NoteTaste
from gigmate.generation.note_writing import NoteWriting
from gigmate.generation.sampler import row_generators
from gigmate.generation.steadiness import USUAL_DRUMS_DB, Steadiness
from gigmate.generation.warm_up import WarmUp
from gigmate.live.engine import Engine
from gigmate.model.conditions import FrameConditions
from gigmate.model.lm import AccompanimentLM
from gigmate.music.grid import BeatGrid
from gigmate.music.instruments import INSTRUMENTS
from gigmate.performance import Take
from gigmate.pitch import REST
from gigmate.stopwatch import Stopwatch

V, FRAMES, NUM_PAST = 1024, 40, 12
DRUMS, BASS = INSTRUMENTS.index("drums"), INSTRUMENTS.index("bass")
CODE_DB = torch.linspace(-40.0, 0.0, V)
USUAL = int((CODE_DB - USUAL_DRUMS_DB).abs().argmin())
"""The code that is as loud as drums usually are, to .02 dB."""
RATE = 50.0


def taste(steadiness: float = 1.0, louder_db: float = 0.0) -> NoteTaste:
    return NoteTaste(steadiness=steadiness, frame_rate=RATE, code_db=CODE_DB - louder_db)


def weigher(*given: float) -> Steadiness:
    return Steadiness(taste(*given), torch.device("cpu"))


def level_of(*levels_db: float) -> Tensor:
    return 10 ** (torch.tensor(levels_db) / 10)


def ids(instrument: int, rows: int) -> Tensor:
    return torch.full((rows,), instrument)


@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_what_is_added_grows_with_the_decibels_off_beyond_two_and_with_those_that_a_code_is_louder(
    strength: float,
) -> None:
    off_db = {-1.9: 0.0, -5.0: 3.0, -10.0: 8.0, -60.0: 8.0, 1.9: 0.0, 5.0: -3.0, 30.0: -8.0}
    gain = weigher(strength).weigh(torch.zeros(7, 2, V), level_of(*off_db), ids(DRUMS, 7))
    expected = strength * 0.03 * torch.tensor(list(off_db.values()))[:, None] * (CODE_DB - CODE_DB.mean())
    torch.testing.assert_close(gain, expected[:, None].expand(-1, 2, -1), rtol=0, atol=1e-4)


def test_a_past_in_which_nothing_sounded_is_no_more_than_too_soft() -> None:
    steady = weigher()
    gains = steady.weigh(torch.zeros(2, 1, V), torch.tensor([0.0, 1e-3]), ids(DRUMS, 2))
    assert torch.equal(gains[0], gains[1])


def test_codes_that_can_hardly_be_heard_are_all_as_unlikely() -> None:
    table = CODE_DB.clone()
    table[:3] = torch.tensor([-120.0, -51.0, -50.0])
    steady = Steadiness(NoteTaste(steadiness=1.0, code_db=table), torch.device("cpu"))
    gains = steady.weigh(torch.zeros(1, 1, V), level_of(-10.0), ids(DRUMS, 1))[0, 0]
    assert gains[0] == gains[1] == gains[2] < gains[3]


def test_at_the_usual_level_and_for_others_than_drums_logits_stay_to_the_last_bit() -> None:
    logits = torch.randn(3, 2, V)
    assert torch.equal(weigher().weigh(logits, level_of(0.0, 1.5, -1.5), ids(DRUMS, 3)), logits)
    assert torch.equal(weigher().weigh(logits, level_of(-20.0, 20.0, -9.0), ids(BASS, 3)), logits)
    assert not torch.equal(weigher().weigh(logits, level_of(-20.0, 20.0, -9.0), ids(DRUMS, 3)), logits)


def test_the_level_is_a_moving_average_over_five_seconds() -> None:
    steady, loud = weigher(), int((CODE_DB - USUAL_DRUMS_DB - 10).abs().argmin())
    seconds = torch.full((1, round(RATE)), USUAL)
    assert steady.heard(torch.ones(1), seconds, ids(DRUMS, 1)).item() == pytest.approx(1.0, abs=2e-3)
    after = steady.heard(torch.ones(1), torch.full((1, round(5 * RATE)), loud), ids(DRUMS, 1))
    assert after.item() == pytest.approx(10 - 9 / np.e, rel=1e-2)


def test_codes_at_once_are_codes_one_by_one_and_no_code_changes_nothing() -> None:
    steady, draws = weigher(), torch.Generator().manual_seed(0)
    codes = torch.randint(0, V, (3, 60), generator=draws)
    codes[:, [0, 1, 30, 59]] = V
    codes[2] = V
    start = torch.tensor([1.0, 0.1, 0.3])
    level, kept = start, float(np.exp(-1 / (5 * RATE)))
    expected = start.tolist()
    for column in codes.unbind(dim=1):
        level = steady.heard(level, column[:, None], ids(DRUMS, 3))
        for row, code in enumerate(column.tolist()):
            if code < V:
                power = 10 ** ((float(CODE_DB[code]) - USUAL_DRUMS_DB) / 10)
                expected[row] = kept * expected[row] + (1 - kept) * power
    torch.testing.assert_close(level, torch.tensor(expected), rtol=1e-4, atol=0)
    torch.testing.assert_close(steady.heard(start, codes, ids(DRUMS, 3)), level, rtol=1e-4, atol=0)
    assert level[2] == start[2]


def test_who_is_asked_to_play_louder_is_as_loud_as_usual_when_playing_louder() -> None:
    louder = int((CODE_DB - USUAL_DRUMS_DB - 6).abs().argmin())
    codes = torch.full((1, 500), louder)
    assert weigher(1.0, 6.0).heard(torch.ones(1), codes, ids(DRUMS, 1)).item() == pytest.approx(1.0, abs=5e-3)
    assert weigher().heard(torch.ones(1), codes, ids(DRUMS, 1)).item() > 3.0


def test_others_than_drums_are_as_loud_as_usual_whatever_they_play() -> None:
    assert weigher().heard(torch.tensor([0.2]), torch.full((1, 9), V - 1), ids(BASS, 1)).item() == 1.0


@pytest.fixture(scope="module")
def player() -> Accompanist:
    return tiny_player(1, writes_notes=True)


@pytest.fixture(scope="module")
def model(player: Accompanist) -> AccompanimentLM:
    return player.model


def some_frames(model: AccompanimentLM, rows: int, instrument: int = DRUMS) -> FrameConditions:
    config, draws = model.config, torch.Generator().manual_seed(0)
    return FrameConditions(
        mix_power=torch.rand(1, config.mix_features, FRAMES, generator=draws).expand(rows, -1, -1),
        mix_present=torch.ones(rows, dtype=torch.bool),
        beats=torch.zeros(rows, config.beat_features, FRAMES),
        instrument=torch.full((rows,), instrument),
        lookahead=torch.zeros(rows, dtype=torch.int64),
    )


def a_past(model: AccompanimentLM, codes: list[int]) -> Tensor:
    """[rows, K', T] in which each row's first codebook is one code all along."""
    draws = torch.Generator().manual_seed(1)
    past = torch.randint(0, 100, (1, model.config.num_streams, NUM_PAST), generator=draws).repeat(len(codes), 1, 1)
    past[:, 1] = torch.tensor(codes)[:, None]
    return past


def drummer(model: AccompanimentLM, own: NoteTaste, *codes: int, instrument: int = DRUMS) -> FrameGenerator:
    """A row for each code, with a past that sounded like it."""
    generator = FrameGenerator(model, RowControls(len(codes)), batch=len(codes), taste=own)
    frames = some_frames(model, len(codes), instrument)
    generator.prefill(a_past(model, list(codes)), call_conditions(model, frames, FRAMES))
    return generator


def played(generator: FrameGenerator, model: AccompanimentLM, rows: int, instrument: int = DRUMS) -> Tensor:
    calls = call_conditions(model, some_frames(model, rows, instrument), FRAMES)
    return play(generator, calls, row_generators(3, rows), start=NUM_PAST)


QUICK = NoteTaste(steadiness=4.0, frame_rate=0.2, code_db=CODE_DB)
"""As if a frame were five seconds: a past of twelve is all that counts."""
SOFT, LOUD = 0, V - 1


def test_who_was_too_soft_draws_louder_codes_and_who_was_too_loud_softer(model: AccompanimentLM) -> None:
    def next_db(own: NoteTaste, code: int) -> float:
        generator = drummer(model, own, *[code] * 64)
        calls = call_conditions(model, some_frames(model, 64), FRAMES)
        generator.step(calls.at(slice(NUM_PAST, NUM_PAST + 1)), row_generators(0, 64))
        return float(CODE_DB[generator._decoder._previous[:, 1]].mean())

    assert next_db(QUICK, SOFT) > next_db(NO_TASTE, SOFT) + 5.0
    assert next_db(QUICK, LOUD) < next_db(NO_TASTE, LOUD) - 5.0
    assert next_db(QUICK, USUAL) == next_db(NO_TASTE, USUAL)


def test_codes_of_the_first_codebook_alone_are_weighed_in_every_view(model: AccompanimentLM) -> None:
    guidance = Guidance(2.0, 2.0)
    conditions = call_conditions(model, some_frames(model, 2), FRAMES).at(slice(0, 1))
    given = torch.randn(2 * len(guidance.views), model.config.num_streams, V), torch.full((2,), REST)
    habits = Habits(*newcomers(2, torch.device("cpu")).unbind(1))._replace(level=level_of(0.0, -10.0))
    off, on = (NoteWriting(model, guidance, own).weigh(*given, habits, conditions) for own in (NO_TASTE, taste()))
    added = (on - off).unflatten(0, (2, -1))
    assert torch.equal(off[:, 1:], given[0][:, 1:])
    assert not added[0].any()
    assert not added[1][:, [0, *range(2, model.config.num_streams)]].any()
    expected = 0.03 * 8.0 * (CODE_DB - CODE_DB.mean())
    torch.testing.assert_close(added[1][:, 1], expected.expand(len(guidance.views), -1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("own", "instrument"),
    [
        (NoteTaste(steadiness=0.0, code_db=CODE_DB), DRUMS),
        (NoteTaste(steadiness=4.0), DRUMS),
        (QUICK, BASS),
    ],
    ids=["strength 0", "unknown levels", "bass"],
)
def test_off_is_off(model: AccompanimentLM, own: NoteTaste, instrument: int) -> None:
    plain = played(drummer(model, NO_TASTE, SOFT, LOUD, instrument=instrument), model, 2, instrument)
    generator = drummer(model, own, SOFT, LOUD, instrument=instrument)
    assert torch.equal(played(generator, model, 2, instrument), plain)
    assert generator._decoder.habits.level.tolist() == [1.0, 1.0]


def test_the_level_goes_where_its_row_goes(model: AccompanimentLM) -> None:
    steady = played(drummer(model, QUICK, SOFT, LOUD), model, 2)
    assert not torch.equal(played(drummer(model, NO_TASTE, SOFT, LOUD), model, 2), steady)
    rows = drummer(model, QUICK, SOFT, LOUD)
    fork = rows.fork()
    assert torch.equal(played(fork, model, 2), steady)
    soft, loud = rows._decoder.habits.level.tolist()
    assert soft < 0.1
    assert loud > 10
    rows.select(torch.tensor([1, 0]))
    assert rows._decoder.habits.level.tolist() == [loud, soft]
    rows.reset(torch.tensor([True, False]))
    assert rows._decoder.habits.level.tolist() == [1.0, soft]
    one_past = WarmUp(a_past(model, [SOFT]), some_frames(model, 1))
    rows.begin(0, rows.warmed(one_past))
    assert rows._decoder.habits.level[0].item() == pytest.approx(soft)


def test_a_row_minds_its_own_level_alone(model: AccompanimentLM) -> None:
    alone = played(drummer(model, QUICK, SOFT), model, 1)
    assert torch.equal(played(drummer(model, QUICK, SOFT, LOUD), model, 2)[:1], alone)
    rows = drummer(model, QUICK, SOFT, LOUD)
    before = rows._decoder.habits.level.clone()
    calls = call_conditions(model, some_frames(model, 2), FRAMES)
    one_call = calls.at(slice(NUM_PAST, NUM_PAST + 1))
    rows.step(one_call, row_generators(3, 2), active=torch.tensor([True, False]))
    assert rows._decoder.habits.level[0] != before[0]
    assert rows._decoder.habits.level[1] == before[1]


@pytest.fixture
def tastes(monkeypatch: pytest.MonkeyPatch) -> list[NoteTaste]:
    """What is generated with, in place of generating."""
    seen: list[NoteTaste] = []

    def generate(model: AccompanimentLM, conditions: FrameConditions, num_frames: int, *_: Any, **given: Any) -> Tensor:
        seen.append(given["taste"])
        return torch.zeros(conditions.batch, model.config.num_streams, num_frames, dtype=torch.int64)

    for module in (accompanist_module, playing):
        monkeypatch.setattr(module, "generate", generate)
    return seen


def asked(player: Accompanist, take: Take, prompt: Tensor | None = None) -> None:
    player.play(50, take, Stopwatch(), power=None, grid=None, prompt=prompt)


def test_all_who_play_know_how_loud_codes_are(player: Accompanist, tastes: list[NoteTaste]) -> None:
    known = player.codec.code_db
    assert known is not None
    asked(player, Take("drums"))
    asked(player, Take("drums", louder_db=6.0))
    second = np.zeros(24_000, np.float32)
    pair = Pair("song", "group", "drums", 24_000, second, None, BeatGrid.from_tempo(120, 4, 1.0))
    play_pairs(player, [pair], 0.0, PlayingStyle(beats="none", warms_up=False))
    tables = [own.code_db for own in tastes]
    for table, expected in zip(tables, [known, known - 6.0, known], strict=True):
        assert table is not None
        assert torch.equal(table, expected)
    assert all(own.frame_rate == 50.0 for own in tastes)
    notes = Engine(player, 2)._generator._decoder._notes
    assert notes is not None
    assert notes._steadiness is not None


def test_who_goes_on_with_a_stem_goes_on_at_its_level(player: Accompanist, tastes: list[NoteTaste]) -> None:
    asked(player, Take("drums"), torch.zeros(1, player.codec.spec.num_codebooks, 10, dtype=torch.int64))
    assert tastes[0].steadiness == 0.0
    assert tastes[0].beat_strength == Take().taste.beat_strength


def no_levels() -> Tensor:
    raise AssertionError("worked out for nobody")


@pytest.mark.parametrize(
    ("writes_notes", "steadiness", "table"),
    [(True, 1.0, lambda: None), (True, 0.0, no_levels), (False, 1.0, no_levels)],
    ids=["a codec that doesn't know", "strength 0", "a model without notes"],
)
def test_levels_are_asked_for_only_where_they_count(
    writes_notes: bool, steadiness: float, table: Callable[[], Tensor | None]
) -> None:
    class Asked(SimpleNamespace):
        @property
        def code_db(self) -> Tensor | None:
            return table()

    codec: Any = Asked(spec=SimpleNamespace(sample_rate=24_000, hop=480, frame_rate=Fraction(50)))
    player = Accompanist(tiny_player(1, writes_notes=writes_notes).model, codec)
    assert player.taste_here(NoteTaste(steadiness=steadiness), 3.0).code_db is None
