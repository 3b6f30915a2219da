"""What speaks for a beat: where something starts, in which register, where harmony changes, what a network hears."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from gigmate.music.beat_net import hear_beats
from gigmate.music.onsets import RISES, Heard, Onsets, normalise

_CHANGE_S = 0.2  # chroma is compared over so long before and after
_NEAR_FRAMES = 5  # a start is on a beat within 20 ms


@dataclass(frozen=True)
class Evidence:
    """Of a piece or of its last seconds, newest frame last.

    Args:
        frame_rate: per second.
        envelopes: [5, F] rises of `RISES` and change of chroma, at unit deviation.
        chroma: [12, F] as it was heard.
        beats: [2, F] logits of `BeatNet`: there is a beat, a downbeat.
    """

    frame_rate: float
    envelopes: NDArray[np.float64]
    chroma: NDArray[np.float32]
    beats: NDArray[np.float32]

    @classmethod
    def of(cls, heard: Heard) -> "Evidence":
        """From what was heard."""
        rate = heard.frame_rate
        change = _chroma_change(heard.chroma, round(_CHANGE_S * rate))
        envelopes = np.stack([normalise(curve, rate) for curve in (*heard.rises, change)])
        return cls(rate, envelopes, heard.chroma, hear_beats(heard.levels, heard.chroma))

    @property
    def onsets(self) -> Onsets:
        """The same as the offline tracker's measures take it."""
        rise, low = (self.envelopes[RISES.index(name)] for name in ("all", "low"))
        return Onsets(self.frame_rate, rise, low, self.chroma)

    @property
    def beat_onsets(self) -> Onsets:
        """What starts where the network hears a beat; a beat on which nothing starts counts as well."""
        is_beat = maximum_filter1d(1 / (1 + np.exp(-self.beats[0])), _NEAR_FRAMES)
        onsets = self.onsets
        return Onsets(self.frame_rate, is_beat * (1 + onsets.strength), is_beat * onsets.low, self.chroma)


def _chroma_change(chroma: NDArray[np.float32], span: int) -> NDArray[np.float32]:
    """[F]: how far the mean chroma of the next `span` frames is from that of the last, zero at the ends."""
    means = uniform_filter1d(chroma, span, axis=1)
    means /= np.linalg.norm(means, axis=0) + 1e-3
    half = span // 2
    change = np.zeros(chroma.shape[1], np.float32)
    if len(change) > 2 * half:
        change[half:-half] = np.linalg.norm(means[:, 2 * half :] - means[:, : -2 * half], axis=0)
    return change
