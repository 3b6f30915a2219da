"""Pitch classes (C is 0, B is 11) and note codes: the numbers that music, models and codecs share.

A note code says what a player plays in a frame, as one number: what a model writes down before it sounds it. A codec's
codes hardly tell which note sounds (experiments/010_chords); these tell nothing else. Every number from 0 to
`NUM_NOTE_CODES` means:

    REST     nothing is played, nothing begins
    hits     drums: which of eight kinds of drum are struck in this frame, as bits
    melody   bass, lead: the pitch that sounds, and whether it begins in this frame
    chords   other instruments: up to three pitch classes that sound, and whether a chord is struck in this frame

The idea is that of Moshi's inner monologue (arXiv 2410.00037), text before speech; here notes before sound.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

NUM_PITCH_CLASSES = 12

NO_ROOT = -1
"""In place of a chord's root: nobody knows it."""

NUM_NOTE_CODES = 998
"""How many note codes there are."""

UNKNOWN_NOTES = -1
"""In place of a frame's note code: nobody knows what is played."""

REST = 0
LOWEST_PITCH, HIGHEST_PITCH = 24, 96
DRUM_KINDS = ("kick", "snare", "closed hat", "open hat", "tom", "crash", "ride", "percussion")

FIRST_MELODY = 1 << len(DRUM_KINDS)
FIRST_CHORD = FIRST_MELODY + 2 * (HIGHEST_PITCH - LOWEST_PITCH + 1)
CHORD_SETS = tuple(
    sum(1 << pitch_class for pitch_class in chosen)
    for size in (1, 2, 3)
    for chosen in itertools.combinations(range(NUM_PITCH_CLASSES), size)
)


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


def read_note_code(code: int) -> Played:
    """What a code means.

    Raises:
        ValueError: there is no such code.
    """
    if not 0 <= code < NUM_NOTE_CODES:
        raise ValueError(f"{code} is no note code: they are 0..{NUM_NOTE_CODES - 1}")
    if code < FIRST_MELODY:
        return Played(drums=tuple(_bits(code)), begins=code != REST)
    if code < FIRST_CHORD:
        above, begins = divmod(code - FIRST_MELODY, 2)
        pitch = LOWEST_PITCH + above
        return Played(pitch=pitch, pitch_classes=(pitch % NUM_PITCH_CLASSES,), begins=bool(begins))
    number, begins = divmod(code - FIRST_CHORD, 2)
    return Played(pitch_classes=tuple(_bits(CHORD_SETS[number])), begins=bool(begins))


def _bits(value: int) -> Iterator[int]:
    return (bit for bit in range(value.bit_length()) if value >> bit & 1)
