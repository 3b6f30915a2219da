"""Sources of beats: tapped, ticked, given, tracked; what was played to stays, what follows goes over without a jump."""

import numpy as np
import pytest

from gigmate.live.beat_source import BeatSource
from gigmate.live.beats import TempoBeats, TrackerBeats, beat_source
from gigmate.live.counted_beats import TICKS_PER_BEAT, ClockBeats, TapBeats
from gigmate.music.beat_line import BeatLine, GlidingBeat
from gigmate.music.grid import BeatGrid

RATE, CODEC_RATE, HOP = 48_000, 24_000, 480


def beat_at(source: BeatSource, time_s: float) -> float:
    grid = source.grid(time_s)
    assert grid is not None
    return float(grid.bar_phase(time_s)) * grid.beats_per_bar


def off_by(source: BeatSource, time_s: float, beat_s: float, period_s: float) -> float:
    """Beats between a known beat and the nearest of the source's."""
    grid = source.grid(time_s)
    assert grid is not None
    return abs((float(grid.beat_phase(beat_s)) + 0.5) % 1 - 0.5) * period_s


# -- the line and the glide


def test_a_fit_finds_the_line_that_beats_were_made_from():
    line = BeatLine(0.3, 0.47, 3)
    numbers = np.array([0, 1, 2, 4, 7])
    found = BeatLine.fit(line.origin_s + numbers * line.period_s, numbers, 3)
    assert (found.origin_s, found.period_s, found.beats_per_bar) == pytest.approx((0.3, 0.47, 3))


@pytest.mark.parametrize("behind", [-0.24, -0.1, 0.03, 0.24])
def test_a_small_change_glides_and_the_beat_never_runs_backwards(behind: float):
    beat = GlidingBeat()
    beat.follow(BeatLine(0.0, 0.5), 0.0)
    beat.follow(BeatLine(0.0, 0.5).later(behind), 4.1)
    times_s = np.arange(4.1, 6.0, 0.01)
    grid = beat.grid(4.1, 1.0)
    assert grid is not None
    phases = grid.beat_phase(times_s) % 1.0
    assert phases[0] == pytest.approx(8.2 % 1, abs=0.02)  # a grid is straight between its beats
    steps = np.diff(np.unwrap(2 * np.pi * phases)) / (2 * np.pi)
    assert steps.min() > 0.8 * 0.02
    assert steps.max() < 1.2 * 0.02
    assert float(grid.beat_phase(8.0)) % 1 == pytest.approx((16.0 - behind) % 1)
    assert beat.num_relocks == 0


def test_a_far_change_is_taken_up_at_once_and_counted():
    for line in (BeatLine(0.2, 0.5), BeatLine(0.0, 0.25), BeatLine(0.0, 0.5, 3)):
        beat = GlidingBeat()
        beat.follow(BeatLine(0.0, 0.5), 0.0)
        beat.follow(line, 4.0)
        grid = beat.grid(4.0, 1.0)
        assert grid is not None
        phase = float(grid.beat_phase(4.0) - line.position(4.0))
        assert phase == pytest.approx(round(phase), abs=1e-9)
        assert beat.num_relocks == 1


def test_following_a_creeping_line_keeps_up_with_it():
    beat, line = GlidingBeat(), BeatLine(0.0, 0.5)
    for frame in range(1000):
        line = line.later(0.001)
        beat.follow(line, frame * 0.02)
    grid = beat.grid(20.0, 1.0)
    assert grid is not None
    assert abs(float(grid.beat_phase(20.0) - line.position(20.0)) % 1) == pytest.approx(0.0, abs=0.06)
    assert beat.num_relocks == 0


def test_what_was_asked_for_is_committed():
    """The features of frames ahead were already used: a change that comes later leaves them as they were."""
    source = TapBeats(RATE)
    for beat in range(6):
        source.tap(round(beat * 0.5 * RATE))
    before = beat_at(source, 4.0)  # a player with a lookahead of 1.5 s is here
    source.tap(round(3.05 * RATE))  # late
    assert beat_at(source, 4.0) == pytest.approx(before, abs=1e-6)
    assert beat_at(source, 4.02) - before == pytest.approx(0.04, abs=0.01)


# -- sources


@pytest.mark.parametrize(("bpm", "beats_per_bar"), [(97.3, 4), (180.0, 3)])
def test_a_given_tempo_is_the_grid_from_sample_0_on(bpm: float, beats_per_bar: int):
    truth = BeatGrid.from_tempo(bpm, beats_per_bar, 60.0)
    source = TempoBeats(bpm, beats_per_bar)
    for time_s in (0.0, 0.7, 31.0, 59.0):
        grid = source.grid(time_s)
        assert grid is not None
        frame = round(time_s * 50)
        np.testing.assert_allclose(grid.features(5, 50, frame), truth.features(5, 50, frame), atol=1e-5)


