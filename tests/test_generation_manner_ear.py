"""What a song wants of its player is heard as it goes, in every row alone; what isn't known is as usual."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from live_players import tiny_player
from test_generation_pace import DRUMS, KEYS, OTHER, RATE, REST, STRUCK, TASTE, V, habits, pace
from test_generation_pace import conditions as beats_only
from torch import Tensor

from gigmate.codec.features import NUM_FEATURES, NUM_MEL_BANDS, MixFeatures
from gigmate.generation import manner_ear
from gigmate.generation.ears import Hearing
from gigmate.generation.guidance import Guidance
from gigmate.generation.manner_ear import (
    PLAYERS,
    SILENCES,
    STRIKES_PER_S,
    Manner,
    MannerEar,
    decide,
    listen,
    shipped_ear,
)
from gigmate.generation.manner_listener import USUAL_LEVEL_DB, MannerListener, louder_db, nothing_heard
from gigmate.generation.note_taste import NoteTaste
from gigmate.generation.note_writing import NoteWriting
from gigmate.generation.pace import USUAL
from gigmate.generation.sampler import TopK, row_generators
from gigmate.generation.step_decoder import FREE, StepDecoder
from gigmate.model.conditions import FrameConditions, StepConditions, step_conditions
from gigmate.model.lm import AccompanimentLM
from gigmate.model.pattern import Pattern, delay
from gigmate.music.band import compose, render_song
from gigmate.music.grid import BeatGrid
from gigmate.music.instruments import INSTRUMENTS
from gigmate.performance import hearing_gain

CPU = torch.device("cpu")
PATTERN: Pattern = delay(5)
DELAY = PATTERN.max_delay


def test_it_hears_the_features_that_mixes_have() -> None:
    assert (manner_ear.NUM_FEATURES, manner_ear.NUM_MEL_BANDS) == (NUM_FEATURES, NUM_MEL_BANDS)


@pytest.fixture(scope="module")
def ear() -> MannerEar:
    torch.manual_seed(0)
    return MannerEar().eval()


@pytest.fixture(scope="module")
def listener(ear: MannerEar) -> MannerListener:
    return MannerListener(ear, DELAY, CPU)


def frames(rows: int, num_frames: int, lookahead: int = 0, bpm: float = 100.0) -> FrameConditions:
    """Random mixes on a steady grid, each row with a player of its own."""
    draws = torch.Generator().manual_seed(1)
    beats = torch.from_numpy(BeatGrid.from_tempo(bpm, 4, 60.0).features(num_frames, Fraction(50)))
    return FrameConditions(
        mix_power=0.01 * torch.rand(rows, NUM_FEATURES, num_frames, generator=draws),
        mix_present=torch.ones(rows, dtype=torch.bool),
        beats=beats.expand(rows, -1, -1),
        instrument=torch.arange(rows) % len(PLAYERS),
        lookahead=torch.full((rows,), lookahead),
    )


def steps_of(given: FrameConditions, num_steps: int) -> StepConditions:
    return step_conditions(given, PATTERN, num_steps)


@pytest.mark.parametrize("lookahead", [-25, 0, 50])
def test_heard_as_it_goes_is_what_was_learnt_from_at_once(
    ear: MannerEar, listener: MannerListener, lookahead: int
) -> None:
    """Step n hears frame n - max_delay + lookahead, and is told the beat of frame n: it knows where that one lies."""
    given, num_heard = frames(2, 120, lookahead), 60
    num_steps = num_heard + DELAY - lookahead
    if num_steps < num_heard:  # the first frames are never the newest: they are heard by nobody
        given.mix_power[:, :, : num_heard - num_steps] = 0
    heard, manner = listener.hear(nothing_heard(2, CPU), steps_of(given, num_steps))
    first = max(0, num_heard - num_steps)
    at_once = listen(ear.double(), given.mix_power[:, :, :num_heard].double(), given.beats[:, :, :num_heard].double())
    ear.float()
    assert heard[:, -1].tolist() == [num_heard - first] * 2
    torch.testing.assert_close(heard, at_once[:, -1], rtol=0, atol=2e-3 if first else 1e-5)
    assert torch.stack(manner)[:, :, -1].isfinite().all()


def test_a_row_hears_the_same_whoever_else_plays(listener: MannerListener) -> None:
    given = steps_of(frames(5, 40), 40)
    together, manners = listener.hear(nothing_heard(5, CPU), given)
    for row in range(5):
        alone = StepConditions(*(value[row : row + 1] for value in vars(given).values()))
        heard, manner = listener.hear(nothing_heard(1, CPU), alone)
        torch.testing.assert_close(heard[0], together[row], rtol=1e-12, atol=1e-12)
        assert torch.equal(torch.stack(manner)[:, 0].nan_to_num(-1.0), torch.stack(manners)[:, row].nan_to_num(-1.0))


def test_silence_and_what_is_not_heard_tell_nothing(listener: MannerListener) -> None:
    given = frames(3, 60)
    given.mix_power[1, :, 30:] = 0.0
    before, _ = listener.hear(nothing_heard(3, CPU), steps_of(given, 30 + DELAY))
    later = steps_of(given, 100).at(slice(66 + DELAY, 100))  # the mean of the last 32 frames is silent too
    later = StepConditions(*(v.clone() for v in vars(later).values()))
    later.heard[0] = False
    now, manner = listener.hear(before, later)
    assert torch.equal(now[:2], before[:2])
    assert manner.strikes_per_s.isfinite().all()
    _, nothing = listener.hear(nothing_heard(3, CPU), later)
    assert nothing.silence.isnan().all()


def test_nobody_knows_the_manner_of_other_instruments(listener: MannerListener) -> None:
    given = frames(2, 40)
    given.instrument[:] = torch.tensor([OTHER, INSTRUMENTS.index("all")])
    _, manner = listener.hear(nothing_heard(2, CPU), steps_of(given, 40))
    assert all(each.isnan().all() for each in manner)


def test_the_last_twenty_seconds_count(listener: MannerListener) -> None:
    given = frames(1, 1300)
    heard, _ = listener.hear(nothing_heard(1, CPU), steps_of(given, 1300))
    assert heard[0, -1] == 1000
    with pytest.raises(ValueError, match="1300 frames"):
        listen(MannerEar(), given.mix_power, given.beats)


def test_of_two_manners_one_is_chosen_not_their_mean() -> None:
    strikes, silences = torch.full((1, len(STRIKES_PER_S)), -20.0), torch.full((1, len(SILENCES)), -20.0)
    strikes[0, [18, 19, 20, 35, 36]] = torch.tensor([0.0, 0.0, 0.0, 0.3, 0.3])  # about .7 or 8 a second
    silences[0, [0, 30]] = torch.tensor([0.5, 0.0])
    manner = decide(strikes, silences, torch.tensor([-20.0]))
    assert STRIKES_PER_S[19] / 1.5 < manner.strikes_per_s.item() < STRIKES_PER_S[19] * 1.5
    assert manner.silence.item() <= 0.1
    assert manner.level_db.item() == -20.0


def test_at_once_is_one_by_one(listener: MannerListener) -> None:
    given = steps_of(frames(2, 40, -10), 60)
    at_once, manners = listener.hear(nothing_heard(2, CPU), given)
    heard, found = nothing_heard(2, CPU), []
    for step in range(60):
        heard, manner = listener.hear(heard, given.at(slice(step, step + 1)))
        found.append(torch.stack(manner))
    torch.testing.assert_close(heard, at_once, rtol=1e-12, atol=1e-12)
    assert torch.equal(torch.cat(found, dim=2).nan_to_num(-1.0), torch.stack(manners).nan_to_num(-1.0))


def wanted(manner: Manner, own: Tensor | None = None, busier: float = 0.0, taste: NoteTaste = TASTE) -> Tensor:
    """[1, V]: what is added for keys that play as is usual, or `own` strikes, at 120 bpm."""
    strikes = [1.0] if own is None else own.tolist()
    given = beats_only(1, KEYS, bpm=120.0)
    return pace(1.0, taste).weigh(torch.zeros(1, V), habits(strikes, [0.0]), given, 2.0**busier, manner)


def manner_of(strikes_per_s: float = math.nan, silence: float = math.nan) -> Manner:
    return Manner(torch.tensor([strikes_per_s]), torch.tensor([silence]), torch.tensor([math.nan]))


HEARING = NoteTaste(pace=1.0, manner=1.0, frame_rate=RATE)
USUAL_PER_S = 2 * (USUAL["keys"].true_strikes or math.nan)


def test_what_is_not_known_is_as_usual() -> None:
    assert not wanted(manner_of(), taste=HEARING).any()
    assert not wanted(manner_of(9.0, 0.9), taste=TASTE).any()  # who doesn't care for manners


def test_a_song_can_call_for_more_and_for_less() -> None:
    more, less = (wanted(manner_of(factor * USUAL_PER_S), taste=HEARING)[0, STRUCK] for factor in (2.0, 0.5))
    assert more > 1
    assert less < -1
    fitting = wanted(manner_of(2 * USUAL_PER_S), torch.tensor([2.0]), taste=HEARING)[0, STRUCK]
    assert fitting > 0.5  # what is called for counts before it is missed
    asked = wanted(manner_of(2 * USUAL_PER_S), torch.tensor([4.0]), busier=1.0, taste=HEARING)[0, STRUCK]
    assert asked.item() == pytest.approx(fitting.item(), abs=1e-4)
    assert fitting < more


def test_a_song_can_call_for_silence() -> None:
    assert wanted(manner_of(silence=0.4), taste=HEARING)[0, REST] > 1
    assert wanted(manner_of(silence=0.0), taste=HEARING)[0, REST] <= 0


@pytest.fixture(scope="module")
def model() -> AccompanimentLM:
    return tiny_player(1, writes_notes=True).model


def decoder(model: AccompanimentLM, ear: MannerEar, batch: int) -> StepDecoder:
    taste = NoteTaste(pace=1.0, manner=1.0, frame_rate=RATE, manner_ear=ear)
    return StepDecoder(model, TopK(), batch=batch, taste=taste)


def play(model: AccompanimentLM, player: StepDecoder, rows: int, num_steps: int = 12) -> Tensor:
    """The steps [rows, K, S], and what they hear with them."""
    given = step_conditions(frames(rows, num_steps), model.config.build_pattern(), num_steps)
    plan = torch.full((rows, model.config.num_streams), FREE)
    calls = (given.at(slice(step, step + 1)) for step in range(num_steps))
    return torch.stack([player.step(plan, call, row_generators(5, rows)) for call in calls], dim=2)


def test_what_was_heard_goes_where_its_row_goes(model: AccompanimentLM, ear: MannerEar) -> None:
    player = decoder(model, ear, 2)
    steps = play(model, player, 2)
    before = player._ears.known[0].clone()
    assert before[:, -1].min() > 0
    assert not torch.equal(before[0], before[1])
    assert torch.equal(player.fork()._ears.known[0], before)
    player.select(torch.tensor([1, 0]))
    assert torch.equal(player._ears.known[0], before.flip(0))
    player.reset(torch.tensor([False, True]))
    assert torch.equal(player._ears.known[0][0], before[1])
    assert not player._ears.known[0][1].any()
    past = decoder(model, ear, 2)
    past.prefill(steps, step_conditions(frames(2, 12), model.config.build_pattern(), 12))
    torch.testing.assert_close(past._ears.known[0], before, rtol=1e-12, atol=1e-12)


def test_the_song_that_a_player_warmed_up_with_is_forgotten(model: AccompanimentLM, ear: MannerEar) -> None:
    player = decoder(model, ear, 2)
    warmed = player.alone()
    play(model, warmed, 1)
    assert warmed._ears.known[0].any()
    player.adopt(1, warmed)
    assert not player._ears.known[0].any()


def test_rows_that_are_not_due_hear_nothing(model: AccompanimentLM, ear: MannerEar) -> None:
    player = decoder(model, ear, 2)
    given = step_conditions(frames(2, 12), model.config.build_pattern(), 12)
    for step in range(12):
        plan = torch.full((2, model.config.num_streams), FREE)
        player.step(plan, given.at(slice(step, step + 1)), row_generators(5, 2), torch.tensor([False, True]))
    assert not player._ears.known[0][0].any()
    assert player._ears.known[0][1].any()


def test_the_ear_that_ships_hears_a_walking_bass_in_a_swing_and_a_slow_one_in_a_ballad() -> None:
    features, found = MixFeatures(24_000, 480), {"ballad": [], "punk": []}
    seed = 5_000_000
    while any(len(each) < 3 for each in found.values()):
        song = compose(seed, 30.0)
        seed += 1
        if len(found.get(song.style, [0, 0, 0])) >= 3:
            continue
        mix = np.sum([wave for name, wave in render_song(song, 24_000).items() if name != "bass"], axis=0)
        mix = torch.from_numpy((mix * hearing_gain(mix[None])).astype(np.float32))[None, None, : 20 * 24_000]
        beats = torch.from_numpy(song.grid.features(1000, 50.0))[None]
        ear = shipped_ear()
        with torch.inference_mode():
            heard = listen(ear, features.analyse(mix), beats)[:, -1]
            logits = ear(heard, torch.tensor([PLAYERS.index("bass")]), beats[:, 8, -1])
        found[song.style].append(decide(*logits[:3]).strikes_per_s.item())
    assert min(found["punk"]) > 1.5 * max(found["ballad"])


def test_drums_that_a_song_wants_softer_draw_softer_codes(model: AccompanimentLM, ear: MannerEar) -> None:
    taste = NoteTaste(steadiness=1.0, pace=1.0, manner=1.0, frame_rate=RATE, code_db=torch.linspace(-40.0, 0.0, V))
    writing = NoteWriting(model, Guidance(), replace(taste, manner_ear=ear))
    given, logits = beats_only(1, DRUMS), torch.zeros(1, model.config.num_streams, V)
    gains = []
    for off_db in (-8.0, 0.0, 8.0, math.nan):
        wanted_db = torch.tensor([USUAL_LEVEL_DB["drums"] + off_db])
        manner = Manner(torch.tensor([math.nan]), torch.tensor([math.nan]), wanted_db)
        weighed = writing.weigh(logits, torch.tensor([REST]), habits([1.0]), given, 1.0, Hearing(manner))
        gains.append((weighed[0, 1, -1] - weighed[0, 1, 0]).item())  # the loudest code against the softest
    assert gains[0] < 0 < gains[2]
    assert gains[0] == pytest.approx(-gains[2])
    assert gains[1] == gains[3] == 0


def test_levels_that_songs_want_have_their_limits() -> None:
    level_db = torch.tensor([[-60.0, -25.1, 0.0, math.nan]])
    manner = Manner(level_db, level_db, level_db)
    assert louder_db(manner, torch.tensor([KEYS])).tolist() == [pytest.approx([-9.0, 2.0, 9.0, 0.0], abs=1e-5)]
    assert not louder_db(manner, torch.tensor([OTHER])).any()


def test_how_often_drums_strike_is_usual_whatever_the_song() -> None:
    given = beats_only(1, DRUMS, bpm=120.0)
    busy = manner_of(9.0, 0.5)
    assert not pace(1.0, HEARING).weigh(torch.zeros(1, V), habits([1.0], [0.0]), given, 1.0, busy).any()
