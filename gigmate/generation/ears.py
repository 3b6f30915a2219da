"""What is heard of the songs of a batch while they are played to: how they want to be played to, and their chords."""

import copy
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from gigmate.generation.chord_ear import ChordEar, shipped_chord_ear
from gigmate.generation.chord_listener import ChordChances, ChordListener, nothing_known
from gigmate.generation.habits import keep
from gigmate.generation.manner_ear import FRAME_RATE, NUM_FEATURES, Manner
from gigmate.generation.manner_listener import MannerListener, nothing_heard
from gigmate.model.conditions import StepConditions
from gigmate.model.config import ModelConfig
from gigmate.shapes import Mask


def can_hear(config: ModelConfig, frame_rate: Fraction) -> bool:
    """Whether the ears that ship can be used: a step is a frame, of the features and the rate that they learnt from."""
    pattern = config.build_pattern()
    is_frame_by_frame = pattern.is_streamable and pattern.period == 1
    has_features = config.mix_features == NUM_FEATURES and frame_rate == FRAME_RATE
    return config.writes_notes and is_frame_by_frame and has_features


def chord_ear_for(config: ModelConfig, frame_rate: Fraction) -> ChordEar | None:
    """What hears the chords for a model; None: its own ear has to do."""
    return shipped_chord_ear() if can_hear(config, frame_rate) else None


class Hearing(NamedTuple):
    """What is heard with a step; None: nobody listens for it.

    Args:
        manner: [b] each.
        chords: [b, 12].
    """

    manner: Manner | None = None
    chords: ChordChances | None = None


NOTHING_HEARD = Hearing()


class Ears:
    """Listeners with what they know of each row's song.

    Args:
        manner: follows what songs want of their players; None: nobody does.
        chords: follows their chords; None: nobody does.
        batch: B.
        device: where the conditions are.
    """

    def __init__(
        self, manner: MannerListener | None, chords: ChordListener | None, batch: int, device: torch.device
    ) -> None:
        self._manner, self._chords, self._device = manner, chords, device
        self.known = nothing_heard(batch, device), nothing_known(batch, device)
        """[B, C] by the one and the other; zeros of songs that haven't begun."""

    def hear(self, conditions: StepConditions, rows: Mask | None = None) -> Hearing:
        """Hear on, and say what is known after the last step.

        Args:
            conditions: of the first b <= B rows, S steps.
            rows: [b] bool, those of them that go on; None for all.
        """
        manner = chords = None
        of_manner, of_chords = (known[: conditions.batch] for known in self.known)
        if self._manner is not None:
            now, each = self._manner.hear(of_manner, conditions)
            keep(of_manner, now, rows)
            manner = Manner(*(value[:, -1] for value in each))
        if self._chords is not None:
            now, said = self._chords.hear(of_chords, conditions)
            keep(of_chords, now, rows)
            chords = ChordChances(*(value[:, -1] for value in said))
        return Hearing(manner, chords)

    def alone(self) -> "Ears":
        """The same listeners, one row, a song that hasn't begun."""
        return Ears(self._manner, self._chords, 1, self._device)

    def fork(self) -> "Ears":
        """A copy that goes its own way."""
        other = copy.copy(self)
        other.known = self.known[0].clone(), self.known[1].clone()
        return other

    def select(self, rows: Tensor) -> None:
        """Row i hears the song of row `rows[i]`; [B] int64."""
        self.known = self.known[0][rows], self.known[1][rows]

    def reset(self, rows: Mask) -> None:
        """Forget the songs of `rows` [B]."""
        of_manner, of_chords = (torch.where(rows[:, None], 0.0, known) for known in self.known)
        self.known = of_manner, of_chords
