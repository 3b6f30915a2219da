"""What a tracker listens to: how strongly something starts at each moment, in all bands and in the bass, and chroma."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

_TARGET_RATE = 100.0  # frames a second: a beat is placed to about 5 ms
_WINDOW_S = 0.046
_NUM_BANDS = 40
_MIN_HZ, _MAX_HZ = 30.0, 11_000.0
LOW_HZ = 160.0
"""Below: kick and bass."""

HIGH_HZ = 5_000.0
"""Above: cymbals."""

RISES = ("all", "low", "mid", "high")
"""Where something rises: anywhere; kick and bass; chords, tunes and snares; cymbals."""

RISE_FRAMES = 2
"""Frames between the two spectra that are compared for a rise, which lies in the middle."""

# A start is seen when it enters the window, not at its centre: frame i looks at 80 % before it and 20 % after.
_SHARE_BEFORE = 0.8
_BLOCK_FRAMES = 4096  # transformed at once: bounds memory on long songs


class Heard(NamedTuple):
    """A wave as the ear hears it, `frame_rate` frames a second.

    Args:
        levels: [bands, F], log1p of 1000 x the amplitude.
        rises: [4, F] of these, as in `RISES`.
        chroma: [12, F].
        frame_rate: about 100.
    """

    levels: NDArray[np.float32]
    rises: NDArray[np.float32]
    chroma: NDArray[np.float32]
    frame_rate: float


@dataclass(frozen=True)
class Onsets:
    """Onset strengths and chroma of a piece on one clock: frame i is at i / `frame_rate` seconds.

    Args:
        frame_rate: frames per second, about 100.
        strength: [F] float64 >= 0, starts of anything, local mean removed, unit standard deviation.
        low: [F] float64, the same for kick and bass only.
        chroma: [12, F] float32, energy per pitch class, compressed.
    """

    frame_rate: float
    strength: NDArray[np.float64]
    low: NDArray[np.float64]
    chroma: NDArray[np.float32]


class Ear:
    """Spectra of waves at one rate, cut into bands and pitch classes.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.hop = max(1, round(sample_rate / _TARGET_RATE))
        self.window = 1 << round(np.log2(_WINDOW_S * sample_rate))
        self.samples_before = round(_SHARE_BEFORE * self.window)
        self.frame_rate = sample_rate / self.hop
        self._bands, self._pitch_classes = (
            band_matrix(sample_rate, self.window),
            chroma_matrix(sample_rate, self.window),
        )
        self._taper = np.hanning(self.window + 1)[:-1].astype(np.float32)
        self._scale = (2.0 / self._taper.sum()) ** 2  # full scale is 1
        centres_hz = _band_edges()[1:-1]
        is_low, is_high = centres_hz < LOW_HZ, centres_hz > HIGH_HZ
        groups = np.stack([np.ones_like(is_low), is_low, ~is_low & ~is_high, is_high]).astype(np.float32)
        self._groups = groups / groups.sum(axis=1, keepdims=True)

    def hear(self, frames: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Levels [bands, F] and chroma [12, F] of frames [F, window], each from `samples_before` before its time on."""
        spectra = np.fft.rfft(frames * self._taper, axis=1)[:, : self._bands.shape[1]]
        power = (np.square(np.abs(spectra)) * self._scale).T
        return np.log1p(1e3 * np.sqrt(self._bands @ power)), np.sqrt(self._pitch_classes @ power)

    def rises(self, levels: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much the bands [bands, F] of each of `RISES` rise [4, F], 0 at the first and the last frame.

        Source: Boeck and Widmer 2013 (SuperFlux), without its trajectory tracking of harmonics.
        """
        before = maximum_filter1d(levels, 3, axis=0)[:, :-RISE_FRAMES]
        rises = np.zeros_like(levels)
        rises[:, RISE_FRAMES // 2 : -RISE_FRAMES // 2] = np.maximum(levels[:, RISE_FRAMES:] - before, 0.0)
        return self._groups @ rises


def analyse(mono: NDArray[np.float32], sample_rate: int) -> Onsets:
    """Onsets of a wave [N]: rises of the compressed band energies against the loudest neighbouring band before."""
    heard = hear_all(mono, sample_rate)
    strength, low = (normalise(heard.rises[RISES.index(name)], heard.frame_rate) for name in ("all", "low"))
    return Onsets(heard.frame_rate, strength, low, heard.chroma)


def hear_all(mono: NDArray[np.float32], sample_rate: int) -> Heard:
    """All frames of a wave [N]."""
    ear = Ear(sample_rate)
    blocks = [ear.hear(block) for block in _blocks(mono, ear)]
    levels, chroma = (np.concatenate(parts, axis=1) for parts in zip(*blocks, strict=True))
    return Heard(levels, ear.rises(levels), chroma, ear.frame_rate)


def _blocks(mono: NDArray[np.float32], ear: Ear) -> Iterator[NDArray[np.float32]]:
    """Frames [F, window] block by block; frame i stands for sample i * hop."""
    num_frames = len(mono) // ear.hop + 1
    padded = np.pad(mono, (ear.samples_before, ear.window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, ear.window)[:: ear.hop][:num_frames]
    for start in range(0, num_frames, _BLOCK_FRAMES):
        yield frames[start : start + _BLOCK_FRAMES]


def _band_edges() -> NDArray[np.float64]:
    """Edges of triangular bands in Hz, evenly spaced on the mel scale."""
    low, high = 2595 * np.log10(1 + np.array([_MIN_HZ, _MAX_HZ]) / 700)
    mel = np.linspace(low, high, _NUM_BANDS + 2)
    return 700 * (10 ** (mel / 2595) - 1)


def band_matrix(sample_rate: int, window: int) -> NDArray[np.float32]:
    """[bands, bins up to the highest band]; a band narrower than a bin takes the nearest one."""
    edges = _band_edges()
    hz = np.arange(min(window // 2 + 1, int(_MAX_HZ * window / sample_rate) + 2)) * sample_rate / window
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    matrix = np.clip(np.minimum(rising, falling), 0.0, None)
    empty = np.flatnonzero((matrix.sum(1) == 0) & (edges[1:-1] <= hz[-1]))
    matrix[empty, np.abs(hz - edges[1:-1][empty, None]).argmin(1)] = 1.0
    return matrix.astype(np.float32)


def chroma_matrix(sample_rate: int, window: int) -> NDArray[np.float32]:
    """[12, bins]: bins between 100 Hz and 2 kHz, each to its nearest pitch class, C first."""
    num_bins = band_matrix(sample_rate, window).shape[1]
    hz = np.arange(num_bins) * sample_rate / window
    pitch = 69 + 12 * np.log2(np.maximum(hz, 1.0) / 440.0)
    is_used = (hz >= 100) & (hz <= 2000)
    return (is_used & (np.round(pitch) % 12 == np.arange(12)[:, None])).astype(np.float32)


def normalise(rises: NDArray[np.float32], rate: float) -> NDArray[np.float64]:
    """Smoothed over 15 ms, less its mean over a second, at unit standard deviation (silence stays zero)."""
    smooth = gaussian_filter1d(rises.astype(np.float64), 0.015 * rate)
    above = np.maximum(smooth - gaussian_filter1d(smooth, 0.5 * rate), 0.0)
    spread = above.std()
    return above / spread if spread > 1e-6 else np.zeros_like(above)
