"""The beats that every drummer knows, and a metronome, at any tempo: what the trackers learn double tempo from."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from experiments.tracker_songs import RATE, Song
from gigmate.music.grid import BeatGrid

_SECONDS = 40.0
_SLOWEST_BPM, _FASTEST_BPM = 60.0, 180.0
_HATS_A_BEAT = (1, 2, 2, 2, 4)
_CLICKS_SHARE = 0.3  # of the songs: a metronome
_FASTEST_HATS = 8.0  # a second


def plain_beats(count: int, seed: int = 0) -> Iterator[Song]:
    """Kick on 1 and 3, snare on 2 and 4, hats on beats, eighths or sixteenths; levels and sounds vary by song.

    Some are a metronome instead, which may be higher and louder on 1.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        bpm = _SLOWEST_BPM * (_FASTEST_BPM / _SLOWEST_BPM) ** rng.uniform()
        grid = BeatGrid.from_tempo(bpm, 4, _SECONDS, rng.uniform(0, 1))
        beats = grid.beat_times_s
        hats = min(int(rng.choice(_HATS_A_BEAT)), max(1, int(_FASTEST_HATS * 60 / bpm)))
        kick = _hit(rng.uniform(50, 80), 0.1, 0.02, rng)
        snare = _hit(rng.uniform(160, 260), 0.06, rng.uniform(0.5, 2), rng)
        hat = _hit(rng.uniform(6_000, 9_000), rng.uniform(0.01, 0.04), 1.0, rng)
        drums = _played(beats[::2], kick) + rng.uniform(0.5, 1) * _played(beats[1::2], snare)
        times_s = np.interp(np.arange(0, len(beats), 1 / hats), np.arange(len(beats)), beats)
        drums += rng.uniform(0.1, 0.6) * _played(times_s, hat)
        if rng.uniform() < _CLICKS_SHARE:
            drums = _clicks(grid, rng)
        silence = np.zeros(len(drums), np.float32)
        yield Song(drums.astype(np.float32), silence, silence, grid)


def _clicks(grid: BeatGrid, rng: np.random.Generator) -> NDArray[np.float32]:
    hz, decay_s, noise = rng.uniform(400, 3_000), rng.uniform(0.005, 0.04), rng.choice([0.0, 0.3])
    high = rng.choice([1.0, 1.0, 1.5, 2.0])
    first, others = (_hit(hz * ratio, decay_s, noise, rng) for ratio in (high, 1.0))
    bars, between = grid.beat_times_s[grid.downbeats], grid.beat_times_s[~grid.downbeats]
    return (1.0 if high == 1.0 else 1.4) * _played(bars, first) + _played(between, others)


def _hit(hz: float, decay_s: float, noise: float, rng: np.random.Generator) -> NDArray[np.float32]:
    times = np.arange(round(0.25 * RATE)) / RATE
    sound = np.sin(2 * np.pi * hz * times) + noise * rng.standard_normal(len(times))
    return (0.3 * sound * np.exp(-times / decay_s)).astype(np.float32)


def _played(times_s: NDArray[np.float64], sound: NDArray[np.float32]) -> NDArray[np.float32]:
    wave = np.zeros(round(_SECONDS * RATE) + len(sound), np.float32)
    for start in np.round(times_s * RATE).astype(int).tolist():
        wave[start : start + len(sound)] += sound[: max(0, len(wave) - start)]
    return wave[: round(_SECONDS * RATE)]
