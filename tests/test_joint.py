"""The joint of a continuation: nothing lost, no gap, no step."""

import numpy as np
import pytest

from gigmate.joint import join, level_match

RATE = 24_000


def sine(start: int, stop: int, gain: float = 1.0) -> np.ndarray:
    t = np.arange(start, stop) / RATE
    return (gain * 0.2 * np.sin(2 * np.pi * 110 * t))[None].astype(np.float32)


def test_a_perfect_copy_joins_without_a_trace():
    joined = join(sine(0, 2 * RATE), sine(RATE, 4 * RATE), RATE, RATE)
    assert joined == pytest.approx(sine(0, 4 * RATE), abs=1e-6)


def test_the_past_is_kept_but_for_the_crossfade():
    past = np.random.default_rng(0).normal(size=(2, RATE)).astype(np.float32)
    decoded = np.zeros((2, RATE), np.float32)
    joined = join(past, decoded, RATE // 2, RATE)
    fade = round(0.04 * RATE)
    assert np.array_equal(joined[:, : RATE - fade], past[:, : RATE - fade])
    assert not joined[:, RATE:].any()
    assert joined.shape == (2, RATE // 2 + RATE)


@pytest.mark.parametrize("gain_db", [-5.0, 5.0])
def test_a_copy_of_another_level_is_brought_to_that_of_the_past(gain_db: float):
    copy = sine(RATE, 4 * RATE, 10 ** (gain_db / 20))
    assert join(sine(0, 2 * RATE), copy, RATE, RATE) == pytest.approx(sine(0, 4 * RATE), abs=1e-4)


def test_the_level_is_never_changed_by_more_than_6_db_and_silence_not_at_all():
    assert level_match(sine(0, RATE), sine(0, RATE, 0.01), RATE) == pytest.approx(10 ** (6 / 20))
    assert level_match(sine(0, RATE), np.zeros((1, RATE), np.float32), RATE) == 1
    assert level_match(np.zeros((1, RATE), np.float32), sine(0, RATE), RATE) == 1


def test_a_copy_that_does_not_hold_the_end_is_refused():
    with pytest.raises(ValueError, match="must hold the end"):
        join(sine(0, RATE), sine(0, 100), 200, RATE)


def test_a_past_shorter_than_the_crossfade_still_joins():
    joined = join(sine(0, 10), sine(0, RATE), 0, RATE)
    assert joined.shape == (1, RATE)
    assert np.isfinite(joined).all()
