"""Harmony as truth: chords in seconds, and the same per frame."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigmate.pitch import NO_ROOT


class Chord(NamedTuple):
    """The harmony during [start_s, end_s).

    Args:
        start_s: seconds.
        end_s: seconds.
        root_pc: pitch class of the root, C is 0; `NO_ROOT` if nobody knows it.
        pitch_classes: all of its pitch classes; of a band's chord the root first.
    """

    start_s: float
    end_s: float
    root_pc: int
    pitch_classes: tuple[int, ...]


def frame_harmony(
    chords: Sequence[Chord], num_frames: int, frame_rate: Fraction
) -> tuple[NDArray[np.int8], NDArray[np.uint16]]:
    """Per frame the root ([T], `NO_ROOT` where unknown) and the pitch classes as bits ([T], 0 where unknown)."""
    roots, tones = np.full(num_frames, NO_ROOT, np.int8), np.zeros(num_frames, np.uint16)
    for chord in chords:
        frames = slice(max(0, round(chord.start_s * frame_rate)), max(0, round(chord.end_s * frame_rate)))
        roots[frames] = chord.root_pc
        tones[frames] = sum(1 << pitch_class for pitch_class in set(chord.pitch_classes))
    return roots, tones
