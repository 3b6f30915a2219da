"""Notes as note codes: what `gigmate.pitch` says how to read."""

import itertools
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from gigmate.pitch import (
    CHORD_SETS,
    FIRST_CHORD,
    FIRST_MELODY,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    NUM_PITCH_CLASSES,
    REST,
    UNKNOWN_NOTES,
)

Notes = NDArray[np.float64]
"""[N, 3]: start and end in seconds, MIDI pitch; on drums the General MIDI key of the drum."""

_KIND_OF_KEY = (
    dict.fromkeys((35, 36), 0)
    | dict.fromkeys((37, 38, 39, 40), 1)
    | dict.fromkeys((42, 44), 2)
    | {46: 3}
    | dict.fromkeys((41, 43, 45, 47, 48, 50), 4)
    | dict.fromkeys((49, 52, 55, 57), 5)
    | dict.fromkeys((51, 53, 59), 6)
)
_PERCUSSION = 7
_STROKE_FRAMES = 3
_SET_NUMBER = {bits: number for number, bits in enumerate(CHORD_SETS)}


def note_codes(notes: Notes, instrument: str, num_frames: int, frame_rate: Fraction) -> NDArray[np.int16]:
    """Codes [T] of one player's notes.

    Of melody notes that overlap the latest is taken, of those that begin together the bass's lowest and the lead's
    highest; pitches out of range are moved by octaves. Of chords of more than three pitch classes the lowest note's and
    the two highest notes' are taken.
    """
    begins = np.maximum(0, np.floor(notes[:, 0] * float(frame_rate))).astype(np.int64)
    ends = np.maximum(begins + 1, np.round(notes[:, 1] * float(frame_rate)).astype(np.int64))
    played = np.stack([begins, ends, notes[:, 2].astype(np.int64)], axis=1)
    played = played[played[:, 0] < num_frames]
    if instrument == "drums":
        return _hits(played, num_frames)
    if instrument in ("bass", "lead"):
        return _melody(played, num_frames, -1 if instrument == "bass" else 1)
    return _chords(played, num_frames)


def unknown_notes(num_frames: int) -> NDArray[np.int16]:
    """Codes [T] of a player whose notes nobody knows."""
    return np.full(num_frames, UNKNOWN_NOTES, np.int16)


def _hits(played: NDArray[np.int64], num_frames: int) -> NDArray[np.int16]:
    codes = np.zeros(num_frames, np.int16)
    for begin, _, key in played.tolist():
        codes[begin] |= 1 << _KIND_OF_KEY.get(key, _PERCUSSION)
    return codes


def _melody(played: NDArray[np.int64], num_frames: int, better: int) -> NDArray[np.int16]:
    codes = np.full(num_frames, REST, np.int16)
    order = np.lexsort((better * played[:, 2], played[:, 0]))  # what comes last is what is heard
    for begin, end, pitch in played[order].tolist():
        code = FIRST_MELODY + 2 * (_within_range(pitch) - LOWEST_PITCH)
        codes[begin:end] = code
        codes[begin] = code + 1
    return codes


def _within_range(pitch: int) -> int:
    while pitch < LOWEST_PITCH:
        pitch += NUM_PITCH_CLASSES
    while pitch > HIGHEST_PITCH:
        pitch -= NUM_PITCH_CLASSES
    return pitch


def _chords(played: NDArray[np.int64], num_frames: int) -> NDArray[np.int16]:
    """A chord holds from where it is struck to the next one, or until the last of its notes ends."""
    codes = np.full(num_frames, REST, np.int16)
    begins, starts = _struck_together(played[:, 0])
    for start, stop in itertools.pairwise([*starts, num_frames]):
        is_sounding = (begins <= start) & (played[:, 1] > start)
        code = FIRST_CHORD + 2 * _SET_NUMBER[_chosen(sorted(played[is_sounding, 2].tolist()))]
        codes[start : min(stop, int(played[is_sounding, 1].max()))] = code
        codes[start] = code + 1
    return codes


def _struck_together(begins: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
    """Begins, those of one stroke made one, and the strokes in order: no hand strikes all its notes at once."""
    starts: list[int] = []
    for begin in np.unique(begins).tolist():
        if not starts or begin - starts[-1] > _STROKE_FRAMES:
            starts.append(begin)
    together = np.array(starts, np.int64)
    return together[np.searchsorted(together, begins, side="right") - 1], starts


def _chosen(pitches: list[int]) -> int:
    """Up to three pitch classes of pitches from low to high, as bits."""
    classes = {pitches[0] % NUM_PITCH_CLASSES}
    for pitch in reversed(pitches):
        if len(classes) < 3:
            classes.add(pitch % NUM_PITCH_CLASSES)
    return sum(1 << pitch_class for pitch_class in classes)
