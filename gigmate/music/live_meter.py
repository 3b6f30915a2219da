"""Which beat opens the bar, guessed beat by beat."""

import numpy as np
from numpy.typing import NDArray

from gigmate.music.beat_line import BeatLine
from gigmate.music.evidence import Evidence

_MEMORY_BEATS = 24.0
_WEIGHTS = np.array([1.0, 2.0, 0.5, 4.0])  # kick or bass starts, change of chroma, any start, the network's downbeats
_NEAR_FRAMES = 3
_CLEARLY = 1.15  # another beat must have so much more evidence


class LiveMeter:
    """Keeps the evidence for each beat of the bar.

    Args:
        beats_per_bar: known.
    """

    def __init__(self, beats_per_bar: int) -> None:
        self.beats_per_bar = beats_per_bar
        self.forget()

    def forget(self) -> None:
        """Another beat is followed now: its numbers mean something else."""
        self.first_downbeat = 0
        self._last_beat: int | None = None
        self._chroma_before: NDArray[np.float64] | None = None
        self._cues: list[NDArray[np.float64]] = []
        self._numbers: list[int] = []

    def update(self, line: BeatLine, evidence: Evidence, num_frames: int) -> None:
        """Judge the beats of the line that have been heard whole since the last call.

        Args:
            line: the beat.
            evidence: of the newest frames.
            num_frames: how many there were in all.
        """
        rate, size = evidence.frame_rate, evidence.envelopes.shape[1]
        start = num_frames - size
        last = int(np.floor(line.position((num_frames - 1) / rate))) - 1
        first = int(np.ceil(line.position((start + _NEAR_FRAMES + 1) / rate)))
        if self._last_beat is not None:
            first = max(first, self._last_beat + 1)
        for number in range(first, last + 1):
            at, after = (round((line.origin_s + n * line.period_s) * rate) - start for n in (number, number + 1))
            self._judge(number, evidence, at, after)
        self._last_beat = max(last, first - 1)
        self._decide()

    def _judge(self, number: int, evidence: Evidence, at: int, after: int) -> None:
        near = slice(at - _NEAR_FRAMES, at + _NEAR_FRAMES + 1)
        onsets = evidence.onsets
        chroma = evidence.chroma[:, at:after].mean(axis=1, dtype=np.float64)
        chroma /= np.linalg.norm(chroma) + 1e-6
        before = chroma if self._chroma_before is None else self._chroma_before
        self._chroma_before = chroma
        change = float(np.linalg.norm(chroma - before))
        is_downbeat = evidence.beats[1, near].max()
        self._cues.append(np.array([onsets.low[near].max(), change, onsets.strength[near].max(), is_downbeat]))
        self._numbers.append(number)
        kept = int(3 * _MEMORY_BEATS)
        self._cues, self._numbers = self._cues[-kept:], self._numbers[-kept:]

    def _decide(self) -> None:
        if len(self._cues) < self.beats_per_bar:
            return
        cues, numbers = np.array(self._cues), np.array(self._numbers)
        cues = (cues - cues.mean(0)) / (cues.std(0) + 1e-6) @ _WEIGHTS
        weights = np.exp((numbers - numbers[-1]) / _MEMORY_BEATS)
        places = numbers % self.beats_per_bar
        evidence = np.array([(weights * cues)[places == p].sum() for p in range(self.beats_per_bar)])
        evidence /= weights.sum() / self.beats_per_bar
        best = int(evidence.argmax())
        if evidence[best] > _CLEARLY * evidence[self.first_downbeat % self.beats_per_bar] + 0.1:
            self.first_downbeat = best
