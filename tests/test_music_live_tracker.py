"""The live tracker: causal, equal however its input is cut, in time half a second ahead, and steady through silence."""

import numpy as np
import pytest
from machine import within
from test_music_tracker import band

from gigmate.audio import resample
from gigmate.music.beat_line import BeatLine
from gigmate.music.evidence import Evidence
from gigmate.music.grid import BeatGrid
from gigmate.music.live_hypotheses import is_same, propose
from gigmate.music.live_meter import LiveMeter
from gigmate.music.live_onsets import OnsetStream
from gigmate.music.live_tracker import LiveTracker
from gigmate.music.onsets import Ear, analyse, hear_all, normalise
from gigmate.music.tempo import tempo_scores

RATE = 24_000


def song(bpm: float, seconds: float, beats_per_bar: int = 4, offset_s: float = 0.23) -> tuple[np.ndarray, BeatGrid]:
    """A made-up band at the codec's rate with its beats."""
    truth = BeatGrid.from_tempo(bpm, beats_per_bar, seconds, offset_s)
    return resample(band(truth.beat_times_s, beats_per_bar)[None], 22_050, RATE)[0], truth


def heard(wave: np.ndarray, chunk: int = 480, beats_per_bar: int = 4) -> LiveTracker:
    tracker = LiveTracker(RATE, beats_per_bar)
    for start in range(0, len(wave), chunk):
        tracker.push(wave[start : start + chunk])
    return tracker


def late_s(tracker: LiveTracker, beat_s: float) -> float:
    """How far the tracker's nearest beat is from a true one."""
    assert tracker.line is not None
    beats = float(tracker.line.position(beat_s))
    return (beats - round(beats)) * tracker.line.period_s


def test_onsets_come_as_the_offline_ones():
    wave, _ = song(120.0, 5.0)
    offline, ear = analyse(wave, RATE), Ear(RATE)
    frames = OnsetStream(RATE).push(wave)
    assert 20 > len(offline.strength) - len(frames) >= 0
    rises = np.array([frame.rises for frame in frames])
    np.testing.assert_allclose(
        np.array([f.chroma for f in frames]).T, offline.chroma[:, : len(frames)], rtol=1e-4, atol=1e-6
    )
    for column, expected in ((0, offline.strength), (1, offline.low)):
        found = normalise(rises[:, column], ear.frame_rate)
        away = slice(60, len(found) - 60)  # at the end the offline mean knows more
        assert np.corrcoef(found[away], expected[: len(found)][away])[0, 1] > 0.9999


def test_the_size_of_the_pieces_makes_no_difference_to_the_last_bit():
    wave, _ = song(104.0, 9.0)
    whole = heard(wave, len(wave))
    rng = np.random.default_rng(0)
    ragged = LiveTracker(RATE)
    rest = wave
    while len(rest):
        size = int(rng.integers(0, 3000))
        ragged.push(rest[:size])
        rest = rest[size:]
    for other in (heard(wave, 480), heard(wave, 7 * 480 + 1), ragged):
        assert other.line == whole.line
        assert other.confidence == whole.confidence
    assert whole.line is not None


def test_what_comes_later_changes_nothing_before():
    wave, _ = song(97.0, 8.0)
    a, b = LiveTracker(RATE), LiveTracker(RATE)
    other = np.concatenate([wave[: 6 * RATE], np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)])
    for start in range(0, 6 * RATE, 480):
        a.push(wave[start : start + 480])
        b.push(other[start : start + 480])
        assert a.line == b.line


@pytest.mark.parametrize(("bpm", "beats_per_bar"), [(72, 4), (96.3, 4), (120, 3), (133.7, 4), (160, 4)])
def test_a_band_is_locked_within_six_seconds_and_half_a_second_ahead(bpm: float, beats_per_bar: int):
    wave, truth = song(bpm, 16.0, beats_per_bar)
    tracker = LiveTracker(RATE, beats_per_bar)
    errors_s = []
    for start in range(0, 14 * RATE, 480):
        tracker.push(wave[start : start + 480])
        if start >= 6 * RATE:
            ahead_s = start / RATE + 0.5
            coming_s = truth.beat_times_s[truth.beat_times_s > ahead_s][0]
            errors_s.append(abs(late_s(tracker, coming_s)))
    assert np.median(errors_s) < 0.02
    assert np.mean(np.array(errors_s) < 0.07) > 0.95
    assert tracker.line is not None
    assert 60 / tracker.line.period_s == pytest.approx(bpm, rel=0.01)
    assert all(abs(late_s(tracker, beat_s)) < 0.05 for beat_s in truth.beat_times_s[-8:])


