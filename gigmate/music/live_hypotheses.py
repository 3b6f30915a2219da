"""Which beat it is: tempo and phase hypotheses, judged by what falls on their beats and between them.

Rises alone can't tell a beat from its off-beat, nor a tempo from its double. What speaks for a beat is weighed by a
few numbers that were learned from songs with known beats (`experiments/005_live_tracker`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from gigmate.music.evidence import Evidence
from gigmate.music.onsets import Onsets
from gigmate.music.tempo import TempoScores, climb, tempo_scores

NUM_FEATURES = 43
_PLACES = np.array([0.0, 0.5, 0.25, 0.75])  # of the beat
_MEMORY_S = 6.0  # how fast older onsets count for less
_RELATED = (0.5, 2 / 3, 1.0, 1.5, 2.0)  # periods that may be the beat when one repeats best
_BEATS_RELATED = (0.5, 1.0, 2.0)  # the same of what the network hears as beats
_SAME_PERIOD, _SAME_PHASE = 0.05, 0.13
_BAR = 4
_WEIGHTS = (
    0.15, 0.45, 0.08, 0.22, -0.34, -0.07,  # any rise: places 0, 1/2, 1/4, 3/4; strongest of two, of four beats
    -0.21, 0.14, 0.11, 0.27, 0.29, 0.35,  # low
    0.55, -0.06, 0.21, -0.23, -0.11, 0.20,  # mid
    0.27, 0.02, -0.13, 0.28, -0.06, -0.14,  # high
    0.68, 0.64, -0.36, -0.18, 0.15, 0.62,  # change of chroma
    0.32, 3.53, 0.54,  # how clearly half a beat, a beat, two beats repeat
    0.82, -1.21, 0.20, -1.10, 1.14,  # octaves from 120 bpm: as they are, squared, cubed, |cubed|, above 0
    0.56, -0.19, -0.24, -0.07, 0.22,  # the network's beats: places 0, 1/2, 1/4, 3/4; of a second
)  # fmt: skip


_Frames = float | NDArray[np.float64]


@dataclass(frozen=True)
class Hypotheses:
    """Beats side by side [H]: frames a beat, and frames from the last beat to the newest frame."""

    periods: NDArray[np.float64]
    ages: NDArray[np.float64]


def propose(evidence: Evidence, tempi: TempoScores) -> Hypotheses:
    """The period that repeats best and its simple relatives, each at the phase that meets most and others beside it.

    Once of all that starts, with quarters of the beat beside it; once of the beats that the network hears, with halves.
    What both name is there once: twice it would share its probability with itself.
    """
    of_beats = evidence.beat_onsets
    by_starts = _propose(evidence.onsets, tempi, _RELATED, 4)
    by_beats = _propose(of_beats, tempo_scores(of_beats), _BEATS_RELATED, 2)
    periods, ages = (np.concatenate(parts) for parts in zip(by_starts, by_beats, strict=True))
    known = np.triu(is_same(Hypotheses(periods, ages), periods[:, None], ages[:, None]), 1).any(0)
    return Hypotheses(periods[~known], ages[~known])


def is_same(beats: Hypotheses, period: _Frames, age: _Frames) -> NDArray[np.bool_]:
    """Which hypotheses are the beat of that period and age."""
    apart = (beats.ages - age) / period
    return (np.abs(beats.periods / period - 1) < _SAME_PERIOD) & (np.abs(apart - np.round(apart)) < _SAME_PHASE)


def _propose(
    onsets: Onsets, tempi: TempoScores, ratios: tuple[float, ...], num_phases: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Periods and ages."""
    related = float(tempi.periods[int(tempi.scores.argmax())]) * np.array(ratios)
    periods = [climb(tempi, p) for p in related if tempi.periods[-1] <= p <= tempi.periods[0]]
    ages = [(_best_age(onsets, p) + p * np.arange(num_phases) / num_phases) % p for p in periods]
    return np.repeat(periods, num_phases), np.concatenate(ages)


def describe(evidence: Evidence, tempi: TempoScores, beats: Hypotheses) -> NDArray[np.float64]:
    """What speaks for each hypothesis [H, NUM_FEATURES].

    How strong each envelope is on four places of the beat; on that of every second and of every fourth beat where it is
    strongest, which is where chords change if these are beats; how clearly the period repeats; the tempo; how sure the
    network is of a beat on the four places, and of the beats of a second.
    """
    size = evidence.envelopes.shape[1]
    envelopes = maximum_filter1d(evidence.envelopes, 3, axis=1)
    envelopes /= envelopes.mean(axis=1, keepdims=True) + 0.05
    num_bars = int(size / beats.periods.min() / _BAR) + 1
    periods = beats.periods[:, None, None]
    back = beats.ages[:, None, None] + periods * (np.arange(num_bars * _BAR)[:, None] - _PLACES)
    back = np.where(back < 0, back + periods * num_bars * _BAR, back)  # not yet heard: an old one in its place
    weights = (back < size) * np.exp(-back / (_MEMORY_S * evidence.frame_rate))
    meets = envelopes[:, size - 1 - np.minimum(np.round(back).astype(int), size - 1)] * weights  # [5, H, beats, places]
    num_beats, num_envelopes = len(beats.periods), len(envelopes)
    places = meets.sum(2) / weights.sum(1)
    strongest = []
    for group in (2, _BAR):
        shape = (num_beats, -1, group)
        sums = meets[..., 0].reshape(num_envelopes, *shape).sum(2)
        strongest.append((sums / (weights[..., 0].reshape(shape).sum(1) + 1e-9)).max(axis=2, keepdims=True))
    found = np.log1p(np.concatenate([places, *strongest], axis=2)).transpose(1, 0, 2).reshape(num_beats, -1)
    repeats = [np.interp(-beats.periods * m, -tempi.periods, tempi.repeats) for m in (0.5, 1.0, 2.0)]
    octaves = np.log2(60.0 * evidence.frame_rate / beats.periods / 120.0)
    tempo = [octaves, octaves**2, octaves**3, np.abs(octaves) ** 3, np.maximum(octaves, 0.0)]
    is_beat = maximum_filter1d(evidence.beats[0], 3)[size - 1 - np.minimum(np.round(back).astype(int), size - 1)]
    sure = (is_beat * weights).sum(1) / weights.sum(1)  # [H, places]
    per_second = sure[:, :1] * evidence.frame_rate / beats.periods[:, None]
    return np.concatenate([found, np.stack([*repeats, *tempo], axis=1), sure, per_second], axis=1)


def judge(evidence: Evidence, tempi: TempoScores, beats: Hypotheses) -> NDArray[np.float64]:
    """The log probability of each hypothesis [H], but for a constant."""
    return describe(evidence, tempi, beats) @ np.array(_WEIGHTS)


def _best_age(onsets: Onsets, period: float) -> float:
    """Frames since the last beat of the phase that meets most starts."""
    envelope = onsets.strength
    ages = np.arange(0.0, period)
    back = ages[:, None] + period * np.arange(int(len(envelope) / period) + 1)
    weights = (back < len(envelope)) * np.exp(-back / (_MEMORY_S * onsets.frame_rate))
    frames = len(envelope) - 1 - np.minimum(np.round(back).astype(int), len(envelope) - 1)
    return float(ages[int(((envelope[frames] * weights).sum(1) / weights.sum(1)).argmax())])
