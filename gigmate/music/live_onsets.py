"""Onsets as they come in: the frames of `onsets.analyse`, each as soon as it can be known."""

from collections.abc import Collection
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigmate.music.onsets import RISE_FRAMES, RISES, Ear, Heard


class OnsetFrame(NamedTuple):
    """What is heard at one frame.

    Args:
        rises: [4], mean rise of the bands of each of `RISES`, before normalising.
        chroma: [12].
        levels: [bands].
    """

    rises: NDArray[np.float32]
    chroma: NDArray[np.float32]
    levels: NDArray[np.float32]


class OnsetStream:
    """Cuts a stream into frames; the size of the pieces it comes in makes no difference to the last bit.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._ear = Ear(sample_rate)
        self._waiting = np.zeros(self._ear.samples_before, np.float32)
        self._levels: list[NDArray[np.float32]] = []
        self._chroma: list[NDArray[np.float32]] = []

    @property
    def frame_rate(self) -> float:
        """Frames per second, about 100."""
        return self._ear.frame_rate

    def push(self, wave: NDArray[np.float32]) -> list[OnsetFrame]:
        """The frames that the next samples [N] complete; frame i stands for sample i * hop, known some 20 ms later."""
        waiting = np.concatenate([self._waiting, wave])
        num_ready = max(0, (len(waiting) - self._ear.window) // self._ear.hop + 1)
        frames = [self._frame(waiting[i * self._ear.hop :][: self._ear.window]) for i in range(num_ready)]
        self._waiting = waiting[num_ready * self._ear.hop :]
        return [frame for frame in frames if frame is not None]

    def _frame(self, samples: NDArray[np.float32]) -> OnsetFrame | None:
        levels, chroma = self._ear.hear(samples[None])
        self._levels, self._chroma = [*self._levels, levels][-RISE_FRAMES - 1 :], [*self._chroma, chroma][-2:]
        if len(self._levels) < 2:
            return None
        if len(self._levels) <= RISE_FRAMES:
            return OnsetFrame(np.zeros(len(RISES), np.float32), self._chroma[0][:, 0], self._levels[0][:, 0])
        rises = self._ear.rises(np.concatenate(self._levels, axis=1))
        middle = RISE_FRAMES // 2
        return OnsetFrame(rises[:, middle], self._chroma[0][:, 0], self._levels[middle][:, 0])


def heard_of(frames: Collection[OnsetFrame], frame_rate: float) -> Heard:
    """Frames side by side."""
    rows = np.concatenate(list(chain.from_iterable(frames))).reshape(len(frames), -1)  # far cheaper than stacking
    num_rises = len(RISES)
    rises, chroma, levels = np.split(rows.T, [num_rises, num_rises + 12])
    return Heard(levels, rises, chroma, frame_rate)
