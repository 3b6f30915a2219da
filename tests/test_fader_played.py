"""Who plays has a fader: offline, in the tables and live, to the sample the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from live_players import GRID, HOP, Part, calls, noise, play_together, tiny_player

from gigmate.accompanist import Accompanist, instrument_ids
from gigmate.codec.chunks import decode_song
from gigmate.continuation import continue_song
from gigmate.evaluation.adherence.pairs import Pair
from gigmate.evaluation.adherence.playing import PlayingStyle, play_pairs
from gigmate.fader import Fader, Mono, extremes_db, ride
from gigmate.live.engine import Engine
from gigmate.live.frames import SlotSettings
from gigmate.model.conditions import FrameConditions
from gigmate.performance import Take, hearing_gain

RATE, L = 24_000, -6
DRUMS = SlotSettings("drums", L, seed=3)
SONG = noise(150).reshape(1, -1) / 8
"""Three seconds, much softer than it is heard."""


@pytest.fixture(scope="module")
def player() -> Accompanist:
    return tiny_player(1)


@pytest.mark.parametrize("louder_db", [0.0, 6.0])
def test_offline_the_stem_is_faded_at_the_level_at_which_the_song_is_heard(
    player: Accompanist, louder_db: float
) -> None:
    takes = [Take(fader=fader, louder_db=louder_db, num_candidates=1) for fader in (False, True)]
    plain, faded = (player.accompany(SONG, RATE, take, grid=GRID) for take in takes)
    gains = ride(plain.stem[0] * np.float32(hearing_gain(SONG)), player.codec.spec, "drums", louder_db)
    assert hearing_gain(SONG) > 3
    assert np.array_equal(plain.codes, faded.codes)
    assert faded.stem[0] == pytest.approx(plain.stem[0] * gains, rel=1e-4)
    assert faded.mix == pytest.approx(SONG + faded.stem, abs=1e-6)
    assert (plain.report["fader_db"], faded.report["fader_db"]) == (None, extremes_db(gains))
    assert np.ptp(extremes_db(gains)) > 1


def test_who_goes_on_with_a_stem_or_plays_everything_is_left_alone(player: Accompanist) -> None:
    stem, heard = SONG[:, :RATE], {}
    for fader in (False, True):
        onwards = continue_song(player, SONG, RATE, Take(fader=fader), grid=GRID, seconds=2.0, stem=stem)
        everything = player.accompany(SONG, RATE, Take("all", fader=fader), grid=GRID)
        heard[fader] = np.concatenate([onwards.stem, everything.stem], axis=1)
        assert onwards.report["fader_db"] is None
        assert everything.report["fader_db"] == ([0.0, 0.0] if fader else None)
    assert np.array_equal(heard[False], heard[True])


@pytest.mark.parametrize("lookahead_s", [1.0, -0.5])
def test_stems_of_the_tables_are_faded_each_by_its_player(player: Accompanist, lookahead_s: float) -> None:
    pairs = [Pair("song", "group", name, RATE, SONG[0], None, GRID) for name in ("bass", "keys")]
    plain, faded = (
        play_pairs(player, pairs, lookahead_s, PlayingStyle("known", num_candidates=1, fader=fader))
        for fader in (False, True)
    )
    for pair, own, turned in zip(pairs, plain, faded, strict=True):
        gains = ride(own * np.float32(hearing_gain(SONG)), player.codec.spec, pair.instrument)
        assert turned == pytest.approx(own * gains, rel=1e-4)
        assert np.ptp(extremes_db(gains)) > 1


def offline(player: Accompanist, codes: np.ndarray, instrument: str) -> Mono:
    """[N], what the codes [K, T] sound like offline."""
    wave = decode_song(player.codec, torch.from_numpy(codes)[None])[0, 0].numpy()
    return wave * ride(wave, player.codec.spec, instrument)


def test_live_sounds_as_offline(player: Accompanist) -> None:
    """Each slot of a batch with the fader of its own player."""
    engine, late = Engine(player, 3), player.codec.spec.latency_samples
    parts = [Part(engine, replace(DRUMS, instrument=name)) for name in ("drums", "keys", "other")]
    play_together(parts, [calls(noise(150, seed), L) for seed in range(3)])
    for part in parts:
        same = offline(player, part.codes, part.settings.instrument)
        assert part.wave[late:] == pytest.approx(same[: len(part.wave) - late], abs=1e-5)


def test_live_as_offline_the_song_is_heard_to_want_a_level() -> None:
    """Who writes notes hears the manner of the song: it counts in the fader, too, and there for the same frames."""
    player = tiny_player(1, writes_notes=True)
    late = player.codec.spec.latency_samples
    gain = np.float32(hearing_gain(SONG))
    part = Part(Engine(player, 1), DRUMS).play(*calls((SONG * gain).reshape(-1, HOP), L))
    take = Take("drums", lookahead_s=L / 50, seed=DRUMS.seed, num_candidates=1)
    same, deaf = (
        player.accompany(SONG, RATE, replace(take, taste=replace(take.taste, manner=manner)), grid=GRID)
        for manner in (1.0, 0.0)
    )
    num_frames = same.codes.shape[1] - 5  # the last steps of a song have nothing more to hear
    assert np.array_equal(part.codes[:, :num_frames], same.codes[:, :num_frames])
    wave = part.wave[late:][: (num_frames - 2) * HOP]
    assert wave == pytest.approx(same.stem[0, : len(wave)] * gain, rel=1e-4, abs=1e-6)
    assert not np.allclose(same.report["fader_db"], deaf.report["fader_db"], atol=0.5)


def test_who_plays_ahead_of_a_song_is_turned_up_once_for_all_of_it() -> None:
    """To what is wanted in the middle of all that an ear says on the way."""
    player = tiny_player(1, writes_notes=True)
    power = player.hear(torch.from_numpy(SONG * np.float32(hearing_gain(SONG)))[None])
    lookaheads, num_frames = torch.tensor([0, 50, -1, -25]), power.shape[1]
    conditions = FrameConditions(
        mix_power=power.expand(4, -1, -1),
        mix_present=torch.ones(4, dtype=torch.bool),
        beats=torch.from_numpy(GRID.features(num_frames, 50)).expand(4, -1, -1),
        instrument=instrument_ids(["drums"] * 4),
        lookahead=lookaheads,
    )
    *ahead, on_the_way, live = player.wanted_db(conditions, num_frames, Take().taste)
    assert np.ptp(ahead, axis=1).tolist() == [0.0, 0.0]
    assert min(np.ptp(on_the_way), np.ptp(live)) > 0.1
    for once in ahead:
        assert on_the_way.min() < once[0] < on_the_way.max()


def test_a_slot_forgets_and_waits(player: Accompanist) -> None:
    """One that is opened anew has a new fader; one that isn't due keeps its own."""
    requests = list(calls(noise(150), L))
    alone = Part(Engine(player, 2), DRUMS).play(*requests)
    engine = Engine(player, 2)
    engine.close(Part(engine, DRUMS).play(*requests).slot)
    part, other = Part(engine, DRUMS), Part(engine, replace(DRUMS, instrument="keys"))
    part.play(*requests[:80])
    other.play(*requests[:40])
    part.play(*requests[80:])
    assert np.array_equal(part.codes, alone.codes)
    assert part.wave == pytest.approx(alone.wave, abs=1e-5)


def test_a_slot_whose_player_changes_has_another_fader_from_then_on(player: Accompanist) -> None:
    engine, requests = Engine(player, 1), list(calls(noise(150), L))
    part = Part(engine, DRUMS).play(*requests[:60])
    engine.set(part.slot, replace(DRUMS, density=0.5))  # the player is the same
    part.play(*requests[60:90])
    engine.set(part.slot, replace(DRUMS, instrument="keys"))
    num_before = len(part.wave)
    part.play(*requests[90:])
    fader, late = Fader(player.codec.spec, "drums"), player.codec.spec.latency_samples
    wave = decode_song(player.codec, torch.from_numpy(part.codes)[None])[0, 0].numpy()
    stream = np.pad(wave, (late, 0))[: len(part.wave)]
    before = fader.ride(stream[:num_before])
    fader.take_up("keys")
    gains = np.concatenate([before, fader.ride(stream[num_before:])])
    assert part.wave[late:] == pytest.approx((stream * gains)[late:], abs=1e-5)
    assert len(part.wave) % HOP == 0
