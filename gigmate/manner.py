"""How a stem is played as a whole: how loud, and how much. Known of what is learned from, chosen when playing.

A model that isn't told has to guess both from its own past, and wanders: what it plays grows softer, then thinner
(experiments/014_manner). A number that isn't known is nan.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigmate.pitch import UNKNOWN_NOTES

_FLOOR = 1e-8


class Manner(NamedTuple):
    """How a stem is played.

    Args:
        level_db: mean power of its frames in mel bands, added up, where the song is heard at `HEARD_DB`.
        notes_per_s: how many notes, chords or strokes of a drummer begin in a second.
    """

    level_db: float
    notes_per_s: float


UNKNOWN = Manner(float("nan"), float("nan"))

USUAL: Mapping[str, Manner] = MappingProxyType(
    {
        "drums": Manner(-22.0, 4.8),
        "bass": Manner(-21.0, 2.8),
        "keys": Manner(-22.5, 1.9),
        "guitar": Manner(-20.5, 2.6),
        "lead": Manner(-20.5, 2.0),
        "other": Manner(-18.5, 1.1),
    }
)
"""What is usual: between the medians of practice songs and of MIDI files (experiments/014_manner)."""


def usual(instrument: str, louder_db: float = 0.0, density: float = 0.0) -> Manner:
    """How an instrument is usually played, or louder, or with `2 ** density` times as many notes; the whole band's
    manner is that of what it goes on from, so it is unknown.
    """
    if instrument not in USUAL:
        return UNKNOWN
    level_db, notes_per_s = USUAL[instrument]
    return Manner(level_db + louder_db, notes_per_s * 2**density)


def manner_of(
    power: NDArray[np.floating], notes: NDArray[np.integer], begins: NDArray[np.bool_], rate: float
) -> Manner:
    """How a stretch of a stem is played.

    Args:
        power: [T, D] in mel bands.
        notes: [T] note codes.
        begins: [codes] whether anything begins in a frame of that code.
        rate: frames per second.
    """
    level_db = 10 * np.log10(power.sum(axis=1, dtype=np.float64).mean() + _FLOOR)
    is_known = len(notes) > 0 and not (notes == UNKNOWN_NOTES).any()
    return Manner(float(level_db), float(begins[notes].mean() * rate) if is_known else UNKNOWN.notes_per_s)
