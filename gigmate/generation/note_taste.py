"""Which of the notes that a model might write are favoured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NoteTaste:
    """For models that write notes; without effect on others.

    Args:
        chord_strength: how much notes are favoured that fit the chord (`ChordBias`); 0: not at all.
        beat_strength: how much notes are favoured that begin on a part of the beat (`BeatBias`); 0: not at all.
        frame_rate: frames per second of the codec, by which beats are counted.
    """

    chord_strength: float = 0.0
    beat_strength: float = 0.0
    frame_rate: float = 50.0


NO_TASTE = NoteTaste()
