"""What a session hears: its client's audio, frame by frame, at the model's level, with the beats in it."""

from collections import deque
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from gigmate.live.assembly import Intake, IntakeCounts, MixFrames
from gigmate.live.beat_source import BeatSource
from gigmate.live.clock import FrameClock
from gigmate.live.gain import AutoGain
from gigmate.live.record import SessionRecord
from gigmate.music.grid import BeatGrid

Wave = NDArray[np.float32]

_USUAL_BAR_S = 2.0


class MixIn:
    """Messages in, frames out when their call is made: level and beats know nothing of what lies beyond it.

    Args:
        clock: where frames lie.
        is_pcm16: see `Intake`.
        gain: brings frames to the model's level.
        beats: source of the grid.
        record: where what comes in is kept; None: nowhere.
    """

    def __init__(
        self, clock: FrameClock, *, is_pcm16: bool, gain: AutoGain, beats: BeatSource, record: SessionRecord | None
    ) -> None:
        self._clock, self._gain, self._beats, self._record = clock, gain, beats, record
        self._intake = Intake(clock.rate, is_pcm16=is_pcm16)
        self._frames = MixFrames(clock)
        self._waiting: deque[tuple[Wave, float]] = deque()
        self._num_heard = 0
        self.power = 0.0
        """Of a level meter."""
        self.grid: BeatGrid | None = None
        """The beats as they were believed in at the last call."""

    @property
    def num_samples(self) -> int:
        """Length of what came in, gaps included."""
        return self._intake.num_samples

    @property
    def counts(self) -> IntakeCounts:
        """Repairs of what came in."""
        return self._intake.counts

    @property
    def lag_s(self) -> float:
        """By how much frames are late in what they hold."""
        return self._frames.lag_s

    @property
    def bar_s(self) -> float:
        """Length of a bar, as far as is known."""
        if self.grid is None:
            return _USUAL_BAR_S
        return self.grid.beats_per_bar * 60 / float(self.grid.tempo_bpm(self.grid.beat_times_s[-1]))

    def resume(self) -> None:
        """See `Intake.resume`."""
        self._intake.resume()

    def push(self, seq: int, sample_index: int, pcm: Wave, now_s: float) -> int:
        """Take a message; how many frames are whole with it.

        Raises:
            ProtocolError: see `Intake.push`.
        """
        num_before = len(self._waiting)
        for wave in self._intake.push(seq, sample_index, pcm):
            if self._record is not None:
                self._record.mix(wave)
            self._waiting.extend((frame, now_s) for frame in self._frames.push(wave))
        return len(self._waiting) - num_before

    def hear(self, stop: int) -> tuple[Wave | None, float | None]:
        """The frames before number `stop` that weren't heard yet, [n * hop], and when the newest came."""
        fresh: list[Wave] = []
        came_s: float | None = None
        while self._num_heard < stop:
            frame, came_s = self._waiting.popleft()
            self.power = metered(self.power, frame)
            fresh.append(self._gain.push(frame))
            self._beats.push(fresh[-1], self._num_heard)
            self._num_heard += 1
        return np.concatenate(fresh) if fresh else None, came_s

    def beat_features(self, frame: int, num_features: int) -> NDArray[np.float32]:
        """What the model is told of the beats at a frame; zeros where there is no grid."""
        self.grid = self._beats.grid((frame + 0.5) * self._clock.frame_s)
        if self.grid is None:
            return np.zeros(num_features, np.float32)
        # the grids of the training data are known, so the model can't tell what a low confidence means
        known = replace(self.grid, confidence=1.0)
        return known.features(1, Fraction(self._clock.codec_rate, self._clock.hop), frame)[:, 0]


def metered(power: float, wave: Wave) -> float:
    """The power that a level meter shows after `wave`; it falls by 10 dB in 22 frames."""
    return max(0.9 * power, float(np.mean(np.square(wave, dtype=np.float64))))
