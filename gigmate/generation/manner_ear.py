"""What a song wants of a player, as far as it is heard in the mix: how many notes, how much silence, how loud.

    a frame of the mix ─┐
    where in the beat ──┴─> what kind of moment it is ──mean of the last 20 s──> what a player does in such a song

A language model of this size keeps whatever manner it begins with and doesn't hear which one the song calls for
(experiments/018_pace). But manners are slow and plain: a bossa's bass plays otherwise than a funk's, whatever it plays
next. So they are learnt by themselves, from moments that are averaged: what falls where in the beat, at which tempo.
`experiments.fit_manner_ear` trains it (experiments/019_manner_ear).
Source: Zaheer et al. 2017, Deep sets, for the mean of what is made of each element.
"""

import copy
import math
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from gigmate.codec.features import NUM_FEATURES, NUM_MEL_BANDS
from gigmate.model.conditions import StepConditions, with_slow_power
from gigmate.model.lm import compress
from gigmate.music.instruments import INSTRUMENTS
from gigmate.shapes import Features
from gigmate.tracing import CAN_TRACE, traced

SHIPPED = Path(__file__).parents[1] / "weights" / "manner.safetensors"
"""The weights that come with the package."""

PLAYERS = ("drums", "bass", "keys", "guitar", "lead")
"""Whose manner is known: the first of `INSTRUMENTS`."""

STRIKES_PER_S = tuple(math.exp(math.log(0.05) + i * math.log(240) / 39) for i in range(40))
"""Numbers of notes or chords a second between which the ear decides."""

SILENCES = tuple(i / 40 for i in range(41))
"""Shares of silence between which it decides."""

FRAME_RATE = 50.0
"""Of the codec whose frames it hears, per second."""

NUM_BEAT_FEATURES = 8
"""Of each moment: sine and cosine of beat, half and quarter, tempo, and whether there is a grid."""

USUAL_LEVEL_DB = {"drums": -19.3, "bass": -22.2, "keys": -27.1, "guitar": -26.9, "lead": -26.7}
"""How loud stems are on the mean to a song that is heard at -18 dB: medians of practice songs."""

MOST_LOUDER_DB = 9.0
"""A song wants a player to be so much louder than usual at most, or softer."""

_FIRST_CYCLE, _TEMPO = 2, 8  # rows of `BeatGrid.features`; those of the bar are left out
_HIDDEN = 160
_MEMORY_FRAMES = 1000
_NEWEST = 0  # tap
_MOST_RATIO, _FREE_SILENCE = 2.0, 0.1  # so far apart are two manners alike: see `is_sane`
_ROUNDING = 1e-6
_STRIKES_OFF, _SILENCE_OFF = 0.22, 0.05  # what is played is off by that, on a log scale and as a share of the time
_DECISION = 40.0  # how sharply it is made
_QUIET = 1e-6  # mean power of the bands: nothing plays


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
        count = (heard[..., -1:] / _MEMORY_FRAMES).clamp(min=1 / _MEMORY_FRAMES).log() / 4
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
    if power.shape[2] > _MEMORY_FRAMES:
        raise ValueError(f"{power.shape[2]} frames, but the ear forgets after {_MEMORY_FRAMES}")
    mel = with_slow_power(power[:, :NUM_MEL_BANDS]).transpose(1, 2)
    levels = compress(mel, torch.ones(mel.shape[:2], dtype=torch.bool, device=mel.device))[..., :-1]
    has_grid = beats.any(dim=1)[..., None]
    moments = ear.moments(levels, torch.cat((beats.transpose(1, 2)[..., _FIRST_CYCLE : _TEMPO + 1], has_grid), dim=-1))
    counts = (mel[..., NUM_MEL_BANDS:].mean(dim=-1) > _QUIET)[..., None]
    number = counts.cumsum(dim=1).to(moments.dtype)
    return torch.cat(((moments * counts).cumsum(dim=1) / number.clamp(min=1), number), dim=-1)


class MannerListener:
    """Follows what the songs of a batch want of their players.

    In double precision on a CPU: products round by the number of rows, and a row gets the same whoever else plays.

    Args:
        ear: the network.
        max_delay: of the pattern, in frames: how far behind the newest frame the one is that is completed.
        device: where the conditions are.
    """

    def __init__(self, ear: MannerEar, max_delay: int, device: torch.device) -> None:
        self._frames, self._device = _Frames(ear, max_delay).to(device, _dtype_on(device)).eval(), device

    @cached_property
    def _frame(self) -> Callable[..., Tensor]:
        """The program for one frame."""
        can_trace = CAN_TRACE and self._device.type == "cpu"
        return traced(self._frames, self._frames.example(self._device)) if can_trace else self._frames

    @torch.no_grad()
    def hear(self, heard: Tensor, conditions: StepConditions) -> tuple[Tensor, Manner]:
        """What is known of songs after the steps of the conditions, and what they want at each of them.

        Frames that aren't heard, or in which nothing plays, tell nothing.

        Args:
            heard: [B, C + 1], what was known before.
            conditions: of B rows and S steps.

        Returns:
            What is known, and the manners [B, S]; nan for players that the ear doesn't know, and before anything is
            heard.
        """
        frames = self._frame if conditions.num_steps == 1 else self._frames
        now = frames(
            heard,
            conditions.mix[:, :, _NEWEST],
            conditions.heard[:, :, _NEWEST],
            conditions.beats,
            conditions.lookahead,
            conditions.instrument,
        )
        return now[:, -1, :-3], Manner(*now[:, :, -3:].float().unbind(dim=2))


