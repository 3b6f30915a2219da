"""Drums that have grown softer or louder than is usual find their way back.

    chance of a code ~ the model's chance * exp(steadiness * .03 * dB that the past is off * dB that the code is louder)

A model that hears itself play softly takes that for the manner of the piece, plays softer still, and over minutes fades
out; neither its notes nor its level alone can be held against that (experiments/017_manner). Each code of the first
codebook tells how loud it sounds (`Codec.code_db`), and so the codes alone tell how loud the past was.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gigmate.generation.habits import moving_average
from gigmate.generation.note_taste import NoteTaste
from gigmate.music.instruments import INSTRUMENTS

USUAL_DRUMS_DB = -20.5
"""How loud drums are on the mean, rests included, in dB of full scale, to a song that is heard at -18."""

_MEMORY_S = 5.0
_FREE_DB, _MOST_DB = 2.0, 8.0  # off the usual: nobody wonders yet; from there on the pull grows no further
_PULL = 0.03  # logits for a decibel off and a decibel louder; .01 was too weak
_RANGE_DB = 50.0  # below the loudest code all are as good as silent


class Steadiness:
    """Weighs codes of the first codebook by how loud they are, and follows how loud those were that were chosen.

    The level of a row is the power of its past, as a moving average, to the usual one: 1 is as loud as usual.

    Args:
        taste: how strongly, how long a frame is, and how loud codes are (`code_db` isn't None).
        device: where the logits are.
    """

    def __init__(self, taste: NoteTaste, device: torch.device) -> None:
        assert taste.code_db is not None
        code_db = taste.code_db.to(device, torch.float32)
        audible = code_db.clamp(min=code_db.max() - _RANGE_DB)
        self._pull = taste.steadiness * _PULL * (audible - audible.mean())
        power = 10 ** ((code_db - USUAL_DRUMS_DB) / 10)
        self._power = F.pad(power, (0, 1))  # the special id, no code, has none
        self._kept = math.exp(-1 / (_MEMORY_S * taste.frame_rate))
        self._drums = INSTRUMENTS.index("drums")

    def weigh(self, codes: Tensor, level: Tensor, instrument: Tensor) -> Tensor:
        """Logits of the first codebook [B, views, V] -> the same, weighed by the level [B] for the instruments [B]."""
        too_soft_db = F.softshrink(-10 * level.log10(), _FREE_DB).clamp(-_MOST_DB, _MOST_DB)
        return codes + (too_soft_db * (instrument == self._drums))[:, None, None] * self._pull

    def heard(self, level: Tensor, codes: Tensor, instrument: Tensor) -> Tensor:
        """The level [B] after the codes [B, S] of the first codebook, one after the other; the special id is no code.

        Others than drums are as loud as usual, whatever they play.
        """
        level = moving_average(level, self._power[codes], codes < len(self._power) - 1, self._kept)
        return torch.where(instrument == self._drums, level, 1.0)
