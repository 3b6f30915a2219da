"""Where bars begin: three or four beats, and on which of them, from what changes at each beat."""

import itertools

import numpy as np
from numpy.typing import NDArray

from gigmate.music.onsets import Onsets

_TRIPLE_ADVANTAGE = 1.25  # by how much 3/4 must repeat better than 4/4, which is far more common


def find_meter(onsets: Onsets, beats: NDArray[np.float64]) -> tuple[NDArray[np.bool_], int]:
    """Downbeats [beats] and beats a bar (3 or 4).

    Args:
        onsets: of the piece.
        beats: [beats] frames, increasing.
    """
    cues = _beat_cues(onsets, beats)
    beats_per_bar = 3 if _repeats(cues, 3) > _TRIPLE_ADVANTAGE * max(_repeats(cues, 4), 0.1) else 4
    evidence = cues @ np.array([1.0, 2.0, 0.5])
    phases = [evidence[phase::beats_per_bar].mean() for phase in range(min(beats_per_bar, len(beats)))]
    return np.arange(len(beats)) % beats_per_bar == int(np.argmax(phases)), beats_per_bar


def _beat_cues(onsets: Onsets, beats: NDArray[np.float64]) -> NDArray[np.float64]:
    """[beats, 3] at each beat: kick or bass starts, change of chroma, any starts; each at unit deviation."""
    frames = np.clip(np.round(beats).astype(int), 0, len(onsets.strength) - 1)
    spans = itertools.pairwise([*frames, len(onsets.strength)])
    chroma = np.stack([onsets.chroma[:, start : max(end, start + 1)].mean(1) for start, end in spans])
    chroma /= np.linalg.norm(chroma, axis=1, keepdims=True) + 1e-6
    change = np.linalg.norm(np.diff(chroma, axis=0, prepend=chroma[:1]), axis=1)
    near = [np.clip(frames + d, 0, len(onsets.low) - 1) for d in (-2, -1, 0, 1, 2)]
    low, strength = (np.max([x[i] for i in near], axis=0) for x in (onsets.low, onsets.strength))
    cues = np.stack([low, change, strength], axis=1)
    return (cues - cues.mean(0)) / (cues.std(0) + 1e-6)


def _repeats(cues: NDArray[np.float64], beats_per_bar: int) -> float:
    """How alike the cues are one and two bars apart."""
    lags = [n for n in (beats_per_bar, 2 * beats_per_bar) if n < len(cues)]
    return float(np.mean([np.mean(cues[n:] * cues[:-n]) for n in lags])) if lags else 0.0