class _Frames(nn.Module):
    """Some more frames, as a program of tensors alone."""

    cycles: Tensor

    def __init__(self, ear: MannerEar, max_delay: int) -> None:
        super().__init__()
        self.ear, self.max_delay = copy.deepcopy(ear), max_delay
        self.register_buffer("cycles", 4 * math.pi / FRAME_RATE * torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64))

    def example(self, device: torch.device) -> tuple[Tensor, ...]:
        """What `forward` takes, S = 1."""
        nothing = torch.zeros(1, dtype=torch.int64, device=device)
        mix, there = torch.full((1, 1, 2 * NUM_FEATURES), 0.01), torch.ones(1, 1, dtype=torch.bool)
        return (
            nothing_heard(1, device),
            mix.to(device),
            there.to(device),
            0 * mix[..., :10].to(device),
            nothing,
            nothing,
        )

    def forward(
        self, heard: Tensor, mix: Tensor, is_heard: Tensor, beats: Tensor, lookahead: Tensor, instrument: Tensor
    ) -> Tensor:
        """[B, S, C + 1 + 3]: what is known after each frame; strikes a second, silence and level that are wanted."""
        mel = mix.unflatten(-1, (2, NUM_FEATURES))[..., :NUM_MEL_BANDS]
        beats = beats.to(heard.dtype)
        levels = compress(mel.flatten(-2), torch.ones_like(is_heard))[..., :-1].to(heard.dtype)
        moments = self.ear.moments(levels, self._where_heard(beats, lookahead))
        counts = (is_heard & (mel[..., 1, :].mean(dim=-1) > _QUIET))[..., None]
        known = []
        for moment, does_count in zip(moments.unbind(1), counts.unbind(1), strict=True):
            more = (heard[:, -1:] + 1).clamp(max=_MEMORY_FRAMES)
            mean = heard[:, :-1] + (moment - heard[:, :-1]) / more
            heard = torch.where(does_count, torch.cat((mean, more), dim=-1), heard)
            known.append(heard)
        after = torch.stack(known, dim=1)
        player = instrument.clamp(max=len(PLAYERS) - 1)[:, None].expand(-1, after.shape[1])
        logits = self.ear(after, player, beats[..., _TEMPO])
        manner = torch.stack(decide(*logits[:3]), dim=-1)
        is_known = (instrument < len(PLAYERS))[:, None] & (after[..., -1] > 0)
        return torch.cat((after, manner.masked_fill(~is_known[..., None], math.nan)), dim=-1)

    def _where_heard(self, beats: Tensor, lookahead: Tensor) -> Tensor:
        """[B, S, `NUM_BEAT_FEATURES`] of the frame that is heard, by those of the one that is made [B, S, G]."""
        tempo = beats[..., _TEMPO : _TEMPO + 1]
        turn = (lookahead - self.max_delay)[:, None, None] * self.cycles * tempo.exp2()
        sine, cosine = beats[..., _FIRST_CYCLE:_TEMPO].unflatten(-1, (3, 2)).unbind(dim=-1)
        turned = (sine * turn.cos() + cosine * turn.sin(), cosine * turn.cos() - sine * turn.sin())
        has_grid = beats.any(dim=-1, keepdim=True).to(beats.dtype)
        return torch.cat((torch.stack(turned, dim=-1).flatten(-2), tempo, has_grid), dim=-1)


def louder_db(manner: Manner, instrument: Tensor) -> Tensor:
    """How much louder than usual [B, ...] songs want the players [B]; 0 where that isn't known."""
    usual = torch.tensor([USUAL_LEVEL_DB.get(name, math.nan) for name in INSTRUMENTS], device=instrument.device)
    off_db = manner.level_db - usual[instrument].view(-1, *[1] * (manner.level_db.ndim - 1))
    return off_db.nan_to_num(0.0).clamp(-MOST_LOUDER_DB, MOST_LOUDER_DB)


def nothing_heard(batch: int, device: torch.device) -> Tensor:
    """[B, C + 1]: what is known of songs that haven't begun."""
    return torch.zeros(batch, _HIDDEN + 1, dtype=_dtype_on(device), device=device)


def _dtype_on(device: torch.device) -> torch.dtype:
    return torch.float64 if device.type == "cpu" else torch.float32


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
def listener_of(ear: MannerEar, max_delay: int, device: torch.device) -> MannerListener:
    """The same for all who listen with an ear: it keeps nothing of what it hears."""
    return MannerListener(ear, max_delay, device)


@cache
def shipped_ear() -> MannerEar:
    """The ear with the weights that ship."""
    ear = MannerEar()
    ear.load_state_dict({name: value.float() for name, value in load_file(SHIPPED).items()})
    return ear.eval()
