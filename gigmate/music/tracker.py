"""Beats of a recording: onsets, tempo, then the beats that fit both best; for whole files, not live."""

import numpy as np
from numpy.typing import NDArray

from gigmate.music.grid import BeatGrid
from gigmate.music.meter import find_meter
from gigmate.music.onsets import analyse
from gigmate.music.tempo import accents, best_phase, estimate_period, refine_period, sample_at, steady_beats

_TIGHTNESS = 100.0  # weight of a squared log deviation from the period against accents of unit deviation
_STEADY_SHARE = 0.45  # a steady grid is taken if it stands out of the accents this much as free beats do
_MIN_SECONDS = 3.0
_MIN_RATE = 1000
_UNKNOWN_BPM = 120.0


def track_beats(wave: NDArray[np.float32], sample_rate: int) -> BeatGrid:
    """The beat grid of a recording: steady to the millisecond where the piece is, else following the player.

    Args:
        wave: [N] or [C, N] float, nominally within -1..1.
        sample_rate: Hz.

    Returns:
        Beats over the whole piece; its confidence is how clearly the period repeats, not a probability that the tempo
        is the one a person would tap. Silence, or less than 3 s, gives 120 bpm in 4/4 with confidence 0.

    Raises:
        ValueError: a wave of another shape or with values that aren't finite, or a rate under 1 kHz.
    """
    if wave.ndim not in (1, 2) or sample_rate < _MIN_RATE:
        raise ValueError(f"wave {wave.shape} at {sample_rate} Hz must be [N] or [C, N] at >= {_MIN_RATE} Hz")
    mono = wave if wave.ndim == 1 else wave.mean(axis=0, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise ValueError("wave holds values that aren't finite: gigmate.audio.read_audio refuses such files")
    duration_s = len(mono) / sample_rate
    if duration_s < _MIN_SECONDS:
        return _no_idea(duration_s)
    onsets = analyse(mono, sample_rate)
    period, salience = estimate_period(onsets)
    if salience == 0.0:
        return _no_idea(duration_s)
    beats = _place_beats(accents(onsets), period, refine_period(onsets, period))
    downbeats, beats_per_bar = find_meter(onsets, beats)
    return BeatGrid(beats / onsets.frame_rate, downbeats, beats_per_bar, confidence=salience)


def _no_idea(duration_s: float) -> BeatGrid:
    grid = BeatGrid.from_tempo(_UNKNOWN_BPM, 4, duration_s)
    return BeatGrid(grid.beat_times_s, grid.downbeats, 4, confidence=0.0)


def _place_beats(envelope: NDArray[np.float64], period: float, exact_period: float) -> NDArray[np.float64]:
    """Frames of the beats: the steady grid, unless beats that may wander meet clearly more accents."""
    steady = steady_beats(best_phase(envelope, exact_period), exact_period, len(envelope))
    free = _free_beats(envelope, period)
    chance = envelope.mean()
    share = (sample_at(envelope, steady).mean() - chance) / max(sample_at(envelope, free).mean() - chance, 1e-9)
    return steady if share >= _STEADY_SHARE or len(free) < 2 else free


def _free_beats(envelope: NDArray[np.float64], period: float) -> NDArray[np.float64]:
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
