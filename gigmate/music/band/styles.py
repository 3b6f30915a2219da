"""What a style is: tempo, feel, harmony and the figures and sounds to choose from."""

from dataclasses import dataclass
from typing import NamedTuple


class Groove(NamedTuple):
    """A drum pattern of whole bars, a figure per drum: `X` accent, `x` normal, `o` soft, `g` ghost note."""

    kick: str = ""
    snare: str = ""
    rim: str = ""
    clap: str = ""
    hat: str = ""
    pedal: str = ""
    open_hat: str = ""
    ride: str = ""
    shaker: str = ""
    tambourine: str = ""
    cowbell: str = ""
    conga: str = ""


@dataclass(frozen=True)
class Style:
    """A style of music. Figures are read by `scene.read_figure`, a character per sixteenth.

    Args:
        name: its name.
        bpm: lowest and highest tempo.
        grooves: drum patterns.
        bass: figures of R root, O octave, 5 fifth, 3 third, 7 seventh, A approach, g ghost; or the name `walk`.
        keys: figures of X accented, x held, s short, > anticipated chord, digits a broken chord, B bass note.
        guitar: figures like those of the keys, and m scratch, p power chord.
        modes: modes to choose from, the more often the likelier.
        meter: beats per bar.
        swing: range of the place of the off-beat, 0.5 is straight.
        swing_beats: length of the pair that swings: 1 for eighths, 0.5 for sixteenths.
        colour: probability of seventh chords.
        blues: probability of proposing a twelve-bar blues.
        bars_per_chord: harmonic rhythms to choose from.
        loose_ms: range of the standard deviation of human timing.
        melody: lengths of melody notes in beats, the more often the likelier.
        kits: drum sounds.
        basses: bass sounds.
        keyboards: keyboard sounds.
        guitars: guitar sounds.
        leads: lead sounds.
    """

    name: str
    bpm: tuple[float, float]
    grooves: tuple[Groove, ...]
    bass: tuple[str, ...]
    keys: tuple[str, ...]
    guitar: tuple[str, ...]
    modes: tuple[str, ...]
    meter: int = 4
    swing: tuple[float, float] = (0.5, 0.5)
    swing_beats: float = 1.0
    colour: float = 0.2
    blues: float = 0.0
    bars_per_chord: tuple[float, ...] = (1.0,)
    loose_ms: tuple[float, float] = (3.0, 9.0)
    melody: tuple[float, ...] = (0.5, 0.5, 0.5, 1.0, 1.0, 1.5, 2.0)
    kits: tuple[str, ...] = ("acoustic", "acoustic", "tight")
    basses: tuple[str, ...] = ("finger", "pick")
    keyboards: tuple[str, ...] = ("piano", "epiano", "organ")
    guitars: tuple[str, ...] = ("clean", "acoustic", "crunch")
    leads: tuple[str, ...] = ("saw", "square", "flute", "reed", "fiddle")
