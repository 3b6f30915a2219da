"""The network that hears beats: as it was trained in torch, for any length, and right about a plain band."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_music_tracker import RATE, band

sys.path.append(str(Path(__file__).parents[1]))  # experiments are no part of the package

from experiments.fit_beat_net import BeatNet
from gigmate.music.beat_net import STRIDE, beat_logits, hear_beats
from gigmate.music.grid import BeatGrid
from gigmate.music.onsets import Heard, hear_all


def heard(num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.exponential(1.0, (40, num_frames)).astype("f4"), rng.exponential(0.01, (12, num_frames)).astype("f4")


def test_it_is_the_network_that_torch_trains():
    torch.manual_seed(0)
    net = BeatNet(width=8, num_blocks=3)
    levels, chroma = heard(400)
    batch = torch.from_numpy(levels)[None], torch.from_numpy(chroma)[None]
    for _ in range(3):  # the normalisation learns what is usual
        net(*batch)
    with torch.no_grad():
        expected = net.eval()(*batch)[0].numpy()
    np.testing.assert_allclose(beat_logits(net.weights(), levels, chroma), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 301])
def test_every_frame_is_judged(num_frames: int):
    logits = hear_beats(*heard(num_frames))
    assert logits.shape == (2, num_frames)
    assert np.isfinite(logits).all()
    assert np.array_equal(logits[:, : num_frames - 1 : STRIDE], logits[:, 1::STRIDE])


def plain_band() -> tuple[Heard, BeatGrid]:
    truth = BeatGrid.from_tempo(104.0, 4, 24.0, offset_s=0.3)
    return hear_all(band(truth.beat_times_s, 4), RATE), truth


@pytest.mark.parametrize("gain", [0.05, 1.0])
def test_it_hears_the_beats_and_the_bars_of_a_plain_band_loud_or_soft(gain: float):
    loud, truth = plain_band()
    levels = np.log1p(gain * np.expm1(loud.levels))
    is_beat, is_downbeat = hear_beats(levels, gain * loud.chroma)
    inside = truth.beat_times_s[(truth.beat_times_s > 3) & (truth.beat_times_s < 21)]
    frames = np.round(inside * loud.frame_rate).astype(int)
    off_beats = frames + round(0.5 * 60 / 104.0 * loud.frame_rate)
    assert is_beat[frames].mean() > is_beat[off_beats].mean() + 3
    opens = np.isin(inside, truth.beat_times_s[truth.downbeats])
    assert is_downbeat[frames[opens]].mean() > is_downbeat[frames[~opens]].mean() + 1
