"""The chords that the notes of a MIDI score make."""

import itertools

import numpy as np
from numpy.typing import NDArray
from symusic.core import ScoreTick

from gigmate.music.chords import Chord
from gigmate.music.grid import BeatGrid
from gigmate.music.midi import track_notes
from gigmate.pitch import NO_ROOT, NUM_PITCH_CLASSES

_BASS_PROGRAMS = range(32, 40)  # of General MIDI
_SHARE = 0.2  # of a beat and its neighbours' halves that a pitch class must sound to belong to the chord


def chords_of(score: ScoreTick, grid: BeatGrid) -> tuple[Chord, ...]:
    """A chord for every beat of a MIDI score: the pitch classes that sound in it and half a beat around it.

    The root is the bass's longest pitch class in the beat: what the bass means to be the root, mostly. Beats without
    any note are left out.

    Args:
        score: the notes.
        grid: its beats.
    """
    times = np.asarray(grid.beat_times_s, dtype=np.float64)
    notes, bass = _notes(score)
    chords = []
    for start, end in itertools.pairwise(times.tolist()):
        half = (end - start) / 2
        sounding = _overlap(notes, start - half, end + half)
        pitch_classes = tuple(np.flatnonzero(sounding >= _SHARE * 4 * half).tolist())
        if pitch_classes:
            low = _overlap(bass, start, end)
            chords.append(Chord(start, end, int(low.argmax()) if low.any() else NO_ROOT, pitch_classes))
    return tuple(chords)


def _notes(score: ScoreTick) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(start, end, pitch class) of all pitched notes and of the bass's, [N, 3]."""
    every: list[NDArray[np.float64]] = []
    bass: list[NDArray[np.float64]] = []
    for track in score.tracks:
        if not track.is_drum and len(track.notes):
            played = track_notes(score, track)
            played[:, 2] %= NUM_PITCH_CLASSES
            every.append(played)
            bass += [played] if track.program in _BASS_PROGRAMS else []
    nothing = np.zeros((0, 3))
    return np.concatenate([nothing, *every]), np.concatenate([nothing, *bass])


def _overlap(notes: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """[12] seconds that each pitch class sounds within [start, end), notes that sound together counted each."""
    seconds = np.minimum(notes[:, 1], end) - np.maximum(notes[:, 0], start)
    there = seconds > 0
    return np.bincount(notes[there, 2].astype(np.int64), seconds[there], NUM_PITCH_CLASSES).astype(np.float64)
