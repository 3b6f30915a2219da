"""Notes begin near quarters and thirds of a beat, or are less likely; everything else is left alone."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from gigmate.generation.beat_bias import SPREAD_S, BeatBias
from gigmate.generation.note_taste import NoteTaste
from gigmate.model.conditions import StepConditions
from gigmate.music.grid import BeatGrid
from gigmate.pitch import FIRST_MELODY, NUM_NOTE_CODES, REST, read_note_code

V, RATE = 1024, Fraction(50)
STRUCK, HELD, KICK = FIRST_MELODY + 1, FIRST_MELODY, 1


def conditions(beats: np.ndarray) -> StepConditions:
    """A step for each column of beat features [G, n], as rows."""
    rows = torch.from_numpy(beats.T.copy())[:, None]
    n = len(rows)
    return StepConditions(
        torch.zeros(n, 1, 3, 8),
        torch.ones(n, 1, 3, dtype=torch.bool),
        rows,
        torch.zeros(n).long(),
        torch.zeros(n).long(),
    )


def gains(grid: BeatGrid, num_frames: int, strength: float = 1.0) -> torch.Tensor:
    """What a struck note gains in each step, [num_frames]."""
    bias = BeatBias(V, NoteTaste(beat_strength=strength, frame_rate=float(RATE)), torch.device("cpu"))
    logits = torch.randn(num_frames, V, generator=torch.Generator().manual_seed(0))
    return (bias.weigh(logits, conditions(grid.features(num_frames, RATE))) - logits)[:, STRUCK]


@pytest.mark.parametrize("bpm", [70.0, 100.0, 150.0])
def test_the_gain_is_the_bell_around_the_nearest_quarter_or_third_of_a_beat(bpm: float) -> None:
    """Written a frame ahead: the gain of step n is that of a note in frame n + 1, measured from its middle."""
    found = gains(BeatGrid.from_tempo(bpm, 4, 20.0, offset_s=0.13), 200)
    for step in range(0, 200, 7):
        beat = ((step + 1.5) / 50 - 0.13) * bpm / 60
        away_s = min(abs(beat - k / parts) for parts in (3, 4) for k in range(-20, 400)) * 60 / bpm
        expected = np.log(np.exp(-0.5 * (away_s / SPREAD_S) ** 2) + 0.02)
        assert float(found[step]) == pytest.approx(expected, abs=2e-2)


def test_strength_scales_the_gain_and_no_grid_means_no_gain() -> None:
    grid = BeatGrid.from_tempo(100, 4, 20.0)
    torch.testing.assert_close(gains(grid, 50, 2.0), 2 * gains(grid, 50), rtol=1e-4, atol=1e-5)
    bias, logits = BeatBias(V, NoteTaste(beat_strength=1.0), torch.device("cpu")), torch.randn(3, V)
    assert torch.equal(bias.weigh(logits, conditions(np.zeros((10, 3), np.float32))), logits)


def test_only_notes_that_begin_are_weighed() -> None:
    bias, logits = BeatBias(V, NoteTaste(beat_strength=1.0), torch.device("cpu")), torch.zeros(40, V)
    weighed = bias.weigh(logits, conditions(BeatGrid.from_tempo(100, 4, 20.0).features(40, RATE)))
    begins = torch.tensor([code < NUM_NOTE_CODES and read_note_code(code).begins for code in range(V)])
    assert not weighed[:, ~begins].any()
    assert (weighed[:, begins].min(dim=1).values == weighed[:, begins].max(dim=1).values).all()
    assert begins[[STRUCK, KICK]].all()
    assert not begins[[HELD, REST]].any()
