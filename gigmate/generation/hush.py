"""Who rests falls silent, as fast as a true part dies away.

    chance of a code ~ the model's chance * exp(-steadiness / 4 * dB that it is louder than what can be left)

A model draws the codes of a rest one by one, and one in a hundred that is a bit too loud keeps the next ones up: keys
that had rested for half a second hissed on at 40 dB below their loudest, where true ones had died away long since, and
a song that calls for short chords got none (experiments/020_silence).
"""

import math

import torch
from torch import Tensor

from gigmate.generation.note_taste import NoteTaste
from gigmate.music.instruments import INSTRUMENTS

LOUDEST_DB = {"keys": -14.0, "guitar": -15.0, "lead": -14.0}
"""How loud a frame hardly ever is, in dB of full scale, to a song that is heard at -18. Who isn't here isn't hushed."""

DIES_AWAY_S = {"keys": 0.42, "guitar": 0.3, "lead": 0.36}
"""After how long a rest true parts are `SILENT_DB` below their loudest. Not a bass's (.18 s): told of it, it loses the
beat live (experiments/020_silence).
"""

SILENT_DB = 50.0

_PULL, _MOST_DB = 0.25, 60.0


class Hush:
    """Weighs codes of the first codebook by how loud they are, in rows that rest.

    Args:
        taste: how strongly, how long a frame is, and how loud codes are (`code_db` isn't None).
        device: where the logits are.
    """

    def __init__(self, taste: NoteTaste, device: torch.device) -> None:
        assert taste.code_db is not None
        self._code_db = taste.code_db.to(device, torch.float32)
        loudest = [LOUDEST_DB.get(name, math.inf) for name in INSTRUMENTS]
        decay = [SILENT_DB / DIES_AWAY_S.get(name, math.inf) / taste.frame_rate for name in INSTRUMENTS]
        self._loudest, self._decay = (torch.tensor(values, device=device) for values in (loudest, decay))
        self._pull = taste.steadiness * _PULL

    def weigh(self, codes: Tensor, rested: Tensor, instrument: Tensor) -> Tensor:
        """Logits of the first codebook [B, views, V] -> the same, weighed by how many frames the instruments [B] have
        rested [B].
        """
        left_db = torch.where(rested > 0, self._loudest[instrument] - self._decay[instrument] * rested, math.inf)
        return codes - self._pull * (self._code_db - left_db[:, None]).clamp(min=0.0, max=_MOST_DB)[:, None]
