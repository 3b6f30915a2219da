"""Which of the notes that a model might write are favoured."""

from dataclasses import dataclass, replace
from fractions import Fraction


@dataclass(frozen=True)
class NoteTaste:
    """For models that write notes; without effect on others.

    Args:
        chord_strength: how much notes are favoured that fit the chord (`ChordBias`); 0: not at all.
        beat_strength: how much notes are favoured that begin on a part of the beat (`BeatBias`); 0: not at all.
        eagerness: how much sooner than it would a player comes in again who has rested (`Eagerness`); 0: not at all.
        frame_rate: frames per second of the codec, by which beats are counted.
    """

    chord_strength: float = 0.0
    beat_strength: float = 0.0
    eagerness: float = 0.0
    frame_rate: float = 50.0

    def at(self, frame_rate: Fraction) -> "NoteTaste":
        """The same at another frame rate."""
        return replace(self, frame_rate=float(frame_rate))


NO_TASTE = NoteTaste()

USUAL_TASTE = NoteTaste(chord_strength=12.0, beat_strength=1.0, eagerness=1.0)
"""How GigMate plays, offline and live (experiments/013_past_errors, 015_notes_sound, 016_attacks)."""
