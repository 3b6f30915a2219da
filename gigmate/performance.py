"""One performance: how it is to be played, what came of it, and the levels between."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigmate.audio import loudness_db
from gigmate.generation.note_taste import USUAL_TASTE, NoteTaste
from gigmate.generation.sampler import Sampler, TopK

Audio = NDArray[np.float32]

HEARD_DB = -18.0
"""Level (RMS, dBFS) at which the model hears every song: that of its training data."""

_MAX_LIFT_DB = 40.0  # a nearly silent song isn't lifted any further: its noise would be heard as music


@dataclass(frozen=True)
class Take:
    """How one performance is to be played.

    Args:
        instrument: one of `INSTRUMENTS`.
        lookahead_s: how far ahead the song is heard, negative for live; None: the largest the model knows.
        seed: same seed, same stem.
        guidance_scale: above 1 song and beats count for more than was learned (experiments/002); 1 takes half the time.
        sampler: how codes are drawn.
        num_candidates: ways to go on that are tried every half second, of which the one that fits the song's chords
            best is kept; 1: none is looked for. Without effect on drums, which have no chords.
        taste: which notes are favoured, by models that write notes.
        louder_db: how much louder than usual it is played (`gigmate.rehearsal`).
        fader: whether what is too soft or too loud is turned up or down (`gigmate.fader`); who goes on with a stem
            isn't, whatever this says.
    """

    instrument: str = "drums"
    lookahead_s: float | None = None
    seed: int = 0
    guidance_scale: float = 2.0
    sampler: Sampler = field(default_factory=TopK)
    num_candidates: int = 2
    taste: NoteTaste = USUAL_TASTE
    louder_db: float = 0.0
    fader: bool = True


@dataclass(frozen=True)
class Performance:
    """What was played.

    Args:
        stem: [C, N] float32, what the model played, at the song's rate and level; turned down if it would clip.
        mix: [C, N] float32, the song with it, likewise.
        codes: [K, T] int64, the stem's codes.
        notes: [T] int64, the note code of each frame, or a special id; None: the model writes none.
        sample_rate: Hz.
        report: facts and timings, primitives only.
    """

    stem: Audio
    mix: Audio
    codes: NDArray[np.int64]
    notes: NDArray[np.int64] | None
    sample_rate: int
    report: dict[str, Any]


def fit(wave: Audio, length: int) -> Audio:
    """[C, N] cut or followed by silence to [C, length]."""
    return np.pad(wave[:, :length], ((0, 0), (0, max(0, length - wave.shape[1]))))


def headroom_gain(wave: Audio) -> float:
    """What keeps the wave within -0.99..0.99; 1 if it is."""
    return min(1.0, 0.99 / max(float(np.abs(wave).max(initial=0.0)), 1e-9))


def hearing_gain(song: Audio) -> float:
    """What brings the song to `HEARD_DB`; 1 for silence."""
    level_db = loudness_db(song)
    if not np.isfinite(level_db) or level_db < HEARD_DB - 2 * _MAX_LIFT_DB:
        return 1.0
    return float(10 ** (min(HEARD_DB - level_db, _MAX_LIFT_DB) / 20))
