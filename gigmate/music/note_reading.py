"""Note codes back to notes: what a model wrote, for a MIDI file."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from gigmate.music.band.song import Note
from gigmate.pitch import DRUM_KINDS, NUM_NOTE_CODES, NUM_PITCH_CLASSES, Played, read_note_code

_KEYS = dict(zip(DRUM_KINDS, (36, 38, 42, 46, 45, 49, 51, 54), strict=True))
_HIT_S = 0.1
_VELOCITY = 96
_LOWEST_OF_CHORD = 55  # chords are written without their register: they come back around middle C


def read_notes(codes: NDArray[np.int64], frame_rate: Fraction) -> list[Note]:
    """The notes that codes [T] mean, in order; what is no code (`UNKNOWN_NOTES`, special ids) counts as a rest.

    A note or chord lasts as long as its code stays and nothing begins anew. All are equally loud.
    """
    rate = float(frame_rate)
    notes = []
    for start, stop, played in _runs(codes):
        if played.drums:
            notes += [Note(start / rate, _HIT_S, _KEYS[DRUM_KINDS[kind]], _VELOCITY) for kind in played.drums]
        else:
            notes += [Note(start / rate, (stop - start) / rate, pitch, _VELOCITY) for pitch in _pitches(played)]
    return notes


def _pitches(played: Played) -> list[int]:
    if played.pitch is not None:
        return [played.pitch]
    return [_LOWEST_OF_CHORD + (c - _LOWEST_OF_CHORD) % NUM_PITCH_CLASSES for c in played.pitch_classes]


def _runs(codes: NDArray[np.int64]) -> Iterator[tuple[int, int, Played]]:
    """First frame, frame after the last and meaning of everything that is played."""
    frames = [read_note_code(int(code)) if 0 <= code < NUM_NOTE_CODES else Played() for code in codes]
    start = 0
    for stop in range(1, len(frames) + 1):
        if stop == len(frames) or frames[stop].begins or frames[stop] != frames[start]._replace(begins=False):
            if frames[start] != Played():
                yield start, stop, frames[start]
            start = stop
