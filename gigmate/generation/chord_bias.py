"""Notes that fit the chord are drawn more often: what the model writes is weighed by what an ear reads in the mix.

    chance of a note that begins ~ the model's chance * (mean over its pitch classes of worth) ** strength

The mean is a geometric one, and the chance that any note begins stays what it was: when to play is the model's affair.
`worth` is the chance that a pitch class belongs to the chord, for a bass that it is the root. Rests, drums and notes
that go on are left alone. Two experts, one of which knows melodies and the other harmony, multiplied as in a product of
experts (Hinton 2002): a small model follows chords far less surely than it hears them (experiments/010_chords).
"""

import copy
import math
from functools import cached_property

import torch
from torch import Tensor

from gigmate.generation.chord_listener import ChordChances
from gigmate.generation.listening import exact_dtype
from gigmate.model.conditions import StepConditions
from gigmate.model.harmony import HarmonyEar
from gigmate.model.lm import AccompanimentLM, levels_of
from gigmate.music.instruments import INSTRUMENTS
from gigmate.pitch import NUM_NOTE_CODES, NUM_PITCH_CLASSES, read_note_code

TONES_OF_BASS = 0.25
"""What another note of the chord is worth to a bass, whose root is worth 1."""

_FLOOR = 0.02  # no note is impossible: passing notes are music
_AHEAD, _NEWEST = 2, 0  # taps: a chord is read best a third of a second after its frame


class ChordBias:
    """Weighs notes that begin.

    On a CPU in double precision: products round by the number of rows, and a row gets the same whoever else plays.

    Args:
        model: whose ear reads the chords, if they aren't told.
        strength: 0 leaves everything as it is.
    """

    def __init__(self, model: AccompanimentLM, strength: float) -> None:
        device = model.heads.weight.device
        self._model, self._strength, self._dtype = model, strength, exact_dtype(device)
        shares = torch.zeros(NUM_PITCH_CLASSES, model.config.codebook_size)
        for code in range(NUM_NOTE_CODES):
            played = read_note_code(code)
            if played.begins:
                for pitch_class in played.pitch_classes:
                    shares[pitch_class, code] = 1 / len(played.pitch_classes)
        self._shares = shares.to(device, self._dtype)
        self._unweighed = ~shares.any(dim=0).to(device)

    @cached_property
    def _ear(self) -> HarmonyEar:
        """The model's own, for who isn't told the chords."""
        return copy.deepcopy(self._model.conditions.harmony).to(self._dtype)

    def weigh(self, notes: Tensor, conditions: StepConditions, chords: ChordChances | None = None) -> Tensor:
        """Logits of note codes [B, V] of a step, S = 1, by its chords [B, 12] (None: as the model reads them)."""
        own, fit = notes.to(self._dtype), self._fit(conditions, chords or self._read(conditions))
        weighed = own + self._strength * fit
        gain = self._chance(weighed) - self._chance(own)
        return torch.where(self._unweighed, own, weighed - gain).float()

    def _chance(self, notes: Tensor) -> Tensor:
        """[B, 1]: log of how likely it is that any note begins, up to what doesn't change."""
        return notes.masked_fill(self._unweighed, -math.inf).logsumexp(dim=-1, keepdim=True)

    @torch.no_grad()
    def _read(self, conditions: StepConditions) -> ChordChances:
        """Chords [B, 12] by the model's own ear."""
        mix, heard = conditions.mix[:, 0], conditions.heard[:, 0]
        is_ahead = heard[:, _AHEAD]
        levels = torch.where(is_ahead[:, None], mix[:, _AHEAD], mix[:, _NEWEST])
        root, tones = self._ear(levels_of(levels)).chunk(2, dim=-1)
        return ChordChances(root.softmax(dim=-1), tones.sigmoid(), heard.any(dim=-1))

    def _fit(self, conditions: StepConditions, chords: ChordChances) -> Tensor:
        """[B, V] log of what note codes are worth, a mean over their pitch classes; 0 where nothing is heard."""
        worth = worth_of(chords.root, chords.tones, is_bass=conditions.instrument == _BASS)
        return ((worth.to(self._dtype) + _FLOOR).log() * chords.is_heard[:, None]) @ self._shares


_BASS = INSTRUMENTS.index("bass")


def worth_of(root: Tensor, tones: Tensor, *, is_bass: Tensor) -> Tensor:
    """What each pitch class is worth to a player [B, ..., 12], by the chances of root and tones and who plays [B]."""
    is_bass = is_bass.view(-1, *[1] * (root.ndim - 1))
    return torch.where(is_bass, root + TONES_OF_BASS * tones, tones)
