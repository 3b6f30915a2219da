"""Beats and bars of a recording, from all that is heard in it; for whole files, not live.

wave ──> Evidence ──> periods that repeat ──> possible beats of each ──> the best bars on any of them ──> grid
"""

import numpy as np
from numpy.typing import NDArray

from gigmate.music.bars import best_bars
from gigmate.music.beat_chain import possible_beats
from gigmate.music.evidence import Evidence
from gigmate.music.grid import BeatGrid
from gigmate.music.onsets import hear_all
from gigmate.music.tempo import tempo_scores

_MIN_SECONDS = 3.0
_MIN_RATE = 1000
_UNKNOWN_BPM = 120.0


def track_beats(wave: NDArray[np.float32], sample_rate: int) -> BeatGrid:
    """The beat grid of a recording: steady to the millisecond where the piece is, else following the player.

    Args:
        wave: [N] or [C, N] float, nominally within -1..1.
        sample_rate: Hz.

    Returns:
        Beats over the whole piece, in bars of 4 or 3; its confidence is how clearly the beat repeats, not a probability
        that it is the one a person would tap. Silence, or less than 3 s, gives 120 bpm in 4/4 with confidence 0.

    Raises:
        ValueError: a wave of another shape or with values that aren't finite, or a rate under 1 kHz.
    """
    if wave.ndim not in (1, 2) or sample_rate < _MIN_RATE:
        raise ValueError(f"wave {wave.shape} at {sample_rate} Hz must be [N] or [C, N] at >= {_MIN_RATE} Hz")
    mono = wave if wave.ndim == 1 else wave.mean(axis=0, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise ValueError("wave holds values that aren't finite: gigmate.audio.read_audio refuses such files")
    duration_s = len(mono) / sample_rate
    if duration_s < _MIN_SECONDS:
        return _no_idea(duration_s)
    evidence = Evidence.of(hear_all(mono, sample_rate))
    tempi = tempo_scores(evidence.onsets)
    if tempi.repeats[int(tempi.scores.argmax())] <= 0:
        return _no_idea(duration_s)
    chains = possible_beats(evidence, tempi)
    if not chains:
        return _no_idea(duration_s)
    beats, meter, first = best_bars(evidence, tempi, chains)
    repeats = np.interp(-float(np.median(np.diff(beats))), -tempi.periods, tempi.repeats)
    downbeats = np.arange(len(beats)) % meter == first
    return BeatGrid(beats / evidence.frame_rate, downbeats, meter, confidence=float(np.clip(repeats, 0.0, 1.0)))


def _no_idea(duration_s: float) -> BeatGrid:
    grid = BeatGrid.from_tempo(_UNKNOWN_BPM, 4, duration_s)
    return BeatGrid(grid.beat_times_s, grid.downbeats, 4, confidence=0.0)
