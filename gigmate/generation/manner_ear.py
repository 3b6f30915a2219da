"""What a song wants of a player, as far as it is heard in the mix: how many notes, how much silence, how loud.

    a frame of the mix ─┐
    where in the beat ──┴─> what kind of moment it is ──mean of the last 20 s──> what a player does in such a song

A language model of this size keeps whatever manner it begins with and doesn't hear which one the song calls for
(experiments/018_pace). But manners are slow and plain: a bossa's bass plays otherwise than a funk's, whatever it plays
next. So they are learnt by themselves, from moments that are averaged: what falls where in the beat, at which tempo.
`experiments.fit_manner_ear` trains it (experiments/019_manner_ear).
Source: Zaheer et al. 2017, Deep sets, for the mean of what is made of each element.
"""

import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from gigmate.model.conditions import with_slow_power
from gigmate.model.lm import levels_of
from gigmate.shapes import Features

SHIPPED = Path(__file__).parents[1] / "weights" / "manner.safetensors"
"""The weights that come with the package."""

PLAYERS = ("drums", "bass", "keys", "guitar", "lead")
"""Whose manner is known: the first of `INSTRUMENTS`."""

STRIKES_PER_S = tuple(math.exp(math.log(0.05) + i * math.log(240) / 39) for i in range(40))
"""Numbers of notes or chords a second between which the ear decides."""

SILENCES = tuple(i / 40 for i in range(41))
"""Shares of silence between which it decides."""

NUM_FEATURES, NUM_MEL_BANDS = 108, 48
"""Powers that describe a frame of the mix, and how many of them, the first, are bands of the mel scale: those of
`gigmate.codec.features`, which players don't import.
"""

FRAME_RATE = 50.0
"""Of the codec whose frames it hears, per second."""

NUM_BEAT_FEATURES = 8
"""Of each moment: sine and cosine of beat, half and quarter, tempo, and whether there is a grid."""

FIRST_CYCLE, TEMPO = 2, 8
"""Rows of `BeatGrid.features`; those of the bar are left out."""

MEMORY_FRAMES = 1000
"""How far back the mean reaches."""

QUIET = 1e-6
"""Mean power of the bands below which nothing plays."""

_HIDDEN = 160
_MOST_RATIO, _FREE_SILENCE = 2.0, 0.1  # so far apart are two manners alike: see `is_sane`
_ROUNDING = 1e-6
_STRIKES_OFF, _SILENCE_OFF = 0.22, 0.05  # what is played is off by that, on a log scale and as a share of the time
_DECISION = 40.0  # how sharply it is made


class Manner(NamedTuple):
    """What a song wants of a player.

    Args:
        strikes_per_s: [...], notes or chords begun in a second.
        silence: [...], share of the time.
        level_db: [...], mean level of the stem in dB, to a song that is heard at -18.
    """

    strikes_per_s: Tensor
    silence: Tensor
    level_db: Tensor


class MannerEar(nn.Module):
    """The network. What it has heard of a song, [B, C + 1], is a mean and how many frames it is of."""

    width = _HIDDEN
    """C."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = nn.Sequential(
            nn.Linear(2 * NUM_MEL_BANDS + NUM_BEAT_FEATURES, _HIDDEN),
            nn.SiLU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.SiLU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.SiLU(),
        )
        self.song = nn.Linear(_HIDDEN + 2, _HIDDEN)
        self.player = nn.Embedding(len(PLAYERS), _HIDDEN)
        self.strike_chances = nn.Linear(_HIDDEN, len(STRIKES_PER_S))
        self.silence_chances = nn.Linear(_HIDDEN, len(SILENCES))
        self.level = nn.Linear(_HIDDEN, 1)

    def forward(self, heard: Tensor, player: Tensor, tempo: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What players do in songs of which so much was heard.

        Args:
            heard: [..., C + 1], means of moments and the number of frames.
            player: [...] int64, of `PLAYERS`.
            tempo: [...] log2 of the tempo over 120 bpm; 0 where there is no grid.

        Returns:
            Logits of `STRIKES_PER_S` and of `SILENCES`, the level in dB [...], and what they are read from [..., C].
        """
        count = (heard[..., -1:] / MEMORY_FRAMES).clamp(min=1 / MEMORY_FRAMES).log() / 4
        known = torch.cat((heard[..., :-1], tempo[..., None], count), dim=-1)
        hidden = F.silu(self.song(known) + self.player(player))
        level_db = 6 * self.level(hidden)[..., 0] - 22
        return self.strike_chances(hidden), self.silence_chances(hidden), level_db, hidden

    def moments(self, levels: Tensor, beats: Tensor) -> Tensor:
        """What kind of moments frames are [..., C].

        Args:
            levels: [..., 2 * `NUM_MEL_BANDS`] compressed power of the frame, and of its recent past.
            beats: [..., `NUM_BEAT_FEATURES`].
        """
        return self.moment(torch.cat((levels, beats), dim=-1))


