"""Does it play in time with the song? All take the stem and the song's true beats; higher is better."""

import mir_eval
import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from gigmate.evaluation.adherence.part import Part
from gigmate.music.grid import BeatGrid

_BEAT_TOLERANCE_S, _ONSET_TOLERANCE_S = 0.07, 0.05
_TEMPO_TOLERANCE = 0.04
_TEMPO_RATIOS = (1 / 3, 1 / 2, 1.0, 2.0, 3.0)
_PER_BEAT = 4
_LOW_HZ = 160.0  # below: kick and bass
_START_RATE = 100


def beat_f1(stem: Part, grid: BeatGrid, seconds: float) -> float:
    """F1 of the beats tracked in the stem alone against the song's, within 70 ms; 0 if it has none.

    Source: Davies et al. 2009, "Evaluation methods for musical audio beat tracking algorithms", as in mir_eval.
    """
    if stem.tracked.confidence == 0:
        return 0.0
    true, found = (times[(times >= 0) & (times < seconds)] for times in (grid.beat_times_s, stem.tracked.beat_times_s))
    if not len(true) or not len(found):
        return 0.0
    return float(mir_eval.beat.f_measure(true, found, _BEAT_TOLERANCE_S))


def eighth_grid(stem: Part, grid: BeatGrid) -> float:
    """How the onsets lie to the eighths: 1 all on them, 0 anywhere, -1 midway; weighted by their strength.

    Source: the real part of circular statistics' mean resultant (Fisher 1993), its angle fixed to the grid's.
    """
    if not len(stem.onset_times_s) or not stem.onset_weights.any():
        return 0.0
    phase = grid.beat_phase(stem.onset_times_s)
    return float(np.average(np.cos(4 * np.pi * phase), weights=stem.onset_weights))


def coincidence(stem: Part, mix: Part) -> float:
    """F1 of the stem's onsets and the mix's within 50 ms (as `onset_f1`); 0 if one has none."""
    if not len(stem.onset_times_s) or not len(mix.onset_times_s):
        return 0.0
    return float(mir_eval.onset.f_measure(mix.onset_times_s, stem.onset_times_s, window=_ONSET_TOLERANCE_S)[0])


def tempo_match(stem: Part, grid: BeatGrid) -> float:
    """1 if the tempo tracked in the stem is the song's, or 2 or 3 times as fast or slow, within 4 %; else 0.

    Source: Gouyon et al. 2006, accuracy 2.
    """
    if stem.tracked.confidence == 0:
        return 0.0
    ratio = float(np.median(np.diff(grid.beat_times_s)) / np.median(np.diff(stem.tracked.beat_times_s)))
    return float(any(abs(ratio / known - 1) <= _TEMPO_TOLERANCE for known in _TEMPO_RATIOS))


def bar_pattern(stem: Part, true: Part, grid: BeatGrid) -> float:
    """Pearson's r of the bar's pattern with the true stem's: what is struck at which sixteenth, low and high apart.

    A metronome and a player who only knows the beat differ here from one who knows where kick and snare belong.
    """
    own, wanted = (pattern_profile(part, grid).ravel() for part in (stem, true))
    return float(np.corrcoef(own, wanted)[0, 1]) if min(own.std(), wanted.std()) > 1e-9 else 0.0


def pattern_profile(part: Part, grid: BeatGrid) -> NDArray[np.float64]:
    """[2, 4 * beats per bar]: mean strength of the starts, in the bass and above, at each sixteenth of the bar."""
    bars = bar_matrix(part, grid)
    return bars.mean(axis=0) if len(bars) else np.zeros((2, _PER_BEAT * grid.beats_per_bar))


def bar_matrix(part: Part, grid: BeatGrid) -> NDArray[np.float64]:
    """[bars, 2, 4 * beats per bar]: the strongest start around each sixteenth of each whole bar, bass and the rest."""
    per_bar = _PER_BEAT * grid.beats_per_bar
    starts = _starts(part)
    times_s = np.arange(starts.shape[1]) / _START_RATE
    sixteenth = np.floor(grid.bar_phase(times_s) * per_bar + 0.5).astype(int)
    bar = sixteenth // per_bar - sixteenth[0] // per_bar
    cells = np.zeros((bar[-1] + 1, 2, per_bar))
    for row, strength in enumerate(starts):
        np.maximum.at(cells[:, row], (bar, sixteenth % per_bar), strength)
    return cells[1:-1]  # the first and the last are in parts


def _starts(part: Part) -> NDArray[np.float64]:
    """[2, T] at `_START_RATE`: rises of the amplitude below and above `_LOW_HZ`, on one scale.

    On one scale, because a click has next to no bass, and the little it has must not count as a kick.
    """
    size = round(part.sample_rate / _START_RATE)
    levels = []
    for kind in ("lowpass", "highpass"):
        band = sosfilt(butter(4, _LOW_HZ, kind, fs=part.sample_rate, output="sos"), part.wave)
        blocks = np.asarray(band)[: len(part.wave) // size * size].reshape(-1, size)
        levels.append(np.sqrt(np.square(blocks).mean(axis=1)))
    amplitude = np.sqrt(np.array(levels))  # between linear, where hats vanish, and logarithmic, where noise counts
    rises = np.maximum(amplitude[:, 2:] - amplitude[:, :-2], 0)
    return np.pad(rises, ((0, 0), (1, 1)))


def syncopation(part: Part, grid: BeatGrid) -> float:
    """Share of the onsets' strength that doesn't fall on a beat, by the nearest sixteenth; 0 for a metronome."""
    if not len(part.onset_times_s) or not part.onset_weights.any():
        return 0.0
    sixteenth = np.round(grid.beat_phase(part.onset_times_s) * _PER_BEAT).astype(int) % _PER_BEAT
    return float(np.average(sixteenth != 0, weights=part.onset_weights))
