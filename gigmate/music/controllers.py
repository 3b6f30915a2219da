"""What a synthesizer ignores and what is done about it: volume and expression as a gain, bends as a count."""

import numpy as np
from numpy.typing import NDArray
from symusic.core import ScoreTick, TrackTick

from gigmate.music.midi import seconds_of

VOLUME, EXPRESSION = 7, 11
"""Controller numbers."""

_AT_START = {VOLUME: 100, EXPRESSION: 127}  # what General MIDI says of a channel that says nothing
_RAMP_S = 0.01  # a step of the gain is spread over this time: no click


def gain_curve(
    score: ScoreTick, track: TrackTick, num_samples: int, sample_rate: int
) -> NDArray[np.float32] | np.float32:
    """The gain of a track at each sample [N], or one gain if it never changes: the product of (value / 127)^2.

    Source: General MIDI Level 1 developer guidelines (40 log10 of the value).
    """
    gain: NDArray[np.float32] | np.float32 = np.float32(1.0)
    for number, value_at_start in _AT_START.items():
        events = sorted((c.time, i, c.value) for i, c in enumerate(track.controls) if c.number == number)
        ticks = np.array([0] + [tick for tick, _, _ in events], np.int64)
        gains = (np.array([value_at_start] + [value for _, _, value in events]) / 127.0) ** 2
        is_last = np.append(np.diff(ticks) > 0, True)  # of several values at one time the last one counts
        times_s, gains = seconds_of(score, ticks[is_last]), gains[is_last]
        gain = gain * _steps(times_s, gains, num_samples, sample_rate)
    return gain


def count_bends(track: TrackTick) -> int:
    """Pitch bends that bend."""
    return sum(bend.value != 0 for bend in track.pitch_bends)


def _steps(
    times_s: NDArray[np.float64], gains: NDArray[np.float64], num_samples: int, sample_rate: int
) -> NDArray[np.float32] | np.float32:
    """Held values with short ramps from one to the next."""
    if len(gains) == 1:
        return np.float32(gains[0])
    ends_s = np.minimum(times_s[1:] + _RAMP_S, np.append(times_s[2:], np.inf))
    knots_s = np.concatenate([[times_s[0]], np.stack([times_s[1:], ends_s], axis=1).ravel()])
    values = np.concatenate([[gains[0]], np.stack([gains[:-1], gains[1:]], axis=1).ravel()])
    return np.interp(np.arange(num_samples) / sample_rate, knots_s, values).astype(np.float32)
