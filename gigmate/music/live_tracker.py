"""Beats while the music is played: causal, and the same to the last bit for any size of the pieces it arrives in.

wave ─ OnsetStream ─> the last 12 s ─ every 0.2 s ─> hypotheses of tempo and phase ─ the best, in the long run ─> line
                                                     peaks near the line's beats ─── least squares ─────────────┘  │
                                                     what changes at each beat ──── LiveMeter ──> downbeat ────> grid
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from gigmate.music.beat_line import BeatLine
from gigmate.music.evidence import Evidence
from gigmate.music.grid import BeatGrid
from gigmate.music.live_hypotheses import Hypotheses, is_same, judge, propose
from gigmate.music.live_meter import LiveMeter
from gigmate.music.live_onsets import OnsetFrame, OnsetStream, heard_of
from gigmate.music.onsets import RISES
from gigmate.music.tempo import TempoScores, accents, sample_at, tempo_scores

_WINDOW_S = 12.0  # what is remembered
_FIRST_S = 3.0
_UPDATE_S = 0.2
_SILENT_S = 1.5  # nothing has started for so long: the beat is held
_SILENT_RISE = 0.02  # a rise of the levels, which are log1p of 1000 x the amplitude
_HOLD_SHARE = 0.98  # of the confidence that an update in silence leaves
_MIN_REPEATS = 0.1  # below it nothing repeats
_SURE = 0.25  # probability of the first lock
_SMOOTHING = 0.1  # of the confidence
_MARGIN, _ENOUGH = 0.3, 5.0  # a rival must have so much more log probability than this, summed over updates
_NEAR_BEATS = 0.17  # a peak so near to a beat is that beat
_MEMORY_BEATS = 8.0
_MIN_BEATS = 4
_STIFFNESS = 0.25  # weight of the line so far against that of one beat
_LOUDEST = 3.0  # deviations: a louder accent is no surer


class LiveTracker:
    """Follows the beat of what it is pushed; holds it through silence.

    Args:
        sample_rate: Hz of the wave.
        beats_per_bar: of the grid; which beat opens a bar is guessed.
    """

    def __init__(self, sample_rate: int = 24_000, beats_per_bar: int = 4) -> None:
        self._onsets = OnsetStream(sample_rate)
        self._rate = self._onsets.frame_rate
        self._frames: deque[OnsetFrame] = deque(maxlen=round(_WINDOW_S * self._rate))
        self._num_frames = 0
        self._meter = LiveMeter(beats_per_bar)
        self._line: BeatLine | None = None  # beat 0 is any beat
        self._confidence = self._rival_lead = 0.0

    @property
    def confidence(self) -> float:
        """How probable the beat is among those that could be, 0..1; it falls slowly through silence."""
        return self._confidence

    @property
    def line(self) -> BeatLine | None:
        """The beat as it is now, with a downbeat as beat 0; None before there is one."""
        return None if self._line is None else self._line.later(self._meter.first_downbeat)

    @property
    def grid(self) -> BeatGrid | None:
        """The beats of the last bars and of the next one, in seconds since the first sample; runs on beyond them."""
        line = self.line
        if line is None:
            return None
        bar = line.beats_per_bar
        first = bar * (int(line.position(self._newest_s) // bar) - 1)
        beats = np.arange(first, first + 3 * bar + 1)
        times_s = np.asarray(line.origin_s + beats * line.period_s, np.float64)
        return BeatGrid(times_s, beats % bar == 0, bar, self._confidence)

    def push(self, wave: NDArray[np.float32]) -> None:
        """Hear the next samples [N]."""
        for frame in self._onsets.push(wave):
            self._frames.append(frame)
            self._num_frames += 1
            if self._num_frames % round(_UPDATE_S * self._rate) == 0:
                self._update()

    @property
    def _newest_s(self) -> float:
        return (self._num_frames - 1) / self._rate

    def _update(self) -> None:
        heard = heard_of(self._frames, self._rate)
        recent = heard.rises[RISES.index("all"), -round(_SILENT_S * self._rate) :]
        if len(self._frames) < _FIRST_S * self._rate or not (recent > _SILENT_RISE).any():
            self._confidence *= _HOLD_SHARE
            return
        evidence = Evidence.of(heard)
        onsets = evidence.onsets
        tempi = tempo_scores(onsets)
        if tempi.repeats.max() >= _MIN_REPEATS:
            self._choose(evidence, tempi)
        if self._line is not None:
            self._follow_peaks(accents(onsets))
            self._meter.update(self._line, evidence, self._num_frames)

    def _choose(self, evidence: Evidence, tempi: TempoScores) -> None:
        """Lock at first, and anew when others have been more probable for some time."""
        proposed = propose(evidence, tempi)
        if self._line is None:
            logits = judge(evidence, tempi, proposed)
            chances = np.exp(logits - np.logaddexp.reduce(logits))
            if chances.max() >= _SURE:
                self._lock(proposed, int(chances.argmax()))
                self._confidence = float(chances.max())
            return
        own_period = self._line.period_s * self._rate
        own_age = float(self._line.position(self._newest_s) % 1.0) * own_period
        other = ~is_same(proposed, own_period, own_age)
        rivals = Hypotheses(np.append(proposed.periods[other], own_period), np.append(proposed.ages[other], own_age))
        logits = judge(evidence, tempi, rivals)
        chance = float(np.exp(logits[-1] - np.logaddexp.reduce(logits)))
        self._confidence += _SMOOTHING * (chance - self._confidence)
        lead = float(logits[:-1].max(initial=-np.inf) - logits[-1])
        self._rival_lead = max(0.0, self._rival_lead + lead - _MARGIN)
        if self._rival_lead > _ENOUGH:
            self._lock(rivals, int(logits[:-1].argmax()))

    def _lock(self, beats: Hypotheses, chosen: int) -> None:
        last_s = self._newest_s - float(beats.ages[chosen]) / self._rate
        self._line = BeatLine(last_s, float(beats.periods[chosen]) / self._rate, self._meter.beats_per_bar)
        self._rival_lead = 0.0
        self._meter.forget()

    def _follow_peaks(self, envelope: NDArray[np.float64]) -> None:
        """Move the line to the accents near its beats: weighted least squares, later beats count more."""
        assert self._line is not None
        line, start_s = self._line, self._newest_s - (len(envelope) - 1) / self._rate
        last = int(np.floor(line.position(self._newest_s) - _NEAR_BEATS))
        first = max(int(np.ceil(line.position(start_s) + _NEAR_BEATS)), last - int(3 * _MEMORY_BEATS))
        numbers = np.arange(first, last + 1)
        if len(numbers) < _MIN_BEATS:
            return
        near_s = np.arange(-_NEAR_BEATS * line.period_s, _NEAR_BEATS * line.period_s, 0.5 / self._rate)
        frames = (line.origin_s + numbers[:, None] * line.period_s + near_s - start_s) * self._rate
        heights = sample_at(envelope, frames) * np.hanning(len(near_s) + 2)[1:-1]
        peaks = heights.argmax(axis=1)
        height = heights[np.arange(len(numbers)), peaks]
        weights = np.minimum(height, _LOUDEST) * np.exp((numbers - last) / _MEMORY_BEATS)
        self._line = _refit(line, numbers, near_s[peaks], weights)


def _refit(
    line: BeatLine, numbers: NDArray[np.int_], late_s: NDArray[np.float64], weights: NDArray[np.float64]
) -> BeatLine:
    """The line whose beats come so much later, as far as the weights say: a few weak accents hardly move it."""
    beats = (numbers - numbers[-1]) / _MEMORY_BEATS
    design = np.stack([np.ones(len(beats)), beats])
    normal = design * weights @ design.T + _STIFFNESS * np.eye(2)
    shift_s, slope_s = np.linalg.solve(normal, design * weights @ late_s)
    period_s = line.period_s + float(slope_s) / _MEMORY_BEATS
    last_s = line.origin_s + numbers[-1] * line.period_s + float(shift_s)
    return BeatLine(last_s - numbers[-1] * period_s, period_s, line.beats_per_bar)
