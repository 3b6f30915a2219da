"""Chord progressions drawn from functional harmony, parted into groups that share none with each other."""

import zlib
from typing import NamedTuple

import numpy as np

from gigmate.music.band.chance import pick, pick_weighted
from gigmate.music.band.theory import MODES, ChordSymbol, diatonic_chord, dominant_of

NUM_PROGRESSION_GROUPS = 50
"""Groups 0..49; a validation split takes whole groups, so that no progression of it was heard in training."""

_NEXT_DEGREE: dict[str, dict[int, str]] = {
    # after degree: the degrees that may follow, as often as they are likely
    "major": {1: "444445555666223", 2: "55555141", 3: "664446", 4: "1111555552661", 5: "111166644", 6: "4444225531"},
    "minor": {1: "666777444355", 2: "5551", 3: "77666", 4: "11155577", 5: "11116", 6: "7777333451", 7: "11113336"},
    "dorian": {1: "444447732", 2: "114", 3: "4442", 4: "11111177", 5: "114", 6: "24", 7: "4411"},
    "mixolydian": {1: "77777444452", 2: "74", 3: "46", 4: "11111775", 5: "441", 6: "47", 7: "4444111"},
    "lydian": {1: "22222655", 2: "111556", 3: "62", 4: "1", 5: "1226", 6: "2251", 7: "61"},
    "phrygian": {1: "2222277366", 2: "111137", 3: "226", 4: "21", 5: "1", 6: "2277", 7: "1166"},
}
_FIRST_DEGREE = {"major": "1111111664421", "minor": "1111111664", "dorian": "11114", "mixolydian": "11114"}


class Change(NamedTuple):
    """A chord of a progression and how long it stays.

    Args:
        chord: relative to the tonic.
        num_bars: its length: 0.5, 1, 2 or 4 bars.
    """

    chord: ChordSymbol
    num_bars: float


Progression = tuple[Change, ...]


def progression_group(progression: Progression) -> int:
    """The group that a progression belongs to, whatever its key, rhythm, chord extensions and starting point.

    Chords count by root and by the colour of their third; repeated ones, and repeated rounds, count once.
    """
    colours = [(change.chord.root, change.chord.intervals[1]) for change in progression]
    merged = [colour for i, colour in enumerate(colours) if colour != colours[i - 1]] or colours[:1]
    num = len(merged)
    period = next(n for n in range(1, num + 1) if num % n == 0 and merged == merged[:n] * (num // n))
    canonical = min(tuple(merged[i:period] + merged[:i]) for i in range(period))
    return zlib.crc32(repr(canonical).encode()) % NUM_PROGRESSION_GROUPS


def draw_progression(
    rng: np.random.Generator,
    group: int,
    mode: str,
    *,
    colour: float,
    blues: float,
    bars_per_chord: tuple[float, ...],
) -> Progression:
    """A progression of `group`, by rejection: propose until one falls into it.

    Args:
        rng: where chance comes from.
        group: 0..NUM_PROGRESSION_GROUPS - 1.
        mode: a key of `MODES`.
        colour: probability of seventh and ninth chords.
        blues: probability that a twelve-bar blues is proposed.
        bars_per_chord: lengths to choose from.
    """
    while True:  # a proposal falls into any group with about equal chance, so this ends
        proposal = _blues(rng) if rng.random() < blues else _functional(rng, mode, colour, bars_per_chord)
        if progression_group(proposal) == group:
            return proposal


def _functional(rng: np.random.Generator, mode: str, colour: float, bars_per_chord: tuple[float, ...]) -> Progression:
    """A walk over the degrees of a mode, now and then with a borrowed dominant."""
    num_notes = pick_weighted(rng, ((4, 3.0), (5, 1.0))) if rng.random() < colour else 3
    num_chords = pick_weighted(rng, ((4, 6.0), (2, 1.0), (3, 1.0), (8, 2.0)))
    num_bars = pick(rng, [bars for bars in bars_per_chord if bars * num_chords <= 8] or [1.0])
    degrees = [int(pick(rng, _FIRST_DEGREE.get(mode, "1")))]
    while len(degrees) < num_chords:
        degrees.append(int(pick(rng, _NEXT_DEGREE[mode][degrees[-1]])))
    chords = [diatonic_chord(mode, degree, num_notes) for degree in degrees]
    for i, degree in enumerate(degrees):
        target = chords[(i + 1) % num_chords].root
        is_leading = degree == 5 and mode == "minor" and rng.random() < 0.6
        if is_leading or (i > 0 and chords[i].root != target and rng.random() < 0.04 + 0.08 * colour):
            chords[i] = dominant_of(0 if is_leading else target, num_notes)
    lengths = [num_bars] * num_chords
    if num_chords == 3:  # three chords in the time of four
        lengths[int(rng.integers(3))] *= 2
    return tuple(Change(chord, bars) for chord, bars in zip(chords, lengths, strict=True))


def _blues(rng: np.random.Generator) -> Progression:
    """Twelve bars of dominant (or minor) sevenths with the usual choices of second bar, turnaround and close."""
    third = pick(rng, (4, 4, 3))
    tonic, fourth = ChordSymbol(0, (0, third, 7, 10)), ChordSymbol(5, (0, third, 7, 10))
    fifth = ChordSymbol(7, (0, 4, 7, 10))
    second, tenth = pick(rng, (tonic, fourth)), pick(rng, (fourth, fifth, ChordSymbol(8, (0, 4, 7, 10))))
    eighth = pick(rng, (tonic, ChordSymbol(9, (0, 4, 7, 10))))
    ninth = pick(rng, (fifth, ChordSymbol(2, (0, 3, 7, 10))))
    twelfth = pick(rng, (tonic, fifth, ChordSymbol(8, (0, 4, 7, 10))))
    sixth = pick(rng, (fourth, ChordSymbol(6, (0, 3, 6, 9))))
    bars = (tonic, second, tonic, tonic, fourth, sixth, tonic, eighth, ninth, tenth, tonic, twelfth)
    return tuple(Change(chord, 1.0) for chord in bars)


def scale_of(key: int, mode: str) -> frozenset[int]:
    """Pitch classes of a mode on a tonic."""
    return frozenset((key + step) % 12 for step in MODES[mode])
