"""A beat that runs on: a steady line of beats, and a beat that follows such lines without jumping."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gigmate.music.grid import BeatGrid

RELOCK_BEATS = 0.25
"""A line that is further off than this is taken up at once: gliding there would be heard as wrong for longer."""

_GLIDE_BEATS = 2.0  # a smaller change is spread over so many beats: the tempo bends by at most a quarter meanwhile
_RELOCK_OCTAVES = 0.25
_BEATS_AHEAD = 8


@dataclass(frozen=True)
class BeatLine:
    """A steady beat: beat 0, which opens a bar, at `origin_s`, and one more every `period_s`."""

    origin_s: float
    period_s: float
    beats_per_bar: int = 4

    def position(self, times_s: ArrayLike) -> NDArray[np.float64]:
        """Beats since beat 0."""
        return (np.asarray(times_s, np.float64) - self.origin_s) / self.period_s

    def later(self, beats: float) -> "BeatLine":
        """The same line with every beat moved by so many beats."""
        return replace(self, origin_s=self.origin_s + beats * self.period_s)

    @classmethod
    def fit(cls, times_s: ArrayLike, numbers: ArrayLike, beats_per_bar: int = 4) -> "BeatLine":
        """The line with the least squared error in time to beats (two at least) of known `numbers`."""
        times, beats = np.asarray(times_s, np.float64), np.asarray(numbers, np.float64)
        centred = beats - beats.mean()
        period_s = float(centred @ times / (centred @ centred))
        return cls(float(times.mean() - beats.mean() * period_s), period_s, beats_per_bar)


class GlidingBeat:
    """The beat as it is played: goes over to each new line within two beats, or at once where that is far off.

    What was asked for is committed, since somebody plays to it: `grid` takes the time from which its answer is used,
    and changes start at the latest such time.
    """

    def __init__(self) -> None:
        self.num_relocks = 0
        self._line: BeatLine | None = None
        self._behind_beats = 0.0  # at `_since_s`; gone two beats later
        self._since_s = self._front_s = 0.0

    @property
    def line(self) -> BeatLine | None:
        """The line that is followed; None before the first."""
        return self._line

    def follow(self, line: BeatLine, now_s: float) -> None:
        """Go over to a line that was found at `now_s`."""
        start_s = max(now_s, self._front_s)
        old = self._line
        if old is None or _is_far(old, line, start_s):
            self.num_relocks += old is not None
            self._line, self._behind_beats, self._since_s = line, 0.0, start_s
        else:
            self._go_over(line, start_s)

    def nudge(self, beats: float) -> None:
        """Move every beat later by so many beats (earlier if negative), gliding; whole beats move the bar at once."""
        if self._line is not None:
            self._go_over(self._line.later(beats), self._front_s)

    def grid(self, now_s: float, confidence: float) -> BeatGrid | None:
        """Beats from a bar before `now_s` to eight beats after; None while there is no line."""
        self._front_s = max(self._front_s, now_s)
        if self._line is None:
            return None
        bar = self._line.beats_per_bar
        first = bar * (int(np.floor(self._position(now_s) / bar)) - 1)
        beats = np.arange(first, first + 2 * bar + _BEATS_AHEAD + 1)
        return BeatGrid(self._times_s(beats), beats % bar == 0, bar, confidence)

    def _go_over(self, line: BeatLine, start_s: float) -> None:
        behind = float(line.position(start_s) - self._position(start_s))
        self._line, self._behind_beats, self._since_s = line, behind - round(behind), start_s

    def _position(self, time_s: float) -> float:
        assert self._line is not None
        share_left = 1.0 - (time_s - self._since_s) / (_GLIDE_BEATS * self._line.period_s)
        return float(self._line.position(time_s)) - self._behind_beats * float(np.clip(share_left, 0.0, 1.0))

    def _times_s(self, beats: NDArray[np.int_]) -> NDArray[np.float64]:
        """When the beats of these numbers come: the glide is a straight piece between two straight ends."""
        assert self._line is not None
        period_s = self._line.period_s
        glide_s = _GLIDE_BEATS * period_s
        far_s = period_s * (4 * len(beats) + abs(float(beats[0] - self._line.position(self._since_s))))
        knots_s = self._since_s + np.array([-far_s, 0.0, glide_s, glide_s + far_s])
        positions = self._line.position(knots_s) - self._behind_beats * np.array([1.0, 1.0, 0.0, 0.0])
        return np.interp(beats, positions, knots_s)


def _is_far(old: BeatLine, new: BeatLine, time_s: float) -> bool:
    """Whether going from one line to the other is a jump: in tempo, in phase, or into another meter."""
    moved = float(new.position(time_s) - old.position(time_s))
    octaves = abs(np.log2(new.period_s / old.period_s))
    is_other_meter = new.beats_per_bar != old.beats_per_bar
    return is_other_meter or octaves > _RELOCK_OCTAVES or abs(moved - round(moved)) > RELOCK_BEATS
