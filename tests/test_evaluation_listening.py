"""The blind test hides what it should and counts what it should."""

import numpy as np
import pytest

from gigmate.evaluation.listening import BlindPair, ListeningTest, mixed

SONG, STEM, OTHER = (np.full(8, value, np.float32) for value in (0.1, 0.2, 0.3))


def pair(seed: int) -> BlindPair:
    return BlindPair(SONG, STEM, OTHER, seed)


def test_the_answer_names_the_one_with_the_stem_and_both_orders_occur():
    for seed in range(20):
        fitting = getattr(pair(seed), pair(seed).answer)
        assert fitting == pytest.approx(SONG + STEM)
    assert {pair(seed).answer for seed in range(20)} == {"a", "b"}
    assert "swapped" not in repr(pair(0))


def test_the_result_counts_right_guesses_and_says_what_chance_would_do():
    test = ListeningTest()
    assert test.result() == "no guesses yet"
    for seed in range(8):
        test.guess(pair(seed), pair(seed).answer)
    assert test.result() == "8 of 8 right; a coin does as well with probability 0.00"
    test.guess(pair(9), "b" if pair(9).answer == "a" else "a")
    assert test.result().startswith("8 of 9 right")
    with pytest.raises(ValueError, match="must be 'a' or 'b'"):
        test.guess(pair(0), "c")


def test_a_mix_never_clips_and_is_as_long_as_the_song():
    loud = mixed(np.full(10, 0.9, np.float32), np.full(4, 0.9, np.float32))
    assert len(loud) == 10
    assert np.abs(loud).max() <= 0.99 + 1e-6
