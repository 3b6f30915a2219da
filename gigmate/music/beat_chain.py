"""Beats that a piece may have: where those of each period that repeats lie, and what else could be them."""

import numpy as np
from numpy.typing import NDArray

from gigmate.music.evidence import Evidence
from gigmate.music.onsets import Onsets
from gigmate.music.tempo import (
    TempoScores,
    accents,
    best_phase,
    climb,
    refine_period,
    sample_at,
    steady_beats,
    tempo_scores,
)

Beats = NDArray[np.float64]
"""[beats] frames, increasing."""

MIN_BEATS = 4
_RELATED = (0.5, 2 / 3, 1.0, 1.5, 2.0)  # periods that may be the beat when one repeats best
_BEATS_RELATED = (0.5, 1.0, 2.0)  # the same of what the network hears as beats
_FASTEST_BPM = 215.0  # what repeats faster is heard as half a beat
_PLACES = (0.0, 0.25, 0.5, 0.75)  # of the beat with most accents: any of them may be the beat
_BEATS_PLACES = (0.0, 0.5)
_TIGHTNESS = 100.0  # weight of a squared log deviation from the period against accents of unit deviation
_STEADY_SHARE = 0.45  # a steady grid is taken if it stands out of the accents this much as free beats do


def possible_beats(evidence: Evidence, tempi: TempoScores) -> list[Beats]:
    """Beats of the period that repeats best and of its simple relatives; none if the piece is too short for all.

    Accents tell where a beat may lie, to the millisecond in steady pieces; they don't tell which of these it is: that
    is for `gigmate.music.bars`. So are the beats that the network hears, which may be of another period.

    Args:
        evidence: of the piece.
        tempi: of its onsets.
    """
    of_beats = evidence.beat_onsets
    found = _beats_of(evidence.onsets, tempi, _RELATED, _PLACES)
    return found + _beats_of(of_beats, tempo_scores(of_beats), _BEATS_RELATED, _BEATS_PLACES)


def _beats_of(onsets: Onsets, tempi: TempoScores, ratios: tuple[float, ...], places: tuple[float, ...]) -> list[Beats]:
    best = float(tempi.periods[int(tempi.scores.argmax())])
    shortest = max(60.0 * onsets.frame_rate / _FASTEST_BPM, float(tempi.periods[-1]))
    envelope, found = accents(onsets), []
    for related in (best * ratio for ratio in ratios):
        if shortest <= related <= tempi.periods[0]:
            period = climb(tempi, related)
            beats = _place_beats(envelope, period, refine_period(onsets, period))
            found += [beats if place == 0 else beats[:-1] + place * np.diff(beats) for place in places]
    return [beats for beats in found if len(beats) >= MIN_BEATS]


def _place_beats(envelope: NDArray[np.float64], period: float, exact_period: float) -> Beats:
    """Frames of the beats: the steady grid, unless beats that may wander meet clearly more accents."""
    steady = steady_beats(best_phase(envelope, exact_period), exact_period, len(envelope))
    free = _free_beats(envelope, period)
    chance = envelope.mean()
    share = (sample_at(envelope, steady).mean() - chance) / max(sample_at(envelope, free).mean() - chance, 1e-9)
    return steady if share >= _STEADY_SHARE or len(free) < 2 else free


def _free_beats(envelope: NDArray[np.float64], period: float) -> Beats:
    """The chain of frames with the most accents whose steps keep near `period`, by dynamic programming.

    best[t] = envelope[t] + max over steps d of (best[t - d] - tightness * log(d / period)^2)

    Source: Ellis 2007, Beat Tracking by Dynamic Programming.
    """
    steps = np.arange(max(1, round(period / 2)), round(period * 2) + 1)
    costs = _TIGHTNESS * np.log(steps / period) ** 2
    lead = steps[-1]
    best = np.zeros(lead + len(envelope))  # `lead` zeros in front: a chain may start anywhere
    previous = np.zeros(len(envelope), np.int64)
    for t, accent in enumerate(envelope):
        totals = best[lead + t - steps] - costs
        choice = int(totals.argmax())
        best[lead + t] = accent + totals[choice]
        previous[t] = t - steps[choice]
    chain = [len(envelope) - 1 - int(best[::-1][: round(period)].argmax())]
    while previous[chain[-1]] >= 0:
        chain.append(int(previous[chain[-1]]))
    return np.array(chain[::-1], np.float64)
