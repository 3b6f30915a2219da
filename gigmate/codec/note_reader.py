"""What the decoder is told by a note code: the sum of what the parts of its meaning say.

There are 998 codes, and most are rare; a chord that is struck is struck like any other, a kick is a kick whatever falls
on it. So each of these has a vector, and a code has the sum of its parts':

    known | drums struck (8) | pitch of a melody (73) | pitch classes of a chord (12) | melody begins | chord begins
"""

import torch
from torch import Tensor, nn

from gigmate.pitch import (
    DRUM_KINDS,
    FIRST_MELODY,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    NUM_NOTE_CODES,
    NUM_PITCH_CLASSES,
    UNKNOWN_NOTES,
    read_note_code,
)
from gigmate.shapes import NoteCodes

_DRUMS = 1
_PITCHES = _DRUMS + len(DRUM_KINDS)
_CLASSES = _PITCHES + HIGHEST_PITCH - LOWEST_PITCH + 1
_MELODY_BEGINS = _CLASSES + NUM_PITCH_CLASSES
_CHORD_BEGINS = _MELODY_BEGINS + 1
_NUM_PARTS = _CHORD_BEGINS + 1


class NoteReader(nn.Module):
    """Note codes to what is added to the decoder's input; nothing before training.

    Args:
        dim: D.
    """

    parts: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.says = nn.Parameter(torch.zeros(_NUM_PARTS, dim))
        self.register_buffer("parts", meanings(), persistent=False)

    def forward(self, notes: NoteCodes) -> Tensor:
        """[B, T] -> [B, T, D]; nothing for unknown notes."""
        return self.parts[note_rows(notes)] @ self.says


def note_rows(notes: NoteCodes) -> Tensor:
    """The row of each note code in tables of `NUM_NOTE_CODES` + 1 rows, of which the last is for unknown notes."""
    return torch.where(notes == UNKNOWN_NOTES, NUM_NOTE_CODES, notes)


def meanings() -> Tensor:
    """[NUM_NOTE_CODES + 1, parts]: 1 for each part of a code's meaning; none for unknown notes, the last."""
    table = torch.zeros(NUM_NOTE_CODES + 1, _NUM_PARTS)
    for code in range(NUM_NOTE_CODES):
        table[code, _parts_of(code)] = 1
    return table


def _parts_of(code: int) -> list[int]:
    played = read_note_code(code)
    if code < FIRST_MELODY:
        return [0, *(_DRUMS + kind for kind in played.drums)]
    if played.pitch is not None:
        return [0, _PITCHES + played.pitch - LOWEST_PITCH, *[_MELODY_BEGINS] * played.begins]
    return [0, *(_CLASSES + pitch_class for pitch_class in played.pitch_classes), *[_CHORD_BEGINS] * played.begins]
