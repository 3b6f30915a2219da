"""Pitch classes, modes and chords: as much theory as the band needs to agree with itself."""

from dataclasses import dataclass
from typing import NamedTuple

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
}
"""Semitones above the tonic, by the name of the mode."""


class ChordSymbol(NamedTuple):
    """A chord before its key is known.

    Args:
        root: semitones of its root above the tonic, 0..11.
        intervals: semitones of its notes above the root, the root's 0 first; 14 is a ninth.
    """

    root: int
    intervals: tuple[int, ...]


@dataclass(frozen=True)
class ChordSpan:
    """A chord in its place: [start, end) in beats from the song's first beat.

    Args:
        start_beat: where it begins.
        end_beat: where the next one begins.
        root_pc: pitch class of the root, C is 0.
        intervals: as in `ChordSymbol`.
    """

    start_beat: float
    end_beat: float
    root_pc: int
    intervals: tuple[int, ...]

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The pitch classes of the chord, root first."""
        return tuple((self.root_pc + interval) % 12 for interval in self.intervals)

    def interval_near(self, wanted: int) -> int:
        """The chord's own version of an interval: its third (wanted 4), fifth (7) or seventh (10)."""
        return min(self.intervals, key=lambda interval: (abs(interval - wanted), interval))


def diatonic_chord(mode: str, degree: int, num_notes: int) -> ChordSymbol:
    """Thirds piled up on a `degree` (1..7) of a mode: 3 notes are a triad, 4 a seventh chord, 5 a ninth chord."""
    scale = MODES[mode]
    tones = [scale[(degree - 1 + 2 * i) % 7] + 12 * ((degree - 1 + 2 * i) // 7) for i in range(num_notes)]
    return ChordSymbol(tones[0], tuple(tone - tones[0] for tone in tones))


def dominant_of(target_root: int, num_notes: int) -> ChordSymbol:
    """The major or dominant seventh chord that leads to `target_root` (semitones above the tonic)."""
    return ChordSymbol((target_root + 7) % 12, (0, 4, 7, 10)[: max(3, min(num_notes, 4))])


def melody_pitch_classes(scale: frozenset[int], chord: ChordSpan) -> frozenset[int]:
    """Pitch classes that sound right over a chord: its notes, and the scale without what rubs against borrowed ones.

    A scale note a semitone beside a chord note that is *not* in the scale is the one which that note replaced.
    """
    tones = frozenset(chord.pitch_classes)
    borrowed = tones - scale
    return tones | {pc for pc in scale if (pc + 1) % 12 not in borrowed and (pc - 1) % 12 not in borrowed}


def nearest_voicing(chord: ChordSpan, previous: tuple[int, ...], centre: float, num_notes: int) -> tuple[int, ...]:
    """The close position of a chord that moves least from the `previous` voicing and stays around `centre`.

    Returns:
        Ascending MIDI pitches; of chords with more notes than `num_notes` the fifth goes first, then the root.
    """
    spare = [chord.interval_near(7), 0]
    kept = list(chord.intervals)
    while len(kept) > num_notes and spare:
        dropped = spare.pop(0)
        kept = [interval for interval in kept if interval != dropped]
    pcs = sorted((chord.root_pc + interval) % 12 for interval in kept)
    lowest = int(centre) - 12
    stacks = []
    for turn in range(2 * len(pcs)):
        pitches = [lowest + (pcs[turn % len(pcs)] - lowest) % 12 + 12 * (turn // len(pcs))]
        for i in range(1, len(pcs)):
            pitches.append(pitches[-1] + ((pcs[(turn + i) % len(pcs)] - pitches[-1]) % 12 or 12))
        stacks.append(tuple(pitches))

    def cost(stack: tuple[int, ...]) -> float:
        middle = sum(stack) / len(stack)
        moved = sum(min(abs(p - q) for q in previous) for p in stack) / len(stack) if previous else 0.0
        return moved + 0.5 * abs(middle - centre)

    return min(stacks, key=cost)
