"""The beat grid: where beats and bars lie at any time, also past the ends of what is known."""

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gigmate.music.beat_file import read_beats, write_beats

BEAT_FEATURES = 10
"""G, the rows of `BeatGrid.features`: four cycles as sine and cosine, tempo, confidence."""

# The tempo past an end is the mean over this many beats: one jittery beat must not turn the future.
_EDGE_BEATS = 4


@dataclass(frozen=True, eq=False)
class BeatGrid:
    """Beats and downbeats of a piece; answers for every time, the future too ("no grid" is `None`).

    Args:
        beat_times_s: [beats] float64, strictly increasing, at least two.
        downbeats: [beats] bool, at least one True: the beat opens a bar.
        beats_per_bar: the usual length of a bar, and that of every bar past the ends.
        confidence: 0 (a guess) to 1 (known).

    Raises:
        ValueError: one of the above doesn't hold.
    """

    beat_times_s: NDArray[np.float64]
    downbeats: NDArray[np.bool_]
    beats_per_bar: int = 4
    confidence: float = 1.0

    def __post_init__(self) -> None:
        times = np.array(self.beat_times_s, dtype=np.float64)
        downbeats = np.array(self.downbeats, dtype=np.bool_)
        is_increasing = times.ndim == 1 and len(times) >= 2 and bool((np.diff(times) > 0).all())
        if not is_increasing or not np.isfinite(times).all():
            raise ValueError(f"beat_times_s {times.shape} must be >= 2 finite, strictly increasing times")
        if downbeats.shape != times.shape or not downbeats.any():
            raise ValueError(f"downbeats {downbeats.shape} must match {times.shape} beats and hold a True")
        if self.beats_per_bar < 1:
            raise ValueError(f"beats_per_bar is {self.beats_per_bar}, must be >= 1")
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence is {self.confidence}, must be in 0..1")
        times.flags.writeable = downbeats.flags.writeable = False
        object.__setattr__(self, "beat_times_s", times)
        object.__setattr__(self, "downbeats", downbeats)

    @classmethod
    def from_tempo(cls, bpm: float, beats_per_bar: int, duration_s: float, offset_s: float = 0.0) -> "BeatGrid":
        """A steady grid whose first downbeat is at `offset_s`, with beats up to `duration_s` (two at least).

        Raises:
            ValueError: a tempo that isn't positive.
        """
        if not bpm > 0:
            raise ValueError(f"bpm is {bpm}, must be > 0")
        num_periods = (duration_s - offset_s) * bpm / 60.0
        index = np.arange(max(2, int(num_periods + 1e-9) + 1))
        times_s = np.asarray(offset_s + index * (60.0 / bpm), np.float64)
        return cls(times_s, index % beats_per_bar == 0, beats_per_bar)

    @classmethod
    def from_file(cls, path: str | Path) -> "BeatGrid":
        """Read one beat time in seconds a line, `d` after a downbeat; `#` opens a comment.

        Without a `d` the first beat is taken as a downbeat of 4/4.

        Raises:
            InputError: unreadable, or a line that makes no sense, with its number.
        """
        times_s, downbeats = read_beats(path)
        if not any(downbeats):
            downbeats[0] = True
        return cls(np.array(times_s), np.array(downbeats), _usual_bar(np.flatnonzero(downbeats)))

    def to_file(self, path: str | Path) -> None:
        """Write what `from_file` reads, exactly; `path` appears complete or not at all."""
        write_beats(path, self.beat_times_s.tolist(), self.downbeats.tolist())

    def shift(self, seconds: float) -> "BeatGrid":
        """The same grid, `seconds` later."""
        return replace(self, beat_times_s=self.beat_times_s + seconds)

    def beat_phase(self, times_s: ArrayLike) -> NDArray[np.float64]:
        """Beats since the first downbeat: whole on beats, linear between them and past both ends."""
        return self._position(times_s) - int(self.downbeats.argmax())

    def bar_phase(self, times_s: ArrayLike) -> NDArray[np.float64]:
        """Bars since the first downbeat: whole on downbeats, linear in beats between them."""
        opens = np.flatnonzero(self.downbeats).astype(np.float64)
        return _interpolate(self._position(times_s), opens, (self.beats_per_bar, self.beats_per_bar))

    def tempo_bpm(self, times_s: ArrayLike) -> NDArray[np.float64]:
        """Tempo at each time: that of the interval between the beats around it."""
        before_s, after_s = self._edge_periods_s()
        periods_s = np.concatenate([[before_s], np.diff(self.beat_times_s), [after_s]])
        return 60.0 / periods_s[np.searchsorted(self.beat_times_s, np.asarray(times_s), side="right")]

    def features(self, num_frames: int, frame_rate: Fraction | float, start_frame: int = 0) -> NDArray[np.float32]:
        """What the model is told of the grid: [G, T] float32, taken at the middle of each frame.

        Rows: sine and cosine of the cycles of bar, beat, half beat and quarter beat; log2 of tempo over
        120 bpm; confidence. Never all zero, so that zeros can stand for "no grid".

        Args:
            num_frames: T.
            frame_rate: frames per second.
            start_frame: frame of the first column; may be negative, or past the last beat.
        """
        times_s = (np.arange(start_frame, start_frame + num_frames) + 0.5) / float(frame_rate)
        beats = self.beat_phase(times_s)
        angles = 2 * np.pi * np.stack([self.bar_phase(times_s), beats, 2 * beats, 4 * beats])
        cycles = np.stack([np.sin(angles), np.cos(angles)], axis=1).reshape(8, num_frames)
        tempo = np.log2(self.tempo_bpm(times_s) / 120.0)
        return np.vstack([cycles, tempo, np.full(num_frames, self.confidence)]).astype(np.float32)

    def _position(self, times_s: ArrayLike) -> NDArray[np.float64]:
        """Beats since the first beat."""
        return _interpolate(np.asarray(times_s, np.float64), self.beat_times_s, self._edge_periods_s())

    def _edge_periods_s(self) -> tuple[float, float]:
        """Seconds a beat before the first and after the last beat."""
        times, n = self.beat_times_s, min(_EDGE_BEATS, len(self.beat_times_s) - 1)
        return float(times[n] - times[0]) / n, float(times[-1] - times[-1 - n]) / n


def _interpolate(
    x: NDArray[np.float64], knots: NDArray[np.float64], spacings: tuple[float, float]
) -> NDArray[np.float64]:
    """The index of `x` among `knots`: linear between them and, with the two `spacings`, past the ends."""
    inside = np.interp(x, knots, np.arange(len(knots), dtype=np.float64))
    return inside + np.minimum(x - knots[0], 0.0) / spacings[0] + np.maximum(x - knots[-1], 0.0) / spacings[1]


def _usual_bar(opens: NDArray[np.intp]) -> int:
    """The most frequent distance between downbeats; 4 if there is one downbeat only."""
    lengths = Counter(np.diff(opens).tolist())
    return max(sorted(lengths), key=lambda length: lengths[length]) if lengths else 4
