"""Mix features in another key: what `MixFeatures` would have heard, had the pitched players tuned up or down."""

import numpy as np
from numpy.typing import NDArray

from gigmate.codec.features import NUM_MEL_BANDS

Power = NDArray[np.float32]

_LOW_HZ, _HIGH_HZ = 30.0, 12_000.0


def transpose_power(power: Power, semitones: int) -> Power:
    """Linear power features [D, T], `semitones` higher.

    The semitone bands move by as many bands; what moves in at the edge is the outermost band. The mel bands are read at
    the frequency they would have come from, between the two nearest bands; their power is that of a sine at their
    centre, so a partial keeps its level. Only meant for pitched stems: drums don't change key.
    """
    mel, pitched = power[:NUM_MEL_BANDS], power[NUM_MEL_BANDS:]
    centres = np.log2(mel_centres_hz(len(mel)))
    from_band = np.interp(centres - semitones / 12, centres, np.arange(len(mel)))
    below = np.floor(from_band).astype(int)
    share = (from_band - below)[:, None]
    moved_mel = (1 - share) * mel[below] + share * mel[np.minimum(below + 1, len(mel) - 1)]
    rows = np.clip(np.arange(len(pitched)) - semitones, 0, len(pitched) - 1)
    return np.concatenate([moved_mel, pitched[rows]]).astype(np.float32)


def mel_centres_hz(num_bands: int) -> NDArray[np.float64]:
    """Centres of bands that are even in mel between 30 Hz and 12 kHz, as `MixFeatures` has them at 24 kHz."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (_LOW_HZ, _HIGH_HZ))
    edges = np.linspace(low, high, num_bands + 2)
    return 700 * (10 ** (edges[1:-1] / 2595) - 1)
