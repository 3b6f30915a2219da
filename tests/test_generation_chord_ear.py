"""Chords are heard as they go, in every row alone, in all keys alike, and never from what may not be heard yet."""

import copy
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from live_players import tiny_player
from torch import Tensor

from gigmate.codec.features import NUM_FEATURES, NUM_SEMITONE_BANDS, MixFeatures
from gigmate.generation import chord_ear, listening
from gigmate.generation.chord_ear import LEAD_FRAMES, STRIDE, ChordEar, shipped_chord_ear
from gigmate.generation.chord_listener import ChordChances, ChordListener, nothing_known
from gigmate.generation.ears import can_hear
from gigmate.generation.note_taste import NoteTaste
from gigmate.generation.sampler import TopK, row_generators
from gigmate.generation.step_decoder import FREE, StepDecoder
from gigmate.model.conditions import AHEAD_FRAMES, FrameConditions, StepConditions, step_conditions
from gigmate.model.config import PatternConfig
from gigmate.model.lm import compress
from gigmate.model.pattern import Pattern, delay
from gigmate.music.band import compose, render_song
from gigmate.music.chords import frame_harmony
from gigmate.music.grid import BEAT_FEATURES
from gigmate.music.instruments import INSTRUMENTS
from gigmate.performance import hearing_gain

CPU = torch.device("cpu")
PATTERN: Pattern = delay(5)
DELAY = PATTERN.max_delay


def test_it_hears_the_features_that_mixes_have() -> None:
    assert (chord_ear.NUM_BANDS, chord_ear.NUM_BEAT_FEATURES) == (NUM_SEMITONE_BANDS, BEAT_FEATURES)
    config = tiny_player(1, writes_notes=True).model.config
    assert can_hear(config, Fraction(50))
    assert not can_hear(config, Fraction(75))
    assert not can_hear(replace(config, writes_notes=False), Fraction(50))
    assert not can_hear(replace(config, pattern=PatternConfig("flatten")), Fraction(50))


@pytest.fixture(scope="module")
def ear() -> ChordEar:
    torch.manual_seed(0)
    return ChordEar().eval()


@pytest.fixture(scope="module")
def listener(ear: ChordEar) -> ChordListener:
    return ChordListener(ear, DELAY, CPU)


def frames(rows: int, num_frames: int, lookahead: int = 0) -> FrameConditions:
    """Random mixes on random grids."""
    draws = torch.Generator().manual_seed(1)
    return FrameConditions(
        mix_power=0.01 * torch.rand(rows, NUM_FEATURES, num_frames, generator=draws),
        mix_present=torch.ones(rows, dtype=torch.bool),
        beats=torch.randn(rows, BEAT_FEATURES, num_frames, generator=draws),
        instrument=1 + torch.arange(rows) % 4,
        lookahead=torch.full((rows,), lookahead),
    )


def hear(listener: ChordListener, given: FrameConditions, num_steps: int) -> ChordChances:
    return listener.hear(nothing_known(given.batch, CPU), step_conditions(given, PATTERN, num_steps))[1]


def test_a_chord_is_the_same_in_all_keys(ear: ChordEar) -> None:
    levels = torch.rand(2, 6, NUM_SEMITONE_BANDS)
    beats, off = torch.randn(2, 6, BEAT_FEATURES), torch.zeros(2, 6)
    octaves = levels.unflatten(-1, (-1, 12))

    def said(by: int) -> tuple[Tensor, Tensor]:
        views = ear.views(octaves.roll(by, dims=-1).flatten(-2), beats, off)
        known, _ = ear.follow(views, torch.zeros(2, 12, ear.width))
        return ear(known, views)

    for in_its_key, moved in zip(said(0), said(5), strict=True):
        torch.testing.assert_close(moved, in_its_key.roll(5, dims=-1))
        assert not torch.allclose(moved, in_its_key)


