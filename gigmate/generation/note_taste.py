"""Which of the notes that a model might write are favoured."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

from torch import Tensor

from gigmate.generation.chord_ear import ChordEar
from gigmate.generation.manner_ear import MannerEar


@dataclass(frozen=True)
class NoteTaste:
    """For models that write notes; without effect on others.

    Args:
        chord_strength: how much notes are favoured that fit the chord (`ChordBias`); 0: not at all.
        beat_strength: how much notes are favoured that begin on a part of the beat (`BeatBias`); 0: not at all.
        eagerness: how much sooner than it would a player comes in again who has rested (`Eagerness`); 0: not at all.
        steadiness: how strongly drums are held to the usual level (`Steadiness`), and who rests to silence (`Hush`); 0:
            not at all.
        pace: how strongly players are held to a number of notes and rests (`Pace`); 0: not at all.
        manner: how far that number, and the level, are what the song calls for (`MannerEar`); 0: what is usual.
        frame_rate: frames per second of the codec, by which beats are counted.
        code_db: [V] how loud codes of the first codebook are (`Codec.code_db`), less what is asked for beyond the usual
            level; None: unknown, and levels are left alone.
        manner_ear: hears the manner; None: there is none for this codec.
        chord_ear: hears the chords; None: there is none for this codec, and the model's own is asked.
    """

    chord_strength: float = 0.0
    beat_strength: float = 0.0
    eagerness: float = 0.0
    steadiness: float = 0.0
    pace: float = 0.0
    manner: float = 0.0
    frame_rate: float = 50.0
    code_db: Tensor | None = field(default=None, compare=False, repr=False)
    manner_ear: MannerEar | None = field(default=None, compare=False, repr=False)
    chord_ear: ChordEar | None = field(default=None, compare=False, repr=False)

    def at(
        self,
        frame_rate: Fraction,
        code_db: Tensor | None,
        manner_ear: MannerEar | None = None,
        chord_ear: ChordEar | None = None,
    ) -> "NoteTaste":
        """The same for a codec."""
        return replace(self, frame_rate=float(frame_rate), code_db=code_db, manner_ear=manner_ear, chord_ear=chord_ear)


STRENGTHS = ("chord_strength", "beat_strength", "eagerness", "steadiness", "pace", "manner")
"""The fields that commands set and reports name."""

NO_TASTE = NoteTaste()

USUAL_TASTE = NoteTaste(chord_strength=12.0, beat_strength=1.0, eagerness=1.0, steadiness=1.0, pace=1.0, manner=1.0)
"""How GigMate plays, offline and live (experiments/013_past_errors, 015_notes_sound to 020_silence)."""
