"""What the metrics hear of one wave; each analysis is made once, when it is first asked for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gigmate.evaluation.metrics import Mono, onset_times_s
from gigmate.music.grid import BeatGrid
from gigmate.music.onsets import Onsets, analyse
from gigmate.music.tracker import track_beats

CHROMA_RATE = 20.0
"""Frames per second of `Part.chroma`; frame i is centred at i / CHROMA_RATE."""

_CHROMA_WINDOW_S = 0.25
_CHROMA_LOW_HZ, _CHROMA_HIGH_HZ = 60.0, 2_000.0
_BLOCK_FRAMES = 512
_PADDING = 2  # the spectrum is interpolated so many times


@dataclass(frozen=True, eq=False)
class Part:
    """A mono wave [N] and what can be heard in it."""

    wave: Mono
    sample_rate: int

    @cached_property
    def onsets(self) -> Onsets:
        """Onset strengths, 100 frames/s."""
        return analyse(self.wave, self.sample_rate)

    @cached_property
    def onset_times_s(self) -> NDArray[np.float64]:
        """When something starts."""
        return onset_times_s(self.wave, self.sample_rate)

    @cached_property
    def onset_weights(self) -> NDArray[np.float64]:
        """How strongly each of them does."""
        frames = np.round(self.onset_times_s * self.onsets.frame_rate).astype(int)
        return self.onsets.strength[np.minimum(frames, len(self.onsets.strength) - 1)]

    @cached_property
    def chroma(self) -> NDArray[np.float32]:
        """[12, T] power per pitch class, C first, `CHROMA_RATE` frames/s: that of spectral peaks alone.

        A bass note's main lobe is wider than a semitone; only its top says which note it is. Source: Gomez 2006 (HPCP).
        """
        return _peak_chroma(self.wave, self.sample_rate)

    @cached_property
    def tracked(self) -> BeatGrid:
        """The beats that a listener would find in it alone."""
        return track_beats(self.wave, self.sample_rate)


def _peak_chroma(wave: Mono, sample_rate: int) -> NDArray[np.float32]:
    window = round(_CHROMA_WINDOW_S * sample_rate)
    padded = np.pad(wave, (window // 2, window - window // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: round(sample_rate / CHROMA_RATE)]
    num_fft = _PADDING * 2 ** int(np.ceil(np.log2(window)))
    bins = slice(int(_CHROMA_LOW_HZ * num_fft / sample_rate), int(_CHROMA_HIGH_HZ * num_fft / sample_rate))
    folded = np.zeros((12, len(frames)), np.float32)
    for start in range(0, len(frames), _BLOCK_FRAMES):
        spectra = np.fft.rfft(frames[start : start + _BLOCK_FRAMES] * np.hanning(window), num_fft)
        power = np.square(np.abs(spectra[:, : bins.stop + 1]))
        is_peak = np.zeros(power.shape, np.bool_)
        is_peak[:, 1:-1] = (power[:, 1:-1] > power[:, :-2]) & (power[:, 1:-1] >= power[:, 2:])
        frame, place = np.nonzero(is_peak[:, bins])
        place += bins.start
        classes = np.round(12 * np.log2(_refined(power, frame, place) * sample_rate / num_fft / 440)).astype(int) + 9
        np.add.at(folded, (classes % 12, start + frame), power[frame, place])
    return folded


def _refined(power: NDArray[np.float64], frame: NDArray[np.intp], place: NDArray[np.intp]) -> NDArray[np.float64]:
    """Peaks between bins: the top of the parabola through three levels. Source: Smith and Serra 1987."""
    left, top, right = (np.log(power[frame, place + step] + 1e-20) for step in (-1, 0, 1))
    return place + 0.5 * (left - right) / np.minimum(left - 2 * top + right, -1e-9)
