"""The level at which the model hears a player, whatever the microphone: slow, so that loud and soft stay music."""

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]

HEARD_DB = -18.0
"""Level (RMS, dBFS) of the mixes that the model was trained on; that of `gigmate.performance`."""

_MAX_DB = 40.0  # a nearly silent input isn't lifted any further: its noise would be heard as music
_GATE_DB = -70.0  # what is softer is no music, and doesn't count in the level
_PAUSE_DB = 30.0  # nor does what is so much softer than the music was
_FORGET_DB_PER_S = 0.5
_MEMORY_S = 15.0
_SETTLING_S = 3.0
_SLEW_DB_PER_S = (30.0, 2.0)  # while settling, and after


class AutoGain:
    """Brings a mix to `HEARD_DB` frame by frame, and takes the stem back to the level of the mix.

    Args:
        frame_s: length of a frame.
        fixed: a gain that stays as it is; None: it follows the music.
    """

    def __init__(self, frame_s: float, fixed: float | None = None) -> None:
        self._frame_s, self._is_fixed = frame_s, fixed is not None
        self._gain = self._undone = 1.0 if fixed is None else fixed
        self._power, self._num_frames = 0.0, 0

    @property
    def gain(self) -> float:
        """By which the newest frame's end was multiplied."""
        return self._gain

    def push(self, frame: Wave) -> Wave:
        """A frame [hop] of the mix, at the model's level."""
        if self._is_fixed:
            return frame * np.float32(self._gain)
        before = self._gain
        self._hear(float(np.mean(np.square(frame, dtype=np.float64))))
        return frame * _ramp(before, self._gain, len(frame))

    def undo(self, wave: Wave) -> Wave:
        """A wave [n] of the stem, at the level of the mix."""
        before, self._undone = self._undone, self._gain
        return wave / _ramp(before, self._undone, len(wave))

    def _hear(self, power: float) -> None:
        if power < 10 ** (_GATE_DB / 10):
            return
        if power < self._power * 10 ** (-_PAUSE_DB / 10):
            self._power *= 10 ** (-_FORGET_DB_PER_S * self._frame_s / 10)  # it may have been a click, not the music
            return
        self._num_frames += 1
        weight = 1 / min(self._num_frames, _MEMORY_S / self._frame_s)
        self._power += weight * (power - self._power)
        wanted_db = float(np.clip(HEARD_DB - 10 * np.log10(self._power), -_MAX_DB, _MAX_DB))
        is_settling = self._num_frames * self._frame_s <= _SETTLING_S
        most_db = _SLEW_DB_PER_S[0 if is_settling else 1] * self._frame_s
        gain_db = 20 * np.log10(self._gain)
        self._gain = float(10 ** ((gain_db + np.clip(wanted_db - gain_db, -most_db, most_db)) / 20))


def _ramp(start: float, stop: float, num_samples: int) -> Wave:
    """From just after `start` to `stop`."""
    return (start + (stop - start) * np.arange(1, num_samples + 1) / num_samples).astype(np.float32)
