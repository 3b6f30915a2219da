"""The procedural band: composes songs and renders them as stems, with the beats and chords beside them."""

from gigmate.music.band.compose import STYLES, compose
from gigmate.music.band.progressions import NUM_PROGRESSION_GROUPS
from gigmate.music.band.render import render_song
from gigmate.music.band.song import PLAYERS, Chord, Note, Section, Song

__all__ = [
    "NUM_PROGRESSION_GROUPS",
    "PLAYERS",
    "STYLES",
    "Chord",
    "Note",
    "Section",
    "Song",
    "compose",
    "render_song",
]
