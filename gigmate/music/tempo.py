"""How fast: the beat period of a piece from its onsets, and whether it is steady enough for one exact period."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigmate.music.onsets import Onsets

MIN_BPM, MAX_BPM = 40.0, 240.0
"""Tempi that are looked for."""

# Where people tap: decides between a tempo and its half or double, which repeat almost as well.
_PRIOR_BPM, _PRIOR_WEIGHT = 145.0, 0.15  # weight of a squared distance in octaves, against correlations of at most 1
_COMB = (0.5, 1, 2, 4, 8)  # beats: lags that must all show the period. Odd ones would favour triple time over duple.
_REFINE_RANGE = 0.03  # relative: the exact period is looked for this near to the first estimate


class TempoScores(NamedTuple):
    """Tempi [n] side by side.

    Args:
        periods: frames a beat, falling.
        repeats: how clearly the onsets repeat with it, at most 1.
        scores: the same less a penalty for tempi that are far from where people tap.
    """

    periods: NDArray[np.float64]
    repeats: NDArray[np.float64]
    scores: NDArray[np.float64]


def accents(onsets: Onsets) -> NDArray[np.float64]:
    """[F] what a beat should fall on: any start counts, a kick or bass more."""
    return onsets.strength + 0.5 * onsets.low


def tempo_scores(onsets: Onsets) -> TempoScores:
    """Every tempo that is looked for, with what speaks for it.

    The autocorrelation at a comb of beat multiples, less a penalty for tempi that are far from the usual ones.
    The figures were chosen on rendered MIDI songs and drum loops.
    Source: Ellis 2007 for the prior, Klapuri et al. 2006 for the comb.
    """
    correlation = _autocorrelation(onsets.strength)
    bpm = np.exp(np.arange(np.log(MIN_BPM), np.log(MAX_BPM), 0.005))
    lags = 60.0 * onsets.frame_rate / bpm
    known = np.arange(len(correlation))
    repeats = np.mean([np.interp(lags * beats, known, correlation, right=0.0) for beats in _COMB], axis=0)
    return TempoScores(lags, repeats, repeats - _PRIOR_WEIGHT * np.log2(bpm / _PRIOR_BPM) ** 2)


def climb(tempi: TempoScores, period: float) -> float:
    """The period that repeats best within 4 % of this one."""
    near = np.flatnonzero(np.abs(tempi.periods / period - 1) < 0.04)
    return float(tempi.periods[near[int(tempi.repeats[near].argmax())]]) if len(near) else period


def refine_period(onsets: Onsets, period: float) -> float:
    """Frames a beat, exact to about a beat's tenth over the whole piece, if the piece keeps one tempo throughout.

    The sharpest peak near `period` in the spectrum of the accents, where beat, half beat and quarter beat agree:
    a piece of n beats separates tempi that differ by 1/n, an autocorrelation lag only by 1/frame_rate.
    """
    envelope = accents(onsets)
    size = 1 << int(np.ceil(np.log2(8 * len(envelope))))
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean(), size))
    low, high = (size / period * (1 + sign * _REFINE_RANGE) for sign in (-1, 1))
    bins = np.arange(int(low), int(high) + 2)
    bins = bins[4 * bins < len(spectrum)]
    peaks = spectrum[bins] + spectrum[2 * bins] + spectrum[4 * bins]
    best = int(np.argmax(peaks))
    if 0 < best < len(bins) - 1:  # the top of the parabola through the peak and its neighbours
        before, top, after = peaks[best - 1 : best + 2]
        return size / (bins[best] + 0.5 * (before - after) / (before - 2 * top + after))
    return size / float(bins[best])


def best_phase(envelope: NDArray[np.float64], period: float) -> float:
    """The frame of the first beat, in 0..period, at which a steady grid of `period` meets most accents."""
    offsets = np.arange(0.0, period, 0.5)
    meets = [sample_at(envelope, steady_beats(o, period, len(envelope))).mean() for o in offsets]
    return float(offsets[int(np.argmax(meets))])


def steady_beats(first: float, period: float, num_frames: int) -> NDArray[np.float64]:
    """Frames of the beats of a steady grid within the piece."""
    return np.arange(first, num_frames - 0.5, period)


def sample_at(envelope: NDArray[np.float64], frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """The envelope at fractional frames."""
    return np.interp(frames, np.arange(len(envelope)), envelope)


def _autocorrelation(envelope: NDArray[np.float64]) -> NDArray[np.float64]:
    """[F // 2 + 1], 1 at lag 0; each lag weighted as if all pairs were there."""
    size = len(envelope)
    power = np.square(np.abs(np.fft.rfft(envelope - envelope.mean(), 2 * size)))
    sums = np.fft.irfft(power)[: size // 2 + 1]
    sums = sums / (size - np.arange(len(sums)))
    return sums / sums[0] if sums[0] > 0 else np.zeros_like(sums)
