"""Who has rested for longer than is usual comes in again sooner.

    chance of a note that begins ~ the model's chance * exp(eagerness * beats rested beyond the usual)

A model that hears itself silent takes that for the manner of the piece: live, where it hears the song late and its mix
says less, drums fell silent for a third of some songs (experiments/016_attacks). Where a beat is known the notes still
begin on its parts, for those are favoured by `BeatBias`.
"""

import math

import torch
from torch import Tensor

from gigmate.generation.beat_bias import beat_seconds, codes_that_begin
from gigmate.generation.note_taste import NoteTaste
from gigmate.model.conditions import StepConditions
from gigmate.music.instruments import INSTRUMENTS

USUAL_REST_BEATS = {"drums": 1.0}
"""How long a player rests without anybody wondering; who isn't here rests as it likes."""

_MOST_BEATS = 3.0  # beyond the usual: from there on the chance grows no further


class Eagerness:
    """Weighs notes that begin.

    Args:
        codebook_size: V.
        taste: how strongly, and how long a frame is.
        device: where the logits are.
    """

    def __init__(self, codebook_size: int, taste: NoteTaste, device: torch.device) -> None:
        self._frame_s, self._strength = 1 / taste.frame_rate, taste.eagerness
        self._begins = codes_that_begin(codebook_size).to(device)
        usual = [USUAL_REST_BEATS.get(name, math.inf) for name in INSTRUMENTS]
        self._usual = torch.tensor(usual, device=device)

    def weigh(self, notes: Tensor, rested: Tensor, conditions: StepConditions) -> Tensor:
        """Logits of note codes [B, V] of a step -> the same, weighed; `rested` [B] frames have gone by in which nothing
        was played.
        """
        beats = rested * self._frame_s / beat_seconds(conditions.beats[:, 0])
        beyond = (beats - self._usual[conditions.instrument]).clamp(min=0.0, max=_MOST_BEATS)
        return notes + self._strength * beyond[:, None] * self._begins
