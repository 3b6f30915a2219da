"""Laws of the beat grid: phases on the beats, past the ends and under shift; features; the file format."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from gigmate.errors import InputError
from gigmate.music.grid import BEAT_FEATURES, BeatGrid
from gigmate.music.instruments import INSTRUMENTS, instrument_of

UNEVEN = BeatGrid(
    np.array([0.3, 0.8, 1.4, 1.9, 2.5, 3.0, 3.4, 4.0, 4.6]),
    np.array([0, 0, 1, 0, 0, 1, 0, 0, 1], dtype=bool),
    beats_per_bar=3,
    confidence=0.5,
)


def test_beats_have_whole_phases_counted_from_the_first_downbeat():
    np.testing.assert_allclose(UNEVEN.beat_phase(UNEVEN.beat_times_s), np.arange(9) - 2, atol=1e-12)
    np.testing.assert_allclose(UNEVEN.bar_phase(UNEVEN.beat_times_s[UNEVEN.downbeats]), [0, 1, 2], atol=1e-12)


def test_bar_phase_follows_bars_of_unlike_length():
    meter_change = BeatGrid(np.arange(8.0), np.array([1, 0, 0, 0, 1, 0, 0, 1], dtype=bool), beats_per_bar=4)
    np.testing.assert_allclose(meter_change.bar_phase([2.0, 5.5, 7.0, 9.0, -1.0]), [0.5, 1.5, 2, 2.5, -0.25])


def test_phases_increase_strictly_and_agree_with_a_loop():
    times = np.linspace(-5, 10, 1501)
    for phase in (UNEVEN.beat_phase(times), UNEVEN.bar_phase(times)):
        assert (np.diff(phase) > 0).all()
    beats = UNEVEN.beat_times_s
    for time in np.linspace(0.3, 4.599, 50):
        i = max(j for j in range(len(beats)) if beats[j] <= time)
        expected = i + (time - beats[i]) / (beats[i + 1] - beats[i]) - 2
        assert UNEVEN.beat_phase(time) == pytest.approx(expected, abs=1e-12)


def test_past_the_ends_the_tempo_of_the_nearest_beats_goes_on():
    first, last = (2.5 - 0.3) / 4, (4.6 - 2.5) / 4
    np.testing.assert_allclose(UNEVEN.beat_phase([0.3 - first, 4.6 + 10 * last]), [-3, 16], atol=1e-9)
    np.testing.assert_allclose(UNEVEN.tempo_bpm([-9.0, 0.5, 99.0]), [60 / first, 120, 60 / last])


@pytest.mark.parametrize(("bpm", "beats_per_bar", "offset_s"), [(60, 4, 0.0), (93.7, 3, 0.41), (200, 4, -1.0)])
def test_a_steady_grid_is_a_straight_line_at_any_time(bpm: float, beats_per_bar: int, offset_s: float):
    grid = BeatGrid.from_tempo(bpm, beats_per_bar, 30.0, offset_s)
    times = np.linspace(-100, 1000, 777)
    np.testing.assert_allclose(grid.beat_phase(times), (times - offset_s) * bpm / 60, atol=1e-6)
    np.testing.assert_allclose(grid.bar_phase(times) * beats_per_bar, grid.beat_phase(times), atol=1e-9)
    np.testing.assert_allclose(grid.tempo_bpm(times), bpm)
    period_s = 60 / bpm
    assert 30.0 - period_s < grid.beat_times_s[-1] <= 30.0 + 1e-9


def test_a_steady_grid_shorter_than_a_beat_still_has_two():
    assert len(BeatGrid.from_tempo(60, 4, 0.1).beat_times_s) == 2


def test_shift_moves_every_phase():
    times = np.linspace(-3, 9, 101)
    np.testing.assert_allclose(UNEVEN.shift(1.25).bar_phase(times + 1.25), UNEVEN.bar_phase(times), atol=1e-9)


def test_features_repeat_with_the_bar_and_are_never_all_zero():
    grid = BeatGrid.from_tempo(120, 4, 8.0)
    features = grid.features(400, Fraction(50))
    assert features.shape == (BEAT_FEATURES, 400)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[:, :100], features[:, 100:200], atol=1e-5)  # a bar is 2 s: 100 frames
    assert np.abs(features).max(axis=0).min() > 0.5
    cycles = features[:8].reshape(4, 2, 400)
    np.testing.assert_allclose((cycles**2).sum(1), 1, atol=1e-5)
    guess = BeatGrid(grid.beat_times_s, grid.downbeats, 4, confidence=0.0)
    assert np.abs(guess.features(400, 50)).max(axis=0).min() > 0.5


def test_features_of_each_cycle_peak_where_that_cycle_starts():
    grid = BeatGrid.from_tempo(60, 4, 16.0)
    cosines = grid.features(1600, 100)[1:8:2]
    for row, cycles_per_bar in enumerate([1, 4, 8, 16]):
        assert (np.diff(np.sign(cosines[row])) > 0).sum() == 4 * cycles_per_bar
        assert cosines[row, 0] > 0.98


def test_features_are_those_of_the_middle_of_a_frame():
    features = UNEVEN.features(100, 50)
    middles_s = (np.arange(100) + 0.5) / 50
    np.testing.assert_allclose(features[2], np.sin(2 * np.pi * UNEVEN.beat_phase(middles_s)), atol=1e-6)
    np.testing.assert_allclose(features[8], np.log2(UNEVEN.tempo_bpm(middles_s) / 120), atol=1e-6)
    assert (features[9] == 0.5).all()


def test_features_of_a_part_are_that_part_of_the_features():
    whole = UNEVEN.features(400, Fraction(75, 1), start_frame=-100)
    part = UNEVEN.features(50, 75.0, start_frame=170)
    np.testing.assert_array_equal(whole[:, 270:320], part)


def test_a_file_gives_back_the_same_grid(tmp_path: Path):
    path = tmp_path / "beats.txt"
    UNEVEN.to_file(path)
    again = BeatGrid.from_file(path)
    np.testing.assert_array_equal(again.beat_times_s, UNEVEN.beat_times_s)
    np.testing.assert_array_equal(again.downbeats, UNEVEN.downbeats)
    assert again.beats_per_bar == 3
    assert again.confidence == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["beats.txt"]


def test_a_file_without_downbeats_starts_a_bar_of_four(tmp_path: Path):
    path = tmp_path / "beats.txt"
    path.write_text("# tapped\n0.5\n\n 1.0  # two\n1.5\n")
    grid = BeatGrid.from_file(path)
    assert grid.downbeats.tolist() == [True, False, False]
    assert grid.beats_per_bar == 4


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"0.5\nx\n", r"'x' is no beat.*line 2"),
        (b"0.5\n1.0 down\n", r"line 2"),
        (b"0.5\n1.0 d d\n", r"line 2"),
        (b"0.5\nnan\n", r"'nan' is no beat.*line 2"),
        (b"0.5\n1e999\n", r"line 2"),
        (b"1.0\n0.5\n", r"-0.500 s after.*line 2"),
        (b"1.0\n1.0\n", r"0.000 s after.*line 2"),
        (b"0\n\n10\n", r"10.000 s after.*line 3"),
        (b"0.5 d\n", r"1 beats, at least 2"),
        (b"", r"0 beats"),
        (b"\xff\xfe0\n", r"not UTF-8"),
        (b"0.5\n\x1b[31m\n", r"\\x1b\[31m"),
    ],
)
def test_a_senseless_file_is_refused_with_its_line(tmp_path: Path, content: bytes, match: str):
    path = tmp_path / "beats.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=match):
        BeatGrid.from_file(path)


def test_what_is_no_file_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="not a regular file"):
        BeatGrid.from_file(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        BeatGrid.from_file(tmp_path / "missing.txt")


@pytest.mark.parametrize(
    ("times", "downbeats", "beats_per_bar", "confidence", "match"),
    [
        ([0.0], [True], 4, 1.0, "beat_times_s"),
        ([0.0, 0.0], [True, False], 4, 1.0, "beat_times_s"),
        ([0.0, np.inf], [True, False], 4, 1.0, "beat_times_s"),
        ([0.0, 1.0], [False, False], 4, 1.0, "downbeats"),
        ([0.0, 1.0], [True], 4, 1.0, "downbeats"),
        ([0.0, 1.0], [True, False], 0, 1.0, "beats_per_bar"),
        ([0.0, 1.0], [True, False], 4, np.nan, "confidence"),
    ],
)
def test_a_grid_checks_itself(times, downbeats, beats_per_bar, confidence, match: str):
    with pytest.raises(ValueError, match=match):
        BeatGrid(np.array(times), np.array(downbeats), beats_per_bar, confidence)


def test_a_grid_does_not_change_with_the_array_it_was_made_of():
    times = np.arange(4.0)
    grid = BeatGrid(times, times == 0)
    times[1] = 0.25
    assert grid.beat_times_s[1] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        grid.beat_times_s[0] = 9.0


def test_every_program_has_an_instrument_and_the_drum_channel_is_drums():
    counts = {name: sum(instrument_of(p) == name for p in range(128)) for name in INSTRUMENTS}
    assert counts == {"drums": 0, "bass": 8, "keys": 24, "guitar": 8, "lead": 32, "other": 56, "all": 0}
    assert {instrument_of(p, is_drum=True) for p in range(128)} == {"drums"}
    with pytest.raises(ValueError, match="128"):
        instrument_of(128)
