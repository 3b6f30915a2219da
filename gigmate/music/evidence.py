"""What speaks for a beat: where something starts, in which register, and where the harmony changes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from gigmate.music.onsets import RISES, Onsets, normalise

_CHANGE_S = 0.2  # chroma is compared over so long before and after


@dataclass(frozen=True)
class Evidence:
    """Of a piece or of its last seconds, newest frame last.

    Args:
        frame_rate: per second.
        envelopes: [5, F] rises of `RISES` and change of chroma, at unit deviation.
        chroma: [12, F] as it was heard.
    """

    frame_rate: float
    envelopes: NDArray[np.float64]
    chroma: NDArray[np.float32]

    @classmethod
    def of(cls, rises: NDArray[np.float32], chroma: NDArray[np.float32], frame_rate: float) -> "Evidence":
        """From rises [4, F] and chroma [12, F] as they were heard."""
        levels = [normalise(rise, frame_rate) for rise in rises]
        levels.append(normalise(_chroma_change(chroma, round(_CHANGE_S * frame_rate)), frame_rate))
        return cls(frame_rate, np.stack(levels), chroma)

    @property
    def onsets(self) -> Onsets:
        """The same as the offline tracker's measures take it."""
        rise, low = (self.envelopes[RISES.index(name)] for name in ("all", "low"))
        return Onsets(self.frame_rate, rise, low, self.chroma)


def _chroma_change(chroma: NDArray[np.float32], span: int) -> NDArray[np.float32]:
    """[F]: how far the mean chroma of the next `span` frames is from that of the last, zero at the ends."""
    means = uniform_filter1d(chroma, span, axis=1)
    means /= np.linalg.norm(means, axis=0) + 1e-3
    half = span // 2
    change = np.zeros(chroma.shape[1], np.float32)
    if len(change) > 2 * half:
        change[half:-half] = np.linalg.norm(means[:, 2 * half :] - means[:, : -2 * half], axis=0)
    return change
