"""Wave in, stem wave out, on a tiny random model: lengths, rates, levels, seeds, refusals."""

import numpy as np
import pytest
import torch
from test_codec_compact import SMALL

from gigmate.accompanist import Accompanist
from gigmate.codec.compact import CompactCodec
from gigmate.continuation import continue_song
from gigmate.errors import InputError, UsageError
from gigmate.model.config import ModelConfig
from gigmate.model.lm import AccompanimentLM
from gigmate.music.grid import BeatGrid
from gigmate.performance import Take

RATE = 44_100


@pytest.fixture(scope="module")
def player() -> Accompanist:
    torch.manual_seed(0)
    codec = CompactCodec(SMALL).eval()
    codec.quantizer.vectors.copy_(torch.randn_like(codec.quantizer.vectors) * 0.3)
    model = AccompanimentLM(ModelConfig(dim=32, num_layers=1, num_heads=2, codebook_size=64, window=64))
    return Accompanist(model, codec)


def song(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(2, round(seconds * RATE)))
    return (0.1 * noise).astype(np.float32)


GRID = BeatGrid.from_tempo(120, 4, 2)


def test_stem_and_mix_have_the_songs_shape_and_the_mix_never_clips(player):
    played = player.accompany(20 * song(), RATE, Take(), grid=GRID)
    assert played.stem.shape == played.mix.shape == song().shape
    assert np.abs(played.mix).max() <= 0.99 + 1e-6
    assert played.report["seconds"] == 2
    assert played.codes.shape == (4, 100)


@pytest.mark.parametrize("seconds", [0.5, 3.25])
def test_seconds_decides_the_length_whatever_the_song_has(player, seconds):
    played = player.accompany(song(), RATE, Take(), grid=None, seconds=seconds)
    assert played.stem.shape == (2, round(seconds * RATE))


def test_same_seed_same_stem_and_another_seed_another(player):
    one, same, other = (
        player.accompany(song(), RATE, Take(seed=seed), grid=GRID, seconds=0.5).codes for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_softer_song_gets_the_same_stem_softer(player):
    loud = player.accompany(song(), RATE, Take(), grid=GRID)
    soft = player.accompany(song() / 4, RATE, Take(), grid=GRID)
    assert (loud.codes == soft.codes).mean() > 0.95  # rounding may turn a draw
    ratio = np.sqrt(np.mean(np.square(loud.stem)) / np.mean(np.square(soft.stem)))
    assert ratio == pytest.approx(4, rel=0.05)


def test_song_grid_instrument_and_lookahead_all_matter(player):
    def codes(wave=None, take=None, grid=GRID):
        return player.accompany(song() if wave is None else wave, RATE, take or Take(), grid=grid).codes

    base = codes()
    assert not np.array_equal(base, codes(wave=song(seed=5)))
    assert not np.array_equal(base, codes(grid=GRID.shift(0.2)))
    assert not np.array_equal(base, codes(take=Take("bass")))
    assert not np.array_equal(base, codes(take=Take(lookahead_s=-0.5)))


def test_silence_and_a_moment_are_songs_too(player):
    assert player.accompany(np.zeros((1, RATE), np.float32), RATE, Take(), grid=None).stem.shape == (1, RATE)
    assert player.accompany(song(0.001), RATE, Take(), grid=None).stem.shape == (2, 44)


def test_bfloat16_plays_too():
    torch.manual_seed(0)
    model = AccompanimentLM(ModelConfig(dim=32, num_layers=1, num_heads=2, codebook_size=64, window=64))
    player = Accompanist(model, CompactCodec(SMALL).eval(), torch.bfloat16)
    assert player.accompany(song(0.5), RATE, Take(), grid=GRID).codes.shape == (4, 25)


def test_what_the_model_does_not_know_is_refused(player):
    with pytest.raises(UsageError, match="choose one of drums, bass"):
        player.accompany(song(), RATE, Take("kazoo"), grid=None)
    with pytest.raises(UsageError, match=r"trained for -1\.0\.\.1\.0 s"):
        player.accompany(song(), RATE, Take(lookahead_s=2.0), grid=None)


def test_a_continuation_keeps_the_song_and_adds_its_seconds(player):
    past = song()
    played = continue_song(player, past, RATE, Take("all"), grid=GRID, seconds=1.5)
    fade = round(0.04 * RATE)
    kept = past[:, : past.shape[1] - fade] * 10 ** (-played.report["mix_turned_down_db"] / 20)
    assert played.mix.shape == (2, round(3.5 * RATE))
    assert played.stem.shape == (2, round(1.5 * RATE))
    assert played.mix[:, : kept.shape[1]] == pytest.approx(kept, abs=1e-3)


def test_a_continuation_hears_its_past(player):
    pasts = [song(seed=seed) for seed in (0, 1)]
    played = [continue_song(player, past, RATE, Take("all"), grid=None, seconds=1) for past in pasts]
    one, other = (performance.codes[:, -50:] for performance in played)
    assert not np.array_equal(one, other)


def test_a_stem_is_continued_to_the_song(player):
    stem = song(1.0, seed=3)
    played = continue_song(player, song(), RATE, Take("drums"), grid=GRID, seconds=1.0, stem=stem)
    assert played.stem.shape == (2, RATE)
    assert played.mix.shape == (2, 2 * RATE)
    another = continue_song(player, song(seed=9), RATE, Take("drums"), grid=GRID, seconds=1.0, stem=stem)
    assert not np.array_equal(played.codes[:, 50:], another.codes[:, 50:])


def test_a_past_without_a_whole_frame_is_refused(player):
    with pytest.raises(InputError, match="a frame needs 480"):
        continue_song(player, song(0.001), RATE, Take("all"), grid=None, seconds=1)
