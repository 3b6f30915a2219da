"""Which beat it is: tempo and phase hypotheses, judged by what falls on their beats and between them.

Rises alone can't tell a beat from its off-beat, nor a tempo from its double. What speaks for a beat is weighed by a
few numbers that were learned from songs with known beats (`experiments/005_live_tracker`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from gigmate.music.evidence import Evidence
from gigmate.music.onsets import RISES
from gigmate.music.tempo import TempoScores, climb

NUM_FEATURES = 38
_PLACES = np.array([0.0, 0.5, 0.25, 0.75])  # of the beat
_MEMORY_S = 6.0  # how fast older onsets count for less
_RELATED = (0.5, 2 / 3, 1.0, 1.5, 2.0)  # periods that may be the beat when one repeats best
_NUM_PHASES, _BAR = 4, 4
_WEIGHTS = (
    0.51, 0.52, -0.13, 0.22, -0.41, 0.11,  # any rise: places 0, 1/2, 1/4, 3/4; strongest of two, of four beats
    0.16, 0.08, -0.78, 0.41, 0.16, 0.32,  # low
    0.46, 0.04, 0.05, 0.35, -0.27, 0.28,  # mid
    0.68, 0.24, -0.59, 0.36, 0.18, -0.09,  # high
    1.59, -0.37, -0.77, -1.03, -0.08, 0.34,  # change of chroma
    0.43, 4.52, 1.93,  # how clearly half a beat, a beat, two beats repeat
    0.73, -1.42, 0.22, -1.34, 1.15,  # octaves from 120 bpm: as they are, squared, cubed, |cubed|, above 0
)  # fmt: skip


@dataclass(frozen=True)
class Hypotheses:
    """Beats side by side [H]: frames a beat, and frames from the last beat to the newest frame."""

    periods: NDArray[np.float64]
    ages: NDArray[np.float64]


def propose(evidence: Evidence, tempi: TempoScores) -> Hypotheses:
    """The period that repeats best and its simple relatives, each at the phase that meets most and quarters from it."""
    best = float(tempi.periods[int(tempi.scores.argmax())])
    related = best * np.array(_RELATED)
    periods = [climb(tempi, p) for p in related if tempi.periods[-1] <= p <= tempi.periods[0]]
    ages = [(_best_age(evidence, p) + p * np.arange(_NUM_PHASES) / _NUM_PHASES) % p for p in periods]
    return Hypotheses(np.repeat(periods, _NUM_PHASES), np.concatenate(ages))


def describe(evidence: Evidence, tempi: TempoScores, beats: Hypotheses) -> NDArray[np.float64]:
    """What speaks for each hypothesis [H, NUM_FEATURES].

    How strong each envelope is on four places of the beat; on that of every second and of every fourth beat where it is
    strongest, which is where chords change if these are beats; how clearly the period repeats; the tempo.
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
    return np.concatenate([found, np.stack([*repeats, *tempo], axis=1)], axis=1)


def judge(evidence: Evidence, tempi: TempoScores, beats: Hypotheses) -> NDArray[np.float64]:
    """The log probability of each hypothesis [H], but for a constant."""
    return describe(evidence, tempi, beats) @ np.array(_WEIGHTS)


def _best_age(evidence: Evidence, period: float) -> float:
    """Frames since the last beat of the phase that meets most rises."""
    envelope = evidence.envelopes[RISES.index("all")]
    ages = np.arange(0.0, period)
    back = ages[:, None] + period * np.arange(int(len(envelope) / period) + 1)
    weights = (back < len(envelope)) * np.exp(-back / (_MEMORY_S * evidence.frame_rate))
    frames = len(envelope) - 1 - np.minimum(np.round(back).astype(int), len(envelope) - 1)
    return float(ages[int(((envelope[frames] * weights).sum(1) / weights.sum(1)).argmax())])
