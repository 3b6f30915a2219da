"""What all sources of a session's beats have in common.

All times are seconds on the session's sample clock: the sample index over the rate.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gigmate.music.beat_line import GlidingBeat
from gigmate.music.grid import BeatGrid

SourceName = Literal["tracker", "tap", "clock", "tempo"]


class BeatSource:
    """A source of the beat grid. What a source doesn't listen to (`push`, `tap`, `tick`) passes it by.

    Args:
        beat: that it leads; None: one of its own. Two sources share one where the second takes over from the first.
    """

    name: SourceName

    def __init__(self, beat: GlidingBeat | None = None) -> None:
        self._beat = beat or GlidingBeat()

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
