"""Notes that begin where notes begin are drawn more often: what the model writes is weighed by the beat grid.

    chance of a note that begins in a frame ~ the model's chance * nearness ** strength

`nearness` is 1 on a quarter or a third of a beat and falls off like a bell with the time to the nearest one. The model
is told the grid and knows what to play on it, but of its many small chances to begin a note between beats one is drawn
now and then: it plays too many notes, and late ones. Rests and notes that go on are left alone, and all is where
there is no grid.
"""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from gigmate.generation.note_taste import NoteTaste
from gigmate.model.conditions import StepConditions
from gigmate.pitch import NUM_NOTE_CODES, read_note_code

SPREAD_S = 0.015
"""Deviation of the bell: players are that precise."""

_FLOOR = 0.02  # no moment is impossible: grace notes and rolls are music
_SIN, _COS, _TEMPO = 2, 3, 8  # rows of `BeatGrid.features`: cycle of the beat, log2 of tempo over 120 bpm
_PARTS = (4, 3)  # of a beat


class BeatBias:
    """Weighs notes that begin.

    Args:
        codebook_size: V.
        taste: how strongly, and how long a frame is.
        device: where the logits are.
    """

    def __init__(self, codebook_size: int, taste: NoteTaste, device: torch.device) -> None:
        self._frame_s, self._strength = 1 / taste.frame_rate, taste.beat_strength
        self._begins = codes_that_begin(codebook_size).to(device)

    def weigh(self, notes: Tensor, conditions: StepConditions) -> Tensor:
        """Logits of note codes [B, V] of a step, S = 1 -> the same, weighed. They are of the frame after the step's."""
        beats = conditions.beats[:, 0].float()
        nearness = torch.exp(-0.5 * (seconds_off(_PARTS, beats, self._frame_s) / SPREAD_S).square())
        gain = self._strength * (nearness + _FLOOR).log() * beats.any(dim=-1)
        return notes + gain[:, None] * self._begins


def seconds_off(parts: Sequence[int], beats: Tensor, frame_s: float) -> Tensor:
    """How far the frame after this one is from the nearest beat, or third, or quarter of one.

    Args:
        parts: into how many a beat is divided, in all the ways that count.
        beats: [..., G], `BeatGrid.features` of this frame.
        frame_s: how long a frame is.

    Returns:
        [...] seconds, which mean nothing where there is no grid.
    """
    beat_s = beat_seconds(beats)
    phase = torch.atan2(beats[..., _SIN], beats[..., _COS]) / (2 * torch.pi) + frame_s / beat_s
    away = [((phase * n + 0.5) % 1 - 0.5).abs() / n for n in parts]
    return reduce(torch.minimum, away) * beat_s


def beat_seconds(beats: Tensor) -> Tensor:
    """How long a beat is [...], by `BeatGrid.features` [..., G]; half a second where there is no grid."""
    return 0.5 / beats[..., _TEMPO].float().exp2()


def codes_that_begin(codebook_size: int) -> Tensor:
    """[V] bool: the note codes with which a note begins."""
    begins = torch.zeros(codebook_size, dtype=torch.bool)
    begins[:NUM_NOTE_CODES] = torch.tensor([read_note_code(code).begins for code in range(NUM_NOTE_CODES)])
    return begins
