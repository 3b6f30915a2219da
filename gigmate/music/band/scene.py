"""What a player is told of a section: the chords, the style, the mood, and where chance comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gigmate.music.band.chance import pick, stream
from gigmate.music.band.song import Section
from gigmate.music.band.styles import Style
from gigmate.music.band.theory import ChordSpan


class Event(NamedTuple):
    """A note as written, in beats from the song's first beat, before anybody plays it.

    Args:
        beat: position on the straight grid; swing comes with the performance.
        num_beats: length.
        pitch: MIDI pitch.
        velocity: 1..127.
        delay_s: seconds after the beat, for the strings of a strum.
    """

    beat: float
    num_beats: float
    pitch: int
    velocity: float
    delay_s: float = 0.0


class Hit(NamedTuple):
    """A sign of a figure: where it stands in the song, how long until the next sign, and which one it is."""

    beat: float
    num_beats: float
    sign: str


@dataclass(frozen=True)
class Scene:
    """A section as its players see it.

    Args:
        seed: of the song.
        style: of the song.
        section: which part of the form.
        meter: beats per bar.
        chords: every chord of the song (parts look ahead over the end of a section).
        scale: pitch classes of the song's mode.
    """

    seed: int
    style: Style
    section: Section
    meter: int
    chords: tuple[ChordSpan, ...]
    scale: frozenset[int]

    @property
    def start_beat(self) -> float:
        """First beat of the section."""
        return float(self.section.start_bar * self.meter)

    @property
    def end_beat(self) -> float:
        """First beat after the section."""
        return float((self.section.start_bar + self.section.num_bars) * self.meter)

    @property
    def is_end(self) -> bool:
        """Whether this is the last bar of the song: one held chord."""
        return self.section.name == "end"

    def material(self, part: str) -> np.random.Generator:
        """Chance for what is the same whenever this kind of section returns."""
        return stream(self.seed, part, self.section.name)

    def moment(self, part: str) -> np.random.Generator:
        """Chance for what is different each time."""
        return stream(self.seed, part, self.section.name, self.section.start_bar)

    def chord_at(self, beat: float) -> ChordSpan:
        """The chord that sounds on a beat; the last one after the end."""
        return next((chord for chord in self.chords if beat < chord.end_beat), self.chords[-1])

    def figure(self, rng: np.random.Generator, options: Sequence[str]) -> str:
        """One of the figures; in the last bar a held note."""
        return "x" + "." * (4 * self.meter - 1) if self.is_end else pick(rng, options)

    def hits(self, figure: str) -> Iterator[Hit]:
        """The signs of a figure, repeated until the section ends."""
        signs = read_figure(figure)
        length = len(figure.replace(" ", "")) / 4
        start = self.start_beat
        while start < self.end_beat:
            for offset, num_beats, sign in signs:
                beat = start + offset
                if beat < self.end_beat:
                    yield Hit(beat, min(num_beats, self.end_beat - beat), sign)
            start += length


def read_figure(figure: str) -> tuple[Hit, ...]:
    """Signs of a figure: a character per sixteenth; `.` lets the last sign ring, `-` ends it, blanks don't count."""
    text = figure.replace(" ", "")
    places = [i for i, sign in enumerate(text) if sign != "."] + [len(text)]
    return tuple(Hit(here / 4, (there - here) / 4, text[here]) for here, there in pairwise(places) if text[here] != "-")
