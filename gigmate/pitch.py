"""Pitch classes: C is 0, B is 11."""

NUM_PITCH_CLASSES = 12

NO_ROOT = -1
"""In place of a chord's root: nobody knows it."""
