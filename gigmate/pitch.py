"""Pitch classes (C is 0, B is 11) and note codes: the numbers that music and models share."""

NUM_PITCH_CLASSES = 12

NO_ROOT = -1
"""In place of a chord's root: nobody knows it."""

NUM_NOTE_CODES = 998
"""How many numbers `gigmate.music.note_codes` writes a frame's notes with."""

UNKNOWN_NOTES = -1
"""In place of a frame's note code: nobody knows what is played."""
