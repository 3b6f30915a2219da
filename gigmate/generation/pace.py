"""Who plays more or less than is usual finds back to it, and keeps to the beat on the way.

    chance of a note that begins ~ the model's chance * (usual strikes / strikes of late) ** (pace * (2 to 6))
    chance of a rest             ~ the model's chance * exp(-pace * 20 * quiet of late beyond the usual)

Quiet is the mean of the shares of rest and of silence: a rest counts half at once, and whole when the last note has
died away, for rests that never last so long are no silence (experiments/020_silence). A bass's count whole at once.

Usual is what this song calls for, where somebody listens (`MannerEar`), and what practice songs do where nobody does.

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
from gigmate.generation.hush import DIES_AWAY_S
from gigmate.generation.manner_ear import Manner
from gigmate.generation.note_taste import NoteTaste
from gigmate.model.conditions import StepConditions
from gigmate.music.instruments import INSTRUMENTS
from gigmate.pitch import REST


class _Usual(NamedTuple):
    strikes: float
    """Notes, or chords, begun in a beat."""
    true_strikes: float | None
    """Those of true parts: what `MannerEar` says of a song is meant against these. None: it doesn't count."""
    quiet: float | None
    """Mean of the shares of rest and silence. None: what sounds isn't written, as with drums."""
    true_silence: float | None
    """Share of the time in which nothing is heard any more, of true parts: as with their strikes."""


USUAL = {
    "drums": _Usual(1.9, None, None, None),
    "bass": _Usual(0.95, 1.07, 0.09, 0.01),
    "keys": _Usual(0.65, 0.78, 0.1, 0.03),
    "guitar": _Usual(0.8, 1.1, 0.07, 0.03),
    "lead": _Usual(0.64, 0.86, 0.1, None),
}
"""Of true parts the medians of practice songs, of ours what makes them strike as often and be silent as long: nobody is
held so hard that he gets there (experiments/018_pace, 020_silence). Who isn't here plays as it likes. Drums' strikes
and a lead's silence are heard no better than they are usual (experiments/019_manner_ear).
"""

_FORWARD = 0.25  # of the pull: what is called for counts before it is missed
_MOST_FITTING = 4.0  # times as many strikes as are usual, or as few
_MEMORY_S = 6.0
_STRIKE_PULL, _REST_PULL = 4.0, 20.0
_FLOOR, _MOST = 0.06, 1.5  # strikes that even a silent player is taken to have made; e-folds off the usual
_MOST_QUIET = 0.5
_ON_BEAT_S = 0.03  # deviation of the bell within which a strike is on the beat


class Pace:
    """Weighs notes by how many have begun of late, and rests by how quiet it was.

    Args:
        codebook_size: V.
        taste: how strongly, and how long a frame is.
        device: where the logits are.
    """

    def __init__(self, codebook_size: int, taste: NoteTaste, device: torch.device) -> None:
        self._frame_s = 1 / taste.frame_rate
        self._kept = math.exp(-1 / (_MEMORY_S * taste.frame_rate))
        self._begins = codes_that_begin(codebook_size + 1).to(device)  # the special id, no code, begins nothing
        nobody = _Usual(math.nan, None, None, None)
        usual = [USUAL.get(name, nobody) for name in INSTRUMENTS]
        self._strikes, self._true_strikes, self._quiet, self._true_silence = (
            torch.tensor([math.nan if value is None else value for value in values], device=device)
            for values in zip(*usual, strict=True)
        )
        dies_away_s = [DIES_AWAY_S.get(name, 0.0) for name in INSTRUMENTS]
        self._dies_away = (taste.frame_rate * torch.tensor(dies_away_s, device=device)).clamp(min=1.0)  # steps of rest
        self._strike_pull = taste.pace * _STRIKE_PULL * self._strikes.isfinite()
        self._rest_pull = taste.pace * _REST_PULL * self._quiet.isfinite()
        self._manner = taste.manner
        self._sounds = (1 - self._quiet).nan_to_num(1.0)

    def weigh(
        self,
        notes: Tensor,
        habits: Habits,
        conditions: StepConditions,
        wanted: Tensor | float = 1.0,
        manner: Manner | None = None,
    ) -> Tensor:
        """Logits of note codes [B, V] of a step, S = 1 -> the same, weighed.

        Args:
            notes: of the frame after the step's.
            habits: of the rows.
            conditions: of the step.
            wanted: [B], how much is asked for, to what is usual.
            manner: what the song calls for, if anybody listens.
        """
        beats = conditions.beats[:, 0].float()
        fitting, quieter = self._called_for(manner, beats, conditions.instrument)
        excess = ((habits.strikes + _FLOOR) / (wanted * fitting + _FLOOR)).log() - _FORWARD * fitting.log()
        excess = excess.clamp(-_MOST, _MOST)
        nearness = torch.exp(-0.5 * (seconds_off((1,), beats, self._frame_s) / _ON_BEAT_S).square())
        bent = excess * (1 + (0.5 - nearness) * excess.sign() * beats.any(dim=-1))
        weighed = notes - (self._strike_pull[conditions.instrument] * bent)[:, None] * self._begins[:-1]
        sounds = self._sounds[conditions.instrument]
        too_quiet = habits.quiet_excess - quieter + (sounds * wanted).clamp(max=1.0) - sounds
        weighed[:, REST] -= self._rest_pull[conditions.instrument] * too_quiet.clamp(-_MOST_QUIET, _MOST_QUIET)
        return weighed

    def _called_for(self, manner: Manner | None, beats: Tensor, instrument: Tensor) -> tuple[Tensor, Tensor]:
        """How many strikes [B] the songs call for, to what is usual, and how much more silence [B]."""
        if manner is None:
            return beats.new_ones(len(beats)), beats.new_zeros(len(beats))
        strikes = manner.strikes_per_s * beat_seconds(beats) / self._true_strikes[instrument]
        fitting = strikes.nan_to_num(1.0).clamp(1 / _MOST_FITTING, _MOST_FITTING) ** self._manner
        return fitting, self._manner * (manner.silence - self._true_silence[instrument]).nan_to_num(0.0)

    def heard(self, habits: Habits, notes: Tensor, rested: Tensor, conditions: StepConditions) -> tuple[Tensor, Tensor]:
        """Strikes [B] and excess of quiet [B] after steps, one after the other.

        The special id is no code, and who isn't in `USUAL` plays as is usual whatever it plays.

        Args:
            habits: before them.
            notes: codes [B, S].
            rested: [B, S], steps of rest up to each.
            conditions: of the steps.
        """
        is_code, instrument = notes < len(self._begins) - 1, conditions.instrument[:, None]
        a_beat = beat_seconds(conditions.beats) / self._frame_s * self._begins[notes]
        quiet = ((rested > 0).float() + (rested >= self._dies_away[instrument])) / 2
        return (
            moving_average(habits.strikes, a_beat / self._strikes[instrument], is_code, self._kept).nan_to_num(1.0),
            moving_average(habits.quiet_excess, quiet - self._quiet[instrument], is_code, self._kept).nan_to_num(0.0),
        )
