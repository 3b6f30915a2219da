"""Joint figures on constructed joints."""

import numpy as np
import pytest

from gigmate.evaluation.joint import level_jump_db, phase_step_s, spectral_jump
from gigmate.music.grid import BeatGrid

RATE = 24_000
JOINT = 10 * RATE


def pulses(late_after_joint_s: float = 0.0) -> np.ndarray:
    wave = np.zeros(20 * RATE, np.float32)
    burst = (np.random.default_rng(0).normal(size=1200) * np.exp(-np.arange(1200) / 200) * 0.3).astype(np.float32)
    for beat in range(38):
        time = beat * 0.5 + (late_after_joint_s if beat >= 20 else 0.0)
        wave[round(time * RATE) : round(time * RATE) + 1200] += burst
    return wave


def test_level_jump_is_the_ratio_of_both_sides():
    wave = np.random.default_rng(0).normal(size=20 * RATE).astype(np.float32) * 0.1
    wave[JOINT:] *= 2
    assert level_jump_db(wave, JOINT, RATE) == pytest.approx(6.02, abs=0.2)


def test_spectral_jump_sees_another_timbre_but_not_another_level():
    noise = np.random.default_rng(0).normal(size=20 * RATE).astype(np.float32) * 0.1
    louder, duller = noise.copy(), noise.copy()
    louder[JOINT:] *= 3
    duller[JOINT:] = np.convolve(noise, np.ones(16) / 16, mode="same")[JOINT:]
    assert spectral_jump(louder, JOINT, RATE) == pytest.approx(spectral_jump(noise, JOINT, RATE), abs=0.05)
    assert spectral_jump(duller, JOINT, RATE) > 4 * spectral_jump(noise, JOINT, RATE)


@pytest.mark.parametrize("late_s", [0.0, 0.03, -0.03])
def test_phase_step_is_how_late_the_beats_come_after_the_joint(late_s: float):
    grid = BeatGrid.from_tempo(120, 4, 10)
    assert phase_step_s(pulses(late_s), JOINT, grid, RATE) == pytest.approx(late_s, abs=0.006)