def test_taps_give_tempo_phase_and_bar():
    rng = np.random.default_rng(0)
    source = TapBeats(RATE, 4)
    assert source.grid(0.0) is None
    times_s = 1.0 + np.arange(12) * 0.6 + rng.normal(0.0, 0.01, 12)  # a hand is about so exact
    for time_s in times_s:
        source.tap(round(time_s * RATE))
    grid = source.grid(8.0)
    assert grid is not None
    assert float(grid.tempo_bpm(9.0)) == pytest.approx(100.0, rel=0.01)
    assert off_by(source, 8.0, 1.0 + 14 * 0.6, 0.6) < 0.015
    assert float(grid.bar_phase(1.0 + 16 * 0.6)) % 1 == pytest.approx(0.0, abs=0.02)
    assert source.confidence > 0.8


def test_confidence_rises_with_taps_and_falls_with_unevenness():
    even, uneven = TapBeats(RATE), TapBeats(RATE)
    seen = []
    for beat in range(6):
        even.tap(round(beat * 0.5 * RATE))
        uneven.tap(round((beat * 0.5 + 0.12 * (beat % 2)) * RATE))
        seen.append(even.confidence)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)
    assert uneven.confidence < 0.8


def test_a_tap_left_out_and_a_finger_that_bounced_do_no_harm():
    source = TapBeats(RATE)
    for beat in (0, 1, 2, 3, 5, 6):
        source.tap(round(beat * 0.5 * RATE))
        source.tap(round((beat * 0.5 + 0.05) * RATE))
    grid = source.grid(3.5)
    assert grid is not None
    assert float(grid.tempo_bpm(4.0)) == pytest.approx(120.0)
    assert float(grid.bar_phase(4.0)) % 1 == pytest.approx(0.0, abs=1e-6)


def test_after_a_pause_taps_count_anew_and_the_old_beat_runs_on_till_then():
    source = TapBeats(RATE)
    for beat in range(4):
        source.tap(round(beat * 0.5 * RATE))
    source.tap(round(20.3 * RATE))
    grid = source.grid(20.4)
    assert grid is not None
    assert float(grid.tempo_bpm(21.0)) == pytest.approx(120.0)
    source.tap(round(20.7 * RATE))
    grid = source.grid(20.8)
    assert grid is not None
    assert float(grid.tempo_bpm(21.0)) == pytest.approx(150.0)
    assert float(grid.bar_phase(20.3)) % 1 == pytest.approx(0.0, abs=1e-6)


def test_a_midi_clock_is_followed_through_jitter_and_a_slow_change():
    rng = np.random.default_rng(1)
    source = ClockBeats(RATE, 4)
    periods_s = np.linspace(0.5, 0.46, 16 * TICKS_PER_BEAT) / TICKS_PER_BEAT
    times_s = 2.0 + np.concatenate([[0.0], np.cumsum(periods_s)])
    for time_s in np.sort(times_s + rng.uniform(0.0, 0.004, len(times_s))):
        source.tick(round(time_s * RATE))
    end_s = float(times_s[-1])  # beat 16
    assert off_by(source, end_s, end_s, 0.46) < 0.01
    grid = source.grid(end_s)
    assert grid is not None
    assert abs((float(grid.bar_phase(end_s)) + 0.5) % 1 - 0.5) < 0.01
    assert source.confidence == 1.0
    assert source.num_relocks == 0


def test_a_clock_that_was_stopped_begins_with_a_bar():
    source = ClockBeats(RATE, 4)
    for start_s in (0.0, 7.21):
        for tick in range(TICKS_PER_BEAT + 1):
            source.tick(round((start_s + tick * 0.02) * RATE))
    grid = source.grid(8.0)
    assert grid is not None
    assert abs((float(grid.bar_phase(7.21)) + 0.5) % 1 - 0.5) < 0.01


def _tapped() -> TapBeats:
    source = TapBeats(RATE)
    for beat in range(5):
        source.tap(round(beat * 0.5 * RATE))
    return source


def _ticked() -> ClockBeats:
    source = ClockBeats(RATE)
    for tick in range(2 * TICKS_PER_BEAT):
        source.tick(round(tick * 0.5 / TICKS_PER_BEAT * RATE))
    return source


@pytest.mark.parametrize("make", [lambda: TempoBeats(120.0), _tapped, _ticked])
@pytest.mark.parametrize("beats", [-1.0, -0.5, -0.1, 0.25, 1.0])
def test_a_nudge_moves_every_beat_within_two_beats(make, beats: float):
    source, still = make(), make()
    source.grid(3.0)
    source.nudge(beats)
    moved, grid = source.grid(10.0), still.grid(10.0)
    assert moved is not None
    assert grid is not None
    assert float(grid.bar_phase(10.0) - moved.bar_phase(10.0)) * 4 % 4 == pytest.approx(beats % 4, abs=1e-6)


