"""The tracker on made-up bands with a known grid: beats, tempo, bars, drift, silence; real music in the long lane."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from machine import within

from gigmate.music.grid import BeatGrid
from gigmate.music.onsets import analyse
from gigmate.music.tracker import track_beats

RATE = 22_050


def hit(hz: float, decay_s: float, noise: float, rng: np.random.Generator) -> np.ndarray:
    times = np.arange(int(0.25 * RATE)) / RATE
    tone = np.sin(2 * np.pi * hz * times) + noise * rng.standard_normal(len(times))
    return (tone * np.exp(-times / decay_s)).astype(np.float32)


def band(beat_times_s: np.ndarray, beats_per_bar: int) -> np.ndarray:
    """Kick on one, snare on the later beats, hats on halves, and a chord that changes with the bar."""
    rng = np.random.default_rng(0)
    kick, snare, hat = hit(60, 0.08, 0.02, rng), hit(200, 0.05, 1.0, rng), 0.3 * hit(6000, 0.01, 1.0, rng)
    wave = np.zeros(int((beat_times_s[-1] + 1.5) * RATE), np.float32)

    def add(sound: np.ndarray, time_s: float) -> None:
        start = int(time_s * RATE)
        wave[start : start + len(sound)] += sound[: max(0, len(wave) - start)]

    ends_s = np.append(beat_times_s[1:], beat_times_s[-1] + 0.5)
    for i, (start_s, end_s) in enumerate(zip(beat_times_s, ends_s, strict=True)):
        add(kick if i % beats_per_bar in (0, 2) and not (beats_per_bar == 3 and i % 3 == 2) else snare, start_s)
        add(hat, start_s)
        add(hat, (start_s + end_s) / 2)
        if i % beats_per_bar == 0:
            length = int((end_s - start_s) * beats_per_bar * RATE)
            root = 220 * 2 ** ((0, 5, 7, 9)[i // beats_per_bar % 4] / 12)
            tones = sum(np.sin(2 * np.pi * root * r * np.arange(length) / RATE) for r in (1, 1.26, 1.5))
            add((0.15 * tones).astype(np.float32), start_s)
    return 0.5 * wave


def share_found(truth_s: np.ndarray, found_s: np.ndarray, within_s: float) -> float:
    """F measure: nearest neighbours both ways, which is enough where beats are far apart."""
    recall = np.mean([np.abs(found_s - t).min() <= within_s for t in truth_s])
    precision = np.mean([np.abs(truth_s - t).min() <= within_s for t in found_s])
    return float(2 * recall * precision / max(recall + precision, 1e-9))


@pytest.mark.parametrize(("bpm", "beats_per_bar"), [(72, 4), (96.3, 4), (120, 3), (133.7, 4), (160, 4), (150, 3)])
def test_a_steady_band_is_placed_exactly(bpm: float, beats_per_bar: int):
    truth = BeatGrid.from_tempo(bpm, beats_per_bar, 30.0, offset_s=0.43)
    grid = track_beats(band(truth.beat_times_s, beats_per_bar), RATE)
    assert np.median(grid.tempo_bpm(np.arange(5.0, 25.0))) == pytest.approx(bpm, rel=1e-3)
    inner = truth.beat_times_s[(truth.beat_times_s > 1) & (truth.beat_times_s < 29)]
    assert share_found(inner, grid.beat_times_s[(grid.beat_times_s > 0.7) & (grid.beat_times_s < 29.3)], 0.02) > 0.98
    assert grid.beats_per_bar == beats_per_bar
    np.testing.assert_allclose((grid.bar_phase(inner) - truth.bar_phase(inner) + 0.5) % 1, 0.5, atol=0.05)
    assert grid.confidence > 0.3


def test_a_band_that_speeds_up_is_followed():
    periods = np.linspace(0.62, 0.48, 70)
    beats = 0.3 + np.cumsum(periods)
    grid = track_beats(band(beats, 4), RATE)
    assert share_found(beats[2:-2], grid.beat_times_s[2:-2], 0.05) > 0.9


def test_channels_gain_and_rate_do_not_move_the_beats():
    truth = BeatGrid.from_tempo(110, 4, 20.0, offset_s=0.2)
    wave = band(truth.beat_times_s, 4)
    mono = track_beats(wave, RATE).beat_times_s
    np.testing.assert_array_equal(track_beats(np.stack([wave, wave]), RATE).beat_times_s, mono)
    quiet = track_beats(0.1 * wave, RATE).beat_times_s
    assert share_found(mono, quiet, 0.01) > 0.95
    doubled = track_beats(np.repeat(wave, 2), 2 * RATE).beat_times_s  # held samples: the same below 11 kHz
    assert share_found(mono, doubled, 0.015) > 0.95


def test_the_same_input_gives_the_same_grid():
    wave = band(BeatGrid.from_tempo(100, 4, 10.0).beat_times_s, 4)
    np.testing.assert_array_equal(track_beats(wave, RATE).beat_times_s, track_beats(wave, RATE).beat_times_s)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 1.0, 2.9, 10.0])
def test_silence_or_little_is_a_guess_without_confidence(seconds: float):
    grid = track_beats(np.zeros(int(seconds * RATE), np.float32), RATE)
    assert grid.confidence == 0.0
    np.testing.assert_allclose(np.diff(grid.beat_times_s), 0.5)
    assert grid.features(50, 50).any(axis=0).all()


@pytest.mark.parametrize("kind", ["noise", "tone", "one click", "constant"])
def test_music_without_beats_gives_a_grid_of_little_confidence(kind: str):
    rng = np.random.default_rng(0)
    wave = {
        "noise": 0.1 * rng.standard_normal(10 * RATE),
        "tone": np.sin(2 * np.pi * 440 / RATE * np.arange(10 * RATE)),
        "one click": np.eye(1, 10 * RATE, 4 * RATE)[0],
        "constant": np.full(10 * RATE, 0.5),
    }[kind].astype(np.float32)
    grid = track_beats(wave, RATE)
    assert grid.confidence < 0.25


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000, 96_000])
def test_onsets_lie_where_something_starts_at_any_rate(rate: int):
    rng = np.random.default_rng(0)
    wave, times = np.zeros(6 * rate, np.float32), np.arange(0.51, 5.5, 0.5)
    for start in (times * rate).astype(int):
        wave[start : start + rate // 20] += rng.standard_normal(rate // 20) * np.linspace(0.5, 0, rate // 20)
    onsets = analyse(wave, rate)
    found = np.flatnonzero(onsets.strength > 2) / onsets.frame_rate
    assert all(np.abs(found - t).min() < 0.012 for t in times)
    assert all(np.abs(times - t).min() < 0.04 for t in found)


def test_what_is_no_wave_is_refused():
    with pytest.raises(ValueError, match="must be"):
        track_beats(np.zeros((1, 1, 100), np.float32), RATE)
    with pytest.raises(ValueError, match="0 Hz"):
        track_beats(np.zeros(100, np.float32), 0)
    with pytest.raises(ValueError, match="finite"):
        track_beats(np.full(10 * RATE, np.nan, np.float32), RATE)


def test_tracking_is_far_faster_than_real_time():
    wave = np.tile(band(BeatGrid.from_tempo(100, 4, 29.0).beat_times_s, 4), 2)
    with within(len(wave) / RATE / 30):
        track_beats(wave, RATE)


@pytest.mark.slow
def test_drum_loops_have_the_tempo_of_their_names(shared_data: Path):
    from gigmate.audio import read_audio

    right, loops = 0, sorted((shared_data / "audio" / "drum_loops").rglob("*.mp3"))
    for path in loops:
        audio = read_audio(path)
        grid = track_beats(audio.wave, audio.sample_rate)
        named = re.match(r"\d+", path.name)
        assert named
        right += abs(60 / np.median(np.diff(grid.beat_times_s)) / float(named[0]) - 1) < 0.04
    assert right >= 22, f"{right} of {len(loops)}"  # most of the others are taken for twice as fast


@pytest.mark.slow
def test_studio_songs_are_tracked_to_the_beat_and_bar(shared_data: Path):
    from mir_eval.beat import f_measure, trim_beats

    from gigmate.audio import read_audio

    beats_found, bars_found = [], []
    for folder in sorted((shared_data / "audio" / "everythingisfree").iterdir()):
        stems = [read_audio(path) for path in folder.glob("*.ogg")]
        mix = np.zeros(max(stem.wave.shape[1] for stem in stems), np.float32)
        for stem in stems:
            mix[: stem.wave.shape[1]] += stem.wave[0]
        grid = track_beats(mix, stems[0].sample_rate)
        bpm = json.loads((folder / "meta.json").read_text())["bpm"]
        truth = BeatGrid.from_tempo(bpm, 4, len(mix) / stems[0].sample_rate)
        beats, found = trim_beats(truth.beat_times_s), trim_beats(grid.beat_times_s)
        off_s = np.abs(beats[:, None] - found).min(axis=0)
        assert (off_s < 0.07).mean() > 0.99, folder.name
        beats_found.append(f_measure(beats, found) > 0.99)
        bars = trim_beats(truth.beat_times_s[truth.downbeats])
        bars_found.append(f_measure(bars, trim_beats(grid.beat_times_s[grid.downbeats])) > 0.99)
    assert sum(beats_found) >= 4, beats_found  # of five; one at 140 bpm is heard as 70
    assert sum(bars_found) >= 4, bars_found


@pytest.mark.parametrize("late_beats", [0.5, 1.0, 2.0])
def test_the_bar_is_where_kick_and_harmony_say_however_loud_the_rest(late_beats: float):
    """Something loud half a beat, a beat or two late must not draw beat or bar to it."""
    truth = BeatGrid.from_tempo(104, 4, 30.0, offset_s=0.3)
    rng = np.random.default_rng(1)
    wave, click = band(truth.beat_times_s, 4), 0.5 * hit(5_000, 0.01, 1.0, rng)
    every = 1 if late_beats == 0.5 else 4
    for beat_s in truth.beat_times_s[::every] + late_beats * 60 / 104:
        start = int(beat_s * RATE)
        wave[start : start + len(click)] += click[: max(0, len(wave) - start)]
    grid = track_beats(wave, RATE)
    inner = truth.beat_times_s[(truth.beat_times_s > 2) & (truth.beat_times_s < 28)]
    np.testing.assert_allclose((grid.bar_phase(inner) - truth.bar_phase(inner) + 0.5) % 1, 0.5, atol=0.05)
