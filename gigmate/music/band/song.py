"""What the band makes: a song as notes, chords, sections and beats, before it is sound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gigmate.music.chords import Chord
from gigmate.music.grid import BeatGrid
from gigmate.music.note_codes import Notes

PLAYERS = ("drums", "bass", "keys", "guitar", "lead")
"""The members of the band: the instruments for which every song has notes."""


class Note(NamedTuple):
    """One played note.

    Args:
        onset_s: when it is struck, in seconds from the start of the audio.
        duration_s: how long it is held.
        pitch: MIDI pitch; on the drums the General MIDI key of the drum.
        velocity: 1..127.
    """

    onset_s: float
    duration_s: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Section:
    """A part of the form; sections of one name share their material.

    Args:
        name: intro, verse, chorus, bridge, break, outro or end (the last bar).
        start_bar: first bar, from 0.
        num_bars: length.
        players: who plays; the others rest.
        energy: 0 (soft) to 1 (loud).
        has_fill: whether the drums announce what follows.
    """

    name: str
    start_bar: int
    num_bars: int
    players: tuple[str, ...]
    energy: float
    has_fill: bool


@dataclass(frozen=True, eq=False)
class Song:
    """A composed song: everything that `render_song` needs, and the truth that training and tests compare with.

    Args:
        seed: the seed it was composed from; the sounds derive from it too.
        duration_s: length of the audio.
        style: name of the style.
        key: pitch class of the tonic, C is 0.
        mode: a key of `theory.MODES`.
        bpm: mean tempo.
        meter: beats per bar, 3 or 4.
        swing: where the off-beat lies within its beat (or half beat, in styles that swing sixteenths): 0.5 is straight.
        progression_seed: group of its chord progressions, 0..49; songs of different groups share none (a section may
            end before its progression does).
        sections: the form, without gaps.
        chords: the harmony, without gaps from the first beat to the end.
        notes: per player, ordered by onset.
        tones: per player, the name of the sound.
        grid: all beats from the first one to the end.
    """

    seed: int
    duration_s: float
    style: str
    key: int
    mode: str
    bpm: float
    meter: int
    swing: float
    progression_seed: int
    sections: tuple[Section, ...]
    chords: tuple[Chord, ...]
    notes: Mapping[str, tuple[Note, ...]]
    tones: Mapping[str, str]
    grid: BeatGrid

    @property
    def group(self) -> str:
        """Name of the progression group: split train and validation by it."""
        return f"progressions-{self.progression_seed:02d}"


def as_array(notes: Sequence[Note]) -> Notes:
    """The band's notes as `note_codes` takes them."""
    rows = [(note.onset_s, note.onset_s + note.duration_s, note.pitch) for note in notes]
    return np.array(rows, np.float64).reshape(-1, 3)