def listen(ear: MannerEar, power: Features, beats: Features) -> Tensor:
    """What is known after every frame of songs of at most 20 s, [B, T, C + 1]: what `MannerListener` hears, at once.

    Args:
        ear: the network.
        power: [B, D, T] linear, whose first bands are mel.
        beats: [B, G, T], features of the grids; zeros where there is none.

    Raises:
        ValueError: longer than that.
    """
    if power.shape[2] > MEMORY_FRAMES:
        raise ValueError(f"{power.shape[2]} frames, but the ear forgets after {MEMORY_FRAMES}")
    mel = with_slow_power(power[:, :NUM_MEL_BANDS]).transpose(1, 2)
    levels = levels_of(mel)
    has_grid = beats.any(dim=1)[..., None]
    moments = ear.moments(levels, torch.cat((beats.transpose(1, 2)[..., FIRST_CYCLE : TEMPO + 1], has_grid), dim=-1))
    counts = (mel[..., NUM_MEL_BANDS:].mean(dim=-1) > QUIET)[..., None]
    number = counts.cumsum(dim=1).to(moments.dtype)
    return torch.cat(((moments * counts).cumsum(dim=1) / number.clamp(min=1), number), dim=-1)


def decide(strikes: Tensor, silences: Tensor, level_db: Tensor) -> Manner:
    """The manner that is likeliest to be right or alike: of two manners one, not the mean.

    Args:
        strikes: [..., n] logits of `STRIKES_PER_S`.
        silences: [..., m] logits of `SILENCES`.
        level_db: [...].
    """
    log_strikes = torch.tensor(STRIKES_PER_S, dtype=strikes.dtype, device=strikes.device).log()
    shares = torch.tensor(SILENCES, dtype=strikes.dtype, device=strikes.device)
    return Manner(
        _decided(strikes, log_strikes, _alike(log_strikes.exp(), 0.0), _STRIKES_OFF).exp(),
        _decided(silences, shares, _alike(shares, _FREE_SILENCE), _SILENCE_OFF),
        level_db,
    )


def _alike(values: Tensor, free: float) -> Tensor:
    """[n, n]: 1 where values are within a factor of two, or differ by no more than `free`, else 0."""
    larger, smaller = torch.maximum(values[:, None], values), torch.minimum(values[:, None], values)
    return ((larger <= _MOST_RATIO * smaller + _ROUNDING) | (larger - smaller <= free + _ROUNDING)).to(values.dtype)


def _decided(logits: Tensor, values: Tensor, alike: Tensor, off: float) -> Tensor:
    """What to play [...], so that what comes of it, which is off by so much, is likeliest to be alike."""
    comes_of = (-0.5 * ((values[:, None] - values) / off).square()).softmax(dim=-1)
    chance = logits.softmax(dim=-1) @ alike @ comes_of.T
    weight = (_DECISION * chance).softmax(dim=-1) * alike[chance.argmax(dim=-1)]  # as good ones that are alike
    return weight @ values / weight.sum(dim=-1)


@cache
def shipped_ear() -> MannerEar:
    """The ear with the weights that ship."""
    ear = MannerEar()
    ear.load_state_dict({name: value.float() for name, value in load_file(SHIPPED).items()})
    return ear.eval()
