"""Beats that a player counts out: taps, and the ticks of a MIDI clock."""

from collections import deque

import numpy as np

from gigmate.live.beat_source import BeatSource
from gigmate.music.beat_line import BeatLine, GlidingBeat

TICKS_PER_BEAT = 24
"""Of a MIDI clock."""

_NUM_TAPS = 16  # kept: a tempo that drifts is followed within so many
_SURE_TAPS = 5
_MIN_TAP_GAP_S = 0.2  # a shorter one is a finger that bounced
_MAX_TAP_GAP_S = 2.2  # a longer one opens a new count: slower than 30 bpm nobody taps
_FIRST_TICKS, _MAX_TICK_GAP_S = TICKS_PER_BEAT // 4 + 1, 0.5  # after a longer gap the clock begins anew, with a bar


class TapBeats(BeatSource):
    """Beats that somebody taps, the first of a count on a downbeat; two give a grid, which runs on by itself.

    The median interval numbers the taps, so that one left out does no harm; the line of least squares goes through.

    Args:
        sample_rate: of the indices that `tap` is given.
        beats_per_bar: of the grid.
        beat: see `BeatSource`.
    """

    name = "tap"

    def __init__(self, sample_rate: int, beats_per_bar: int = 4, beat: GlidingBeat | None = None) -> None:
        super().__init__(beat)
        self._sample_rate, self._beats_per_bar = sample_rate, beats_per_bar
        self._times_s: deque[float] = deque(maxlen=_NUM_TAPS)
        self._numbers: deque[int] = deque(maxlen=_NUM_TAPS)
        self._confidence, self._nudged_beats = 0.0, 0.0

    @property
    def confidence(self) -> float:
        """Rises with five taps, falls with their unevenness."""
        return self._confidence

    @property
    def num_taps(self) -> int:
        """Of the count that goes on, as far back as taps are kept; two give a grid."""
        return len(self._times_s)

    def nudge(self, beats: float) -> None:
        """As of every source; later taps of the same count are understood as nudged likewise."""
        super().nudge(beats)
        self._nudged_beats += beats

    def tap(self, sample_index: int) -> None:
        """A beat at this sample. One that comes too soon after the last is dropped, one after a pause counts anew."""
        time_s = sample_index / self._sample_rate
        gap_s = time_s - self._times_s[-1] if self._times_s else np.inf
        if gap_s < _MIN_TAP_GAP_S:
            return
        if gap_s > _MAX_TAP_GAP_S:
            self._times_s.clear()
            self._numbers.clear()
            self._nudged_beats = 0.0
        self._numbers.append(self._numbers[-1] + self._num_beats(gap_s) if self._numbers else 0)
        self._times_s.append(time_s)
        if len(self._times_s) > 1:
            self._lock(time_s)

    def _num_beats(self, gap_s: float) -> int:
        if len(self._times_s) < 3:
            return 1
        usual_s = float(np.median(np.diff(self._times_s) / np.diff(self._numbers)))
        return max(1, round(gap_s / usual_s))

    def _lock(self, now_s: float) -> None:
        times_s, numbers = np.array(self._times_s), np.array(self._numbers)
        line = BeatLine.fit(times_s, numbers, self._beats_per_bar)
        uneven_beats = float(np.abs(line.position(times_s) - numbers).mean())
        self._confidence = min(1.0, (len(times_s) - 1) / (_SURE_TAPS - 1)) * max(0.0, 1.0 - 4.0 * uneven_beats)
        self._beat.follow(line.later(self._nudged_beats), now_s)


class ClockBeats(BeatSource):
    """The beats of a MIDI clock, 24 ticks each; the first tick after a pause opens a bar.

    Ticks are counted, never guessed (none is lost, some are late); the line of least squares goes through two beats.

    Args:
        sample_rate: of the indices that `tick` is given.
        beats_per_bar: of the grid.
    """

    name = "clock"

    def __init__(self, sample_rate: int, beats_per_bar: int = 4) -> None:
        super().__init__()
        self._sample_rate, self._beats_per_bar = sample_rate, beats_per_bar
        self._times_s: deque[float] = deque(maxlen=2 * TICKS_PER_BEAT)
        self._num_ticks, self._nudged_beats = 0, 0.0

    @property
    def confidence(self) -> float:
        """1 after a beat of ticks."""
        return min(1.0, len(self._times_s) / TICKS_PER_BEAT)

    def nudge(self, beats: float) -> None:
        """As of every source; later ticks are understood as nudged likewise."""
        super().nudge(beats)
        self._nudged_beats += beats

    def tick(self, sample_index: int) -> None:
        """A tick at this sample; two may come at once, none comes before the last."""
        time_s = sample_index / self._sample_rate
        if self._times_s and time_s > self._times_s[-1] + _MAX_TICK_GAP_S:
            self._times_s.clear()
            self._num_ticks, self._nudged_beats = 0, 0.0
        self._times_s.append(max(time_s, self._times_s[-1]) if self._times_s else time_s)
        self._num_ticks += 1
        times_s = np.array(self._times_s)
        if len(times_s) >= _FIRST_TICKS and times_s[-1] > times_s[0]:
            numbers = np.arange(self._num_ticks - len(times_s), self._num_ticks) / TICKS_PER_BEAT
            line = BeatLine.fit(times_s, numbers, self._beats_per_bar)
            self._beat.follow(line.later(self._nudged_beats), time_s)
