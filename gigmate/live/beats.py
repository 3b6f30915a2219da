"""Where a session's beats come from: tracked, tapped, from a MIDI clock, or counted in at a given tempo.

All times are seconds on the session's sample clock: the sample index over the rate.
"""

from collections import deque
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gigmate.music.beat_line import BeatLine, GlidingBeat
from gigmate.music.grid import BeatGrid
from gigmate.music.live_tracker import LiveTracker

SourceName = Literal["tracker", "tap", "clock", "tempo"]

TICKS_PER_BEAT = 24
"""Of a MIDI clock."""

_DEFAULT_BPM = 120.0
_NUM_TAPS = 16  # kept: a tempo that drifts is followed within so many
_SURE_TAPS = 5
_MIN_TAP_GAP_S = 0.2  # a shorter one is a finger that bounced
_MAX_TAP_GAP_S = 2.2  # a longer one opens a new count: slower than 30 bpm nobody taps
_FIRST_TICKS, _MAX_TICK_GAP_S = TICKS_PER_BEAT // 4 + 1, 0.5  # after a longer gap the clock begins anew, with a bar


class BeatSource:
    """A source of the beat grid. What a source doesn't listen to (`push`, `tap`, `tick`) passes it by."""

    name: SourceName

    def __init__(self) -> None:
        self._beat = GlidingBeat()

    @property
    def confidence(self) -> float:
        """0 (a guess) to 1 (known)."""
        raise NotImplementedError

    @property
    def num_relocks(self) -> int:
        """How often the beat jumped because what was followed had been wrong."""
        return self._beat.num_relocks

    def grid(self, now_s: float) -> BeatGrid | None:
        """The beats around `now_s` and on, None while there are none.

        Args:
            now_s: time of the frame that is made next. What comes before it counts as played: the answer of a later
                call goes on from there without a jump of more than a quarter beat, unless the source locks anew.
        """
        return self._beat.grid(now_s, self.confidence)

    def nudge(self, beats: float) -> None:
        """Move every beat later by so many beats (earlier if negative); goes over within two beats."""
        self._beat.nudge(beats)

    def push(self, wave: NDArray[np.float32], frame_index: int) -> None:
        """The next frame of the mix, [hop] at the codec's rate."""

    def tap(self, sample_index: int) -> None:
        """A beat, tapped."""

    def tick(self, sample_index: int) -> None:
        """A tick of a MIDI clock."""


class TempoBeats(BeatSource):
    """A steady tempo from sample 0 on, which opens a bar: the count-in."""

    name = "tempo"

    def __init__(self, bpm: float = _DEFAULT_BPM, beats_per_bar: int = 4) -> None:
        super().__init__()
        self._beat.follow(BeatLine(0.0, 60.0 / bpm, beats_per_bar), 0.0)

    @property
    def confidence(self) -> float:
        """1: it is given."""
        return 1.0


class TapBeats(BeatSource):
    """Beats that somebody taps, the first of a count on a downbeat; two give a grid, which runs on by itself.

    The median interval numbers the taps, so that one left out does no harm; the line of least squares goes through.

    Args:
        sample_rate: of the indices that `tap` is given.
        beats_per_bar: of the grid.
    """

    name = "tap"

    def __init__(self, sample_rate: int, beats_per_bar: int = 4) -> None:
        super().__init__()
        self._sample_rate, self._beats_per_bar = sample_rate, beats_per_bar
        self._times_s: deque[float] = deque(maxlen=_NUM_TAPS)
        self._numbers: deque[int] = deque(maxlen=_NUM_TAPS)
        self._confidence, self._nudged_beats = 0.0, 0.0

    @property
    def confidence(self) -> float:
        """Rises with five taps, falls with their unevenness."""
        return self._confidence

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


class TrackerBeats(BeatSource):
    """Beats that are heard in the mix, given to `push` at `sample_rate`."""

    name = "tracker"

    def __init__(self, sample_rate: int, beats_per_bar: int = 4) -> None:
        super().__init__()
        self._sample_rate = sample_rate
        self._tracker = LiveTracker(sample_rate, beats_per_bar)
        self._num_samples, self._nudged_beats = 0, 0.0

    @property
    def confidence(self) -> float:
        """How clearly the beat stands out, 0 before there is one."""
        return self._tracker.confidence

    def nudge(self, beats: float) -> None:
        """As of every source; what is tracked from now on is moved likewise, until the tracker locks anew."""
        super().nudge(beats)
        self._nudged_beats += beats

    def push(self, wave: NDArray[np.float32], frame_index: int) -> None:
        """The next frame of the mix, [hop]; frames left out count as silence.

        Raises:
            ValueError: a frame that was pushed already.
        """
        missing_samples = frame_index * len(wave) - self._num_samples
        if missing_samples < 0:
            raise ValueError(f"frame {frame_index} was pushed already")
        if missing_samples:
            self._tracker.push(np.zeros(missing_samples, np.float32))
        self._tracker.push(wave)
        self._num_samples += missing_samples + len(wave)
        line, relocks = self._tracker.line, self._beat.num_relocks
        if line is not None:
            self._beat.follow(line.later(self._nudged_beats), self._num_samples / self._sample_rate)
            if self._beat.num_relocks > relocks and self._nudged_beats:
                self._nudged_beats = 0.0  # the player mended a lock that is given up


def beat_source(
    name: SourceName, *, sample_rate: int, codec_rate: int, bpm: float | None = None, beats_per_bar: int = 4
) -> BeatSource:
    """The source of this name, as a client asks for it.

    Args:
        name: which.
        sample_rate: of the client's samples, for taps and ticks.
        codec_rate: of the frames, for the tracker.
        bpm: for "tempo"; None: 120.
        beats_per_bar: of the grid.
    """
    match name:
        case "tempo":
            return TempoBeats(_DEFAULT_BPM if bpm is None else bpm, beats_per_bar)
        case "tap":
            return TapBeats(sample_rate, beats_per_bar)
        case "clock":
            return ClockBeats(sample_rate, beats_per_bar)
        case "tracker":
            return TrackerBeats(codec_rate, beats_per_bar)