@pytest.mark.parametrize("bpm", [90.0, 120.0, 160.0])
def test_a_metronome_is_followed(bpm: float):
    """Tone bursts, on which the rises and the network propose the same beats: none may halve its own probability."""
    truth = BeatGrid.from_tempo(bpm, 4, 12.0, 0.3)
    seconds = np.arange(round(0.03 * RATE)) / RATE
    click = (0.5 * np.sin(2 * np.pi * 1000 * seconds) * np.exp(-seconds / 0.01)).astype(np.float32)
    wave = np.zeros(round(12.0 * RATE), np.float32)
    for beat_s in truth.beat_times_s[truth.beat_times_s < 11.9]:
        wave[round(beat_s * RATE) :][: len(click)] += click
    tracker = heard(wave)
    assert tracker.line is not None
    assert 60 / tracker.line.period_s == pytest.approx(bpm, rel=0.01)
    assert all(abs(late_s(tracker, beat_s)) < 0.05 for beat_s in truth.beat_times_s[-8:])


def test_no_beat_is_proposed_twice():
    evidence = Evidence.of(hear_all(song(120.0, 12.0)[0], RATE))
    beats = propose(evidence, tempo_scores(evidence.onsets))
    for period, age in zip(beats.periods, beats.ages, strict=True):
        assert is_same(beats, period, age).sum() == 1


def test_the_bar_is_found():
    wave, truth = song(110.0, 16.0)
    grid = heard(wave).grid
    assert grid is not None
    assert grid.beats_per_bar == 4
    coming_s = truth.beat_times_s[truth.downbeats][-2]
    assert abs((float(grid.bar_phase(coming_s)) + 0.5) % 1 - 0.5) < 0.05


def test_the_beat_is_held_through_silence():
    wave, truth = song(126.0, 20.0)
    wave = wave.copy()
    wave[10 * RATE :] = 0.0
    tracker = heard(wave[: 10 * RATE])
    before, sure = tracker.line, tracker.confidence
    tracker.push(wave[10 * RATE : 18 * RATE])
    assert tracker.line is not None
    assert before is not None
    assert abs(late_s(tracker, truth.beat_times_s[truth.beat_times_s > 18][0])) < 0.05
    assert 0 < tracker.confidence < sure


def test_a_band_that_speeds_up_is_followed():
    periods_s = np.linspace(0.55, 0.50, 50)
    beats_s = 0.3 + np.cumsum(periods_s)
    wave = resample(band(beats_s, 4)[None], 22_050, RATE)[0]
    tracker = heard(wave[: round(24 * RATE)])
    assert tracker.line is not None
    coming = beats_s[beats_s > 24.0][0]
    assert abs(late_s(tracker, coming)) < 0.06
    assert tracker.line.period_s == pytest.approx(periods_s[beats_s > 24.0][0], rel=0.03)


@pytest.mark.parametrize("kind", ["silence", "noise", "tone", "one click"])
def test_where_there_is_no_beat_there_is_none_or_an_unsure_one(kind: str):
    rng = np.random.default_rng(0)
    wave = {
        "silence": np.zeros(8 * RATE),
        "noise": 0.1 * rng.standard_normal(8 * RATE),
        "tone": np.sin(2 * np.pi * 440 / RATE * np.arange(8 * RATE)),
        "one click": np.eye(1, 8 * RATE, 4 * RATE)[0],
    }[kind].astype(np.float32)
    tracker = heard(wave)
    assert tracker.confidence < 0.6
    if kind == "silence":
        assert tracker.grid is None


def test_the_grid_is_the_line_and_runs_on():
    wave, _ = song(120.0, 9.0)
    tracker = heard(wave)
    grid, line = tracker.grid, tracker.line
    assert grid is not None
    assert line is not None
    times_s = np.array([2.0, 8.9, 9.5, 30.0])
    off = grid.beat_phase(times_s) - line.position(times_s)
    np.testing.assert_allclose(off, np.round(off[0]), atol=1e-6)


def test_a_meter_finds_the_beat_that_changes_chord_and_has_the_kick():
    rng = np.random.default_rng(0)
    rate, line = 100.0, BeatLine(0.2, 0.5)
    size = 2000
    strength, low, chroma = 0.1 * rng.random(size), 0.1 * rng.random(size), np.zeros((12, size), np.float32)
    for beat in range(38):
        at = round((0.2 + beat * 0.5) * rate)
        strength[at] += 2.0
        low[at] += 3.0 * (beat % 4 == 3)
        chroma[(beat + 1) // 4 * 5 % 12, at : at + 50] = 1.0
    meter = LiveMeter(4)
    for stop in range(400, size, 20):
        start = max(0, stop - 1200)
        rises = np.stack([strength, low, *np.zeros((3, size))])[:, start:stop]
        part = Evidence(rate, rises, chroma[:, start:stop], np.zeros((2, stop - start), np.float32))
        meter.update(line, part, stop)
    assert meter.first_downbeat == 3


def test_tracking_takes_little_of_a_core():
    wave, _ = song(118.0, 20.0)
    with within(0.04 * len(wave) / RATE):
        heard(wave)