@pytest.mark.parametrize("lookahead", [-25, 9])
def test_heard_as_it_goes_is_what_was_learnt_from_at_once(
    ear: ChordEar, listener: ChordListener, lookahead: int
) -> None:
    num_frames, off = 120, lookahead - DELAY
    given = frames(2, num_frames, lookahead)
    chances = hear(listener, given, num_frames)
    own = copy.deepcopy(ear).double()
    levels = compress(given.mix_power[:, -NUM_SEMITONE_BANDS:].mT, torch.ones(2, num_frames, dtype=torch.bool))
    levels, beats = levels[..., :-1].double(), given.beats.mT.double()
    first = max(0, off)  # the first frame that a step hears as the newest
    heard = torch.arange(first, num_frames, STRIDE)
    played = heard - off
    then = beats[:, played.clamp(max=num_frames - 1)] * (played < num_frames)[None, :, None]
    far = torch.full((2, 1), float(off), dtype=torch.float64)
    known, _ = own.follow(
        own.views(levels[:, heard], then, far.expand(2, len(heard))), torch.zeros(2, 12, ear.width).double()
    )
    for step in range(max(0, -off), num_frames - max(0, off), STRIDE):
        newest = step + off
        around = min(step + AHEAD_FRAMES, newest) if lookahead >= 0 else newest
        root, tones = own(known[:, (newest - first) // STRIDE], own.views(levels[:, around], beats[:, step], far[:, 0]))
        torch.testing.assert_close(chances.root[:, step], root.softmax(dim=-1))
        torch.testing.assert_close(chances.tones[:, step], tones.sigmoid())


def test_a_row_gets_the_same_whoever_else_plays(listener: ChordListener) -> None:
    given = frames(5, 30)
    together = hear(listener, given, 30)
    for row in range(5):
        alone = hear(listener, given.rows(slice(row, row + 1)), 30)
        assert torch.equal(alone.root[0].float(), together.root[row].float())
        assert torch.equal(alone.tones[0].float(), together.tones[row].float())


@pytest.mark.parametrize("lookahead", [-10, 0, 20])
def test_nothing_is_heard_of_what_lies_beyond_the_lookahead(listener: ChordListener, lookahead: int) -> None:
    given = frames(1, 80, lookahead)
    power = given.mix_power.clone()
    power[:, :, 40:] = power[:, :, 40:].flip(1)
    before, after = (hear(listener, each, 80) for each in (given, replace(given, mix_power=power)))
    known = 40 - lookahead + DELAY  # the step that hears frame 40 as its newest
    assert torch.equal(before.root[:, :known], after.root[:, :known])
    assert not torch.allclose(before.root[:, known + STRIDE], after.root[:, known + STRIDE])


def test_who_has_heard_nothing_says_so(listener: ChordListener) -> None:
    chances = hear(listener, frames(1, 60, -20), 60)
    assert chances.is_heard[0].tolist() == [False] * (20 + DELAY) + [True] * (40 - DELAY)
    unheard = replace(frames(1, 60), mix_present=torch.tensor([False]))
    assert not hear(listener, unheard, 60).is_heard.any()


def test_nobody_listens_for_drums(listener: ChordListener) -> None:
    given = frames(2, 60)
    mixed = replace(given, instrument=torch.tensor([0, 1]))
    chances = hear(listener, mixed, 60)
    assert not chances.is_heard[0].any()
    torch.testing.assert_close(chances.root[1], hear(listener, given, 60).root[1])
    drums = replace(given, instrument=torch.tensor([0, INSTRUMENTS.index("all")]))
    known, nothing = listener.hear(nothing_known(2, CPU), step_conditions(drums, PATTERN, 60))
    assert not known.any()
    assert not nothing.is_heard.any()


def test_a_long_song_is_heard_as_well_in_pieces(listener: ChordListener, monkeypatch: pytest.MonkeyPatch) -> None:
    given = frames(2, 70, 5)
    at_once = hear(listener, given, 70)
    monkeypatch.setattr(listening, "_BLOCK_STEPS", 16)
    for whole, in_pieces in zip(at_once, hear(listener, given, 70), strict=True):
        torch.testing.assert_close(in_pieces, whole)


def test_what_was_heard_goes_where_its_row_goes(ear: ChordEar) -> None:
    model = tiny_player(1, writes_notes=True).model
    player = StepDecoder(model, TopK(), batch=2, taste=NoteTaste(chord_strength=1.0, chord_ear=ear))
    pattern = model.config.build_pattern()
    given = step_conditions(frames(2, 12), pattern, 12)
    warmed = player.alone()
    steps = [play(model.config.num_streams, player, given.at(slice(step, step + 1))) for step in range(12)]
    play(model.config.num_streams, warmed, StepConditions(*(v[:1] for v in vars(given.at(slice(0, 1))).values())))
    known = player._ears.known[1].clone()
    assert known.any(dim=1).all()
    assert torch.equal(player.fork()._ears.known[1], known)
    player.select(torch.tensor([1, 0]))
    assert torch.equal(player._ears.known[1], known.flip(0))
    player.reset(torch.tensor([False, True]))
    assert torch.equal(player._ears.known[1][0], known[1])
    assert not player._ears.known[1][1].any()
    player.adopt(1, warmed)  # who has warmed up to a song hears another now
    assert not player._ears.known[1][1].any()
    past = StepDecoder(model, TopK(), batch=2, taste=NoteTaste(chord_strength=1.0, chord_ear=ear))
    past.prefill(torch.stack(steps, dim=2), given)
    torch.testing.assert_close(past._ears.known[1], known, rtol=1e-12, atol=1e-12)


def play(num_streams: int, player: StepDecoder, call: StepConditions) -> Tensor:
    plan = torch.full((call.batch, num_streams), FREE)
    return player.step(plan, call, row_generators(5, call.batch))


def test_the_ear_that_ships_hears_the_chords_of_the_band() -> None:
    features, found, other = MixFeatures(24_000, 480), [], []
    for seed in range(5_000_000, 5_000_004):
        song = compose(seed, 30.0)
        mix = np.sum([wave for name, wave in render_song(song, 24_000).items() if name != "keys"], axis=0)
        mix = torch.from_numpy((mix * hearing_gain(mix[None])).astype(np.float32))[None, None, : 20 * 24_000]
        power = features.analyse(mix)
        beats = torch.from_numpy(song.grid.features(power.shape[2], 50.0))[None]
        given = FrameConditions(power, torch.tensor([True]), beats, torch.tensor([2]), torch.tensor([50]))
        chances = hear(ChordListener(shipped_chord_ear(), DELAY, CPU), given, power.shape[2])
        root, _ = frame_harmony(song.chords, power.shape[2] + LEAD_FRAMES, Fraction(50))
        root = root[LEAD_FRAMES:]
        said, is_known = chances.root[0].argmax(dim=-1).numpy(), root >= 0
        found.append((said == root)[is_known][50:].mean())
        other.append((np.roll(said, 397) == root)[is_known][50:].mean())
    assert np.mean(found) > 0.75
    assert np.mean(other) < 0.5