def test_a_nudge_outlives_the_next_taps_of_its_count():
    source = _tapped()
    source.nudge(0.2)
    for beat in range(5, 12):
        source.tap(round(beat * 0.5 * RATE))
    grid = source.grid(6.0)
    assert grid is not None
    assert float(grid.beat_phase(6.1)) % 1 == pytest.approx(0.0, abs=1e-6)


def clicks(times_s: np.ndarray, seconds: float) -> np.ndarray:
    wave, rng = np.zeros(round(seconds * CODEC_RATE), np.float32), np.random.default_rng(0)
    for start in (times_s * CODEC_RATE).astype(int):
        hit = rng.standard_normal(CODEC_RATE // 20) * np.linspace(0.5, 0, CODEC_RATE // 20)
        wave[start : start + len(hit)] += hit[: max(0, len(wave) - start)].astype(np.float32)
    return wave


def test_tracked_beats_are_on_the_sample_clock_whatever_frame_comes_first():
    beats_s = np.arange(0.31, 14.0, 0.5)
    wave = clicks(beats_s, 12.0)
    for first in (0, 50):
        source = TrackerBeats(RATE, CODEC_RATE)
        for frame in range(first, len(wave) // HOP):
            source.push(wave[frame * HOP : (frame + 1) * HOP], frame)
        assert off_by(source, 12.0, 12.31, 0.5) < 0.02
        assert source.confidence > 0.2
    with pytest.raises(ValueError, match="already"):
        source.push(wave[:HOP], 10)


def heard(seconds: float, beats_s: np.ndarray) -> TrackerBeats:
    """A tracker that has heard clicks."""
    source, wave = TrackerBeats(RATE, CODEC_RATE), clicks(beats_s, seconds)
    for frame in range(len(wave) // HOP):
        source.push(wave[frame * HOP : (frame + 1) * HOP], frame)
    return source


@pytest.mark.parametrize("wrong_s", [0.25, 0.1])
def test_taps_at_the_true_beat_while_listening_bring_the_grid_to_them(wrong_s: float) -> None:
    """What is heard is off the beat, as a part that plays on offbeats is; taps win at once, and for good."""
    source = heard(8.0, np.arange(wrong_s, 8.0, 0.5))
    assert source.name == "tracker"
    assert off_by(source, 8.0, 8.0, 0.5) > 0.08
    source.tap(8 * RATE)
    assert source.name == "tracker"
    assert off_by(source, 8.2, 8.0, 0.5) > 0.08
    source.tap(round(8.5 * RATE))
    assert (source.name, source.confidence) == ("tap", pytest.approx(0.25))
    assert off_by(source, 9.6, 10.0, 0.5) < 0.001
    off_beat = clicks(np.arange(wrong_s, 4.0, 0.5), 4.0)
    for frame in range(len(off_beat) // HOP):  # it goes on
        source.push(off_beat[frame * HOP : (frame + 1) * HOP], 8 * CODEC_RATE // HOP + frame)
    grid = source.grid(12.0)
    assert grid is not None
    assert off_by(source, 12.0, 13.0, 0.5) < 0.001
    assert float(grid.bar_phase(8.0)) % 1 == pytest.approx(0.0, abs=1e-6)  # the first tap opened a bar


def test_a_tap_by_itself_and_taps_far_apart_leave_the_listener_alone() -> None:
    source, same = (heard(6.0, np.arange(0.31, 6.0, 0.5)) for _ in range(2))
    for at_s in (1.0, 1.05, 5.0):
        source.tap(round(at_s * RATE))
    assert source.name == "tracker"
    grid, other = source.grid(6.0), same.grid(6.0)
    assert grid is not None
    assert other is not None
    np.testing.assert_array_equal(grid.beat_times_s, other.beat_times_s)


def test_what_was_tapped_while_listening_can_be_nudged() -> None:
    source = heard(4.0, np.arange(0.31, 4.0, 0.5))
    source.nudge(0.3)  # of what was heard: the taps know nothing of it
    for beat in range(3):
        source.tap(round((4.0 + 0.5 * beat) * RATE))
    source.nudge(0.2)
    source.tap(round(5.5 * RATE))
    assert off_by(source, 8.0, 8.0 + 0.2 * 0.5, 0.5) < 0.001


def test_sources_are_had_by_name_and_pass_by_what_is_not_theirs():
    for name in ("tracker", "tap", "clock", "tempo"):
        source = beat_source(name, sample_rate=RATE, codec_rate=CODEC_RATE, bpm=90.0, beats_per_bar=3)
        assert source.name == name
        source.push(np.zeros(HOP, np.float32), 0)
        source.tap(0)
        source.tick(0)
        assert (source.grid(0.0) is None) == (name != "tempo")
