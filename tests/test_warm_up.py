"""Warm-ups: a past that isn't heard, the same live and offline."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from live_players import tiny_player
from torch import Tensor

from gigmate.accompanist import Accompanist
from gigmate.errors import UsageError
from gigmate.generation.offline import generate
from gigmate.generation.sampler import TopK
from gigmate.generation.warm_up import WarmUp
from gigmate.model.conditions import FrameConditions
from gigmate.model.streams import codes_of
from gigmate.music.instruments import INSTRUMENTS
from gigmate.performance import Take
from gigmate.pitch import read_note_code
from gigmate.rehearsal import USUAL_DB, level_db, rehearse
from gigmate.stopwatch import Stopwatch

NUM_FRAMES, NUM_PAST = 40, 30


@pytest.fixture(scope="module")
def player() -> Accompanist:
    return tiny_player(1, writes_notes=True)


def unheard(player: Accompanist, rows: int, num_frames: int, seed: int) -> FrameConditions:
    """Conditions of beats alone: what is heard of a mix would reach from the past into the song."""
    config, draws = player.model.config, torch.Generator().manual_seed(seed)
    return FrameConditions(
        mix_power=torch.zeros(rows, config.mix_features, 0),
        mix_present=torch.zeros(rows, dtype=torch.bool),
        beats=torch.randn(rows, config.beat_features, num_frames, generator=draws),
        instrument=torch.zeros(rows, dtype=torch.int64),
        lookahead=torch.zeros(rows, dtype=torch.int64),
    )


def some_warm_up(player: Accompanist, seed: int) -> WarmUp:
    config, draws = player.model.config, torch.Generator().manual_seed(seed)
    streams = torch.randint(0, 250, (1, config.num_streams, NUM_PAST), generator=draws)
    return WarmUp(streams, unheard(player, 1, NUM_PAST, seed))


def play(player: Accompanist, conditions: FrameConditions, *warm_ups: WarmUp | None) -> Tensor:
    made = generate(player.model, conditions, NUM_FRAMES, TopK(50), seed=3, guidance_scale=2.0, warm_ups=warm_ups)
    return codes_of(made, player.model.config)


def test_who_has_warmed_up_goes_on_as_if_the_warm_up_were_the_pieces_beginning(player: Accompanist) -> None:
    song, warm_up = unheard(player, 1, NUM_FRAMES, 1), some_warm_up(player, 2)
    whole = replace(song, beats=torch.cat((warm_up.conditions.beats, song.beats), dim=2))
    total = NUM_PAST + NUM_FRAMES
    wanted = generate(player.model, whole, total, TopK(50), seed=3, guidance_scale=2.0, prompt=warm_up.streams)
    assert torch.equal(play(player, song, warm_up), codes_of(wanted, player.model.config)[:, :, NUM_PAST:])
    assert not torch.equal(play(player, song, None), play(player, song, warm_up))


def test_every_row_has_a_warm_up_of_its_own_or_none(player: Accompanist) -> None:
    songs, warm_ups = unheard(player, 3, NUM_FRAMES, 1), [some_warm_up(player, 2), None, some_warm_up(player, 4)]
    together = play(player, songs, *warm_ups)
    alone = play(player, songs.rows(slice(0, 1)), warm_ups[0])
    assert torch.equal(together[:1], alone)  # the first row draws alike
    swapped = play(player, songs, warm_ups[0], None, warm_ups[0])
    assert torch.equal(swapped[:2], together[:2])
    assert not torch.equal(swapped[2], together[2])


def test_a_warm_up_and_a_past_of_its_own_are_one_too_many(player: Accompanist) -> None:
    warm_up = some_warm_up(player, 2)
    with pytest.raises(ValueError, match="1 warm-ups for 1 rows and a prompt of 30 frames"):
        generate(player.model, unheard(player, 1, 60, 1), 60, TopK(), prompt=warm_up.streams, warm_ups=[warm_up])


@pytest.mark.parametrize("instrument", sorted(USUAL_DB))
def test_the_band_plays_in_the_warm_up_at_the_level_that_is_usual(
    player: Accompanist, instrument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Tensor] = []
    encode = player.codec.encode
    monkeypatch.setattr(player.codec, "encode", lambda wave: heard.append(wave) or encode(wave))
    for louder_db in (0.0, 6.0):
        made = rehearse(player.codec, player.features, player.model.config, instrument, louder_db)
        assert made is not None
        assert made.streams.shape == (1, 5, 100)
        assert made.conditions.mix_power.shape[2] == made.conditions.beats.shape[2] == 100
        level = level_db(player.features.analyse(heard[-1][:, :, 144_000 - 9_600 : 192_000])[:, :, 20:])
        assert level == pytest.approx(USUAL_DB[instrument] + louder_db, abs=0.6)
        played = [read_note_code(code) for code in made.streams[0, 0].tolist()]
        assert sum(note.begins for note in played) >= 2
        assert made.conditions.instrument.item() == INSTRUMENTS.index(instrument)


def test_what_the_band_does_not_play_begins_from_nothing(player: Accompanist) -> None:
    assert player.warm_up("all") is None
    assert player.warm_up("drums") is player.warm_up("drums")  # rehearsed once
    assert player.warm_up("drums", 6.0) is not player.warm_up("drums")


@pytest.mark.parametrize("goes_on", [True, False])
def test_louder_is_refused_where_there_is_no_warm_up(player: Accompanist, goes_on: bool) -> None:
    take = Take("drums" if goes_on else "other", louder_db=3.0)
    prompt = torch.zeros(1, 4, 10, dtype=torch.int64) if goes_on else None
    with pytest.raises(UsageError, match="louder_db is 3"):
        player.play(20, take, Stopwatch(), power=None, grid=None, prompt=prompt)


def test_louder_is_another_take(player: Accompanist) -> None:
    song = (0.1 * np.random.default_rng(0).normal(size=(1, 24_000))).astype(np.float32)
    one, other = (player.accompany(song, 24_000, take, grid=None).codes for take in (Take(), Take(louder_db=12.0)))
    assert not np.array_equal(one, other)
