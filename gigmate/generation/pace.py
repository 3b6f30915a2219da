"""Who plays more or less than is usual finds back to it, and keeps to the beat on the way.

    chance of a note that begins ~ the model's chance * (usual strikes / strikes of late) ** (pace * (2 to 6))
    chance of a rest             ~ the model's chance * exp(-pace * 20 * share of rests of late beyond the usual)

A model takes its past for the manner of the piece: guitars that have rested rest on, keys that have struck on every
eighth go on doing so, and a song's stem is silent for a third of the time or twice as dense as anybody would play
(experiments/017_manner). Weighing notes by a constant moves all of them alike; here each row is weighed by what it has
done in the last seconds. Who plays too much leaves out what is off the beat first, who plays too little comes in on it.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gigmate.generation.beat_bias import beat_seconds, codes_that_begin, seconds_off
from gigmate.generation.habits import Habits, moving_average
from gigmate.generation.note_taste import NoteTaste
from gigmate.model.conditions import StepConditions
from gigmate.music.instruments import INSTRUMENTS
from gigmate.pitch import REST


class _Usual(NamedTuple):
    strikes: float
    """Notes, or chords, begun in a beat."""
    rests: float | None
    """Share of the time; None: what sounds isn't written, as with drums."""


USUAL = {
    "drums": _Usual(1.9, None),
    "bass": _Usual(0.95, 0.09),
    "keys": _Usual(0.65, 0.18),
    "guitar": _Usual(0.8, 0.14),
    "lead": _Usual(0.64, 0.25),
}
"""Near the medians of practice songs; who isn't here plays as it likes. Our stems don't ring on as true ones do, so
keys and guitars rest less here than there.
"""

_MEMORY_S = 6.0
_STRIKE_PULL, _REST_PULL = 4.0, 20.0
_FLOOR, _MOST = 0.06, 1.5  # strikes that even a silent player is taken to have made; e-folds off the usual
_MOST_REST = 0.5
_ON_BEAT_S = 0.03  # deviation of the bell within which a strike is on the beat


class Pace:
    """Weighs notes by how many have begun of late, and rests by how much was rested.

    Args:
        codebook_size: V.
        taste: how strongly, and how long a frame is.
        device: where the logits are.
    """

    def __init__(self, codebook_size: int, taste: NoteTaste, device: torch.device) -> None:
        self._frame_s = 1 / taste.frame_rate
        self._kept = math.exp(-1 / (_MEMORY_S * taste.frame_rate))
        self._begins = codes_that_begin(codebook_size + 1).to(device)  # the special id, no code, begins nothing
        usual = [USUAL.get(name) for name in INSTRUMENTS]
        self._strikes = torch.tensor([math.nan if each is None else each.strikes for each in usual], device=device)
        rests = [math.nan if each is None or each.rests is None else each.rests for each in usual]
        self._rests = torch.tensor(rests, device=device)
        self._strike_pull = taste.pace * _STRIKE_PULL * self._strikes.isfinite()
        self._rest_pull = taste.pace * _REST_PULL * self._rests.isfinite()
        self._sounds = (1 - self._rests).nan_to_num(1.0)

    def weigh(self, notes: Tensor, habits: Habits, conditions: StepConditions, wanted: Tensor | float = 1.0) -> Tensor:
        """Logits of note codes [B, V] of a step, S = 1 -> the same, weighed.

        Args:
            notes: of the frame after the step's.
            habits: of the rows.
            conditions: of the step.
            wanted: [B], how much is asked for, to what is usual.
        """
        excess = ((habits.strikes + _FLOOR) / (wanted + _FLOOR)).log().clamp(-_MOST, _MOST)
        beats = conditions.beats[:, 0].float()
        nearness = torch.exp(-0.5 * (seconds_off((1,), beats, self._frame_s) / _ON_BEAT_S).square())
        bent = excess * (1 + (0.5 - nearness) * excess.sign() * beats.any(dim=-1))
        weighed = notes - (self._strike_pull[conditions.instrument] * bent)[:, None] * self._begins[:-1]
        sounds = self._sounds[conditions.instrument]
        rest_excess = habits.rest_excess + (sounds * wanted).clamp(max=1.0) - sounds
        weighed[:, REST] -= self._rest_pull[conditions.instrument] * rest_excess.clamp(-_MOST_REST, _MOST_REST)
        return weighed

    def heard(self, habits: Habits, notes: Tensor, conditions: StepConditions) -> tuple[Tensor, Tensor]:
        """Strikes [B] and excess of rests [B] after the note codes [B, S], one after the other; the special id is no
        code, and who isn't in `USUAL` plays as is usual whatever it plays.
        """
        is_code = notes < len(self._begins) - 1
        strikes, rests = self._strikes[conditions.instrument], self._rests[conditions.instrument]
        a_beat = beat_seconds(conditions.beats) / self._frame_s * self._begins[notes]
        excess = (notes == REST).float() - rests[:, None]
        return (
            moving_average(habits.strikes, a_beat / strikes[:, None], is_code, self._kept).nan_to_num(1.0),
            moving_average(habits.rest_excess, excess, is_code, self._kept).nan_to_num(0.0),
        )
