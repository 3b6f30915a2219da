"""Sample rate conversion that adds half a millisecond, exact to the bit however the wave is cut.

soxr, which files are resampled with, holds back up to 38 ms of a stream, twice: on the way in and on the way out. Here
a short windowed sinc is applied as one small matrix product per block of `from / gcd` samples, within which the
positions between the samples repeat.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Wave = NDArray[np.float32]

_ZEROS = 16  # zero crossings on either side, 0.7 ms at 24 kHz
_CUTOFF = 0.93  # of the lower rate's half: what lies above is damped by less than the full 70 dB
_KAISER_BETA = 8.0


class Resampler:
    """A mono stream at another rate.

    Output sample k belongs at the input position k * from / to. It needs the input up to `reach_samples` beyond that,
    so it comes that much later; or, if `is_delayed`, it comes at once and the signal is `reach_samples` late.

    Args:
        from_rate: Hz.
        to_rate: Hz.
        is_delayed: see above.
    """

    def __init__(self, from_rate: int, to_rate: int, *, is_delayed: bool = False) -> None:
        common = math.gcd(from_rate, to_rate)
        self.num_in, self.num_out = from_rate // common, to_rate // common
        self.reach_samples = 0 if from_rate == to_rate else math.ceil(_ZEROS * max(1.0, from_rate / to_rate))
        self._weights = _weights(self.num_in, self.num_out, self.reach_samples)
        self._is_delayed = is_delayed
        self.reset()

    def reset(self) -> None:
        """Begin anew: silence before what comes next."""
        self._past = np.zeros(self.reach_samples * (2 if self._is_delayed else 1), np.float32)

    def push(self, wave: Wave) -> Wave:
        """[n] at the old rate -> what can be made of all that came, [m] at the new one."""
        if not self.reach_samples:
            return wave
        heard = np.concatenate((self._past, wave))
        span = len(self._weights)
        num_blocks = max(0, (len(heard) - span) // self.num_in + 1)
        if not num_blocks:
            self._past = heard
            return np.zeros(0, np.float32)
        blocks = sliding_window_view(heard, span)[:: self.num_in][:num_blocks]
        self._past = heard[num_blocks * self.num_in :]
        return (blocks @ self._weights).ravel()


def _weights(num_in: int, num_out: int, reach: int) -> Wave:
    """[num_in + 2 * reach, num_out]: what each sample of a block and around it adds to each output of the block."""
    place = reach + np.arange(num_out) * num_in / num_out
    distance = np.arange(num_in + 2 * reach)[:, None] - place
    cutoff = _CUTOFF * min(1.0, num_out / num_in)
    inside = np.clip(1 - np.square(distance / max(reach, 1)), 0, None)
    weights = np.sinc(cutoff * distance) * np.where(inside > 0, np.i0(_KAISER_BETA * np.sqrt(inside)), 0)
    return (weights / weights.sum(axis=0)).astype(np.float32)
