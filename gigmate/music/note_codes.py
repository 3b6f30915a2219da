"""What a player plays in a frame, as one number: what a model writes down before it sounds it.

A codec's codes hardly tell which note sounds (experiments/010_chords); these tell nothing else. Every number from 0 to
`NUM_NOTE_CODES` means:

    REST     nothing is played, nothing begins
    hits     drums: which of eight kinds of drum are struck in this frame, as bits
    melody   bass, lead: the pitch that sounds, and whether it begins in this frame
    chords   other instruments: up to three pitch classes that sound, and whether a chord is struck in this frame

The idea is that of Moshi's inner monologue (arXiv 2410.00037), text before speech; here notes before sound.
"""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigmate.pitch import NUM_NOTE_CODES, NUM_PITCH_CLASSES, UNKNOWN_NOTES

Notes = NDArray[np.float64]
"""[N, 3]: start and end in seconds, MIDI pitch; on drums the General MIDI key of the drum."""

REST = 0
LOWEST_PITCH, HIGHEST_PITCH = 24, 96
DRUM_KINDS = ("kick", "snare", "closed hat", "open hat", "tom", "crash", "ride", "percussion")

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
_FIRST_MELODY = 1 << len(DRUM_KINDS)
_FIRST_CHORD = _FIRST_MELODY + 2 * (HIGHEST_PITCH - LOWEST_PITCH + 1)
_SETS = tuple(
    sum(1 << pitch_class for pitch_class in chosen)
    for size in (1, 2, 3)
    for chosen in itertools.combinations(range(NUM_PITCH_CLASSES), size)
)
_SET_NUMBER = {bits: number for number, bits in enumerate(_SETS)}


class Played(NamedTuple):
    """What a code means.

    Args:
        drums: indices in `DRUM_KINDS` of what is struck.
        pitch: of a melody; None for others.
        pitch_classes: what sounds, the melody's too.
        begins: whether a note begins.
    """

    drums: tuple[int, ...] = ()
    pitch: int | None = None
    pitch_classes: tuple[int, ...] = ()
    begins: bool = False


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


def read_note_code(code: int) -> Played:
    """What a code means.

    Raises:
        ValueError: there is no such code.
    """
    if not 0 <= code < NUM_NOTE_CODES:
        raise ValueError(f"{code} is no note code: they are 0..{NUM_NOTE_CODES - 1}")
    if code < _FIRST_MELODY:
        return Played(drums=tuple(_bits(code)), begins=code != REST)
    if code < _FIRST_CHORD:
        above, begins = divmod(code - _FIRST_MELODY, 2)
        pitch = LOWEST_PITCH + above
        return Played(pitch=pitch, pitch_classes=(pitch % NUM_PITCH_CLASSES,), begins=bool(begins))
    number, begins = divmod(code - _FIRST_CHORD, 2)
    return Played(pitch_classes=tuple(_bits(_SETS[number])), begins=bool(begins))


def _bits(value: int) -> Iterator[int]:
    return (bit for bit in range(value.bit_length()) if value >> bit & 1)


def _hits(played: NDArray[np.int64], num_frames: int) -> NDArray[np.int16]:
    codes = np.zeros(num_frames, np.int16)
    for begin, _, key in played.tolist():
        codes[begin] |= 1 << _KIND_OF_KEY.get(key, _PERCUSSION)
    return codes


def _melody(played: NDArray[np.int64], num_frames: int, better: int) -> NDArray[np.int16]:
    codes = np.full(num_frames, REST, np.int16)
    order = np.lexsort((better * played[:, 2], played[:, 0]))  # what comes last is what is heard
    for begin, end, pitch in played[order].tolist():
        code = _FIRST_MELODY + 2 * (_within_range(pitch) - LOWEST_PITCH)
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
        code = _FIRST_CHORD + 2 * _SET_NUMBER[_chosen(sorted(played[is_sounding, 2].tolist()))]
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
