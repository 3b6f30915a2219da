"""What songs want of their players, followed frame by frame while they are played to, live as offline.

Step n hears a frame that lies `lookahead` - max_delay from the one that it begins, and is told the beat of that one:
where in the beat the heard frame lies follows from the tempo.
"""

import copy
import math
from collections.abc import Callable
from functools import cache, cached_property

import torch
from torch import Tensor, nn

from gigmate.generation.listening import exact_dtype, in_blocks, step_program
from gigmate.generation.manner_ear import (
    FIRST_CYCLE,
    FRAME_RATE,
    MEMORY_FRAMES,
    NUM_FEATURES,
    NUM_MEL_BANDS,
    PLAYERS,
    QUIET,
    TEMPO,
    Manner,
    MannerEar,
    decide,
)
from gigmate.model.conditions import StepConditions
from gigmate.model.lm import levels_of
from gigmate.music.instruments import INSTRUMENTS

USUAL_LEVEL_DB = {"drums": -19.3, "bass": -22.2, "keys": -27.1, "guitar": -26.9, "lead": -26.7}
"""How loud stems are on the mean to a song that is heard at -18 dB: medians of practice songs."""

MOST_LOUDER_DB = 9.0
"""A song wants a player to be so much louder than usual at most, or softer."""

_NEWEST = 0  # tap


class MannerListener:
    """Follows what the songs of a batch want of their players.

    In double precision on a CPU: products round by the number of rows, and a row gets the same whoever else plays.

    Args:
        ear: the network.
        max_delay: of the pattern, in frames: how far behind the newest frame the one is that is completed.
        device: where the conditions are.
    """

    def __init__(self, ear: MannerEar, max_delay: int, device: torch.device) -> None:
        self._frames, self._device = _Frames(ear, max_delay).to(device, exact_dtype(device)).eval(), device

    @cached_property
    def _frame(self) -> Callable[..., Tensor]:
        """The program for one frame."""
        return step_program(self._frames, self._frames.example(self._device), self._device)

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
        return in_blocks(self._hear, heard, conditions)

    def _hear(self, heard: Tensor, conditions: StepConditions) -> tuple[Tensor, Manner]:
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
        levels = levels_of(mel.flatten(-2)).to(heard.dtype)
        moments = self.ear.moments(levels, self._where_heard(beats, lookahead))
        counts = (is_heard & (mel[..., 1, :].mean(dim=-1) > QUIET))[..., None]
        known = []
        for moment, does_count in zip(moments.unbind(1), counts.unbind(1), strict=True):
            more = (heard[:, -1:] + 1).clamp(max=MEMORY_FRAMES)
            mean = heard[:, :-1] + (moment - heard[:, :-1]) / more
            heard = torch.where(does_count, torch.cat((mean, more), dim=-1), heard)
            known.append(heard)
        after = torch.stack(known, dim=1)
        player = instrument.clamp(max=len(PLAYERS) - 1)[:, None].expand(-1, after.shape[1])
        logits = self.ear(after, player, beats[..., TEMPO])
        manner = torch.stack(decide(*logits[:3]), dim=-1)
        is_known = (instrument < len(PLAYERS))[:, None] & (after[..., -1] > 0)
        return torch.cat((after, manner.masked_fill(~is_known[..., None], math.nan)), dim=-1)

    def _where_heard(self, beats: Tensor, lookahead: Tensor) -> Tensor:
        """[B, S, `NUM_BEAT_FEATURES`] of the frame that is heard, by those of the one that is made [B, S, G]."""
        tempo = beats[..., TEMPO : TEMPO + 1]
        turn = (lookahead - self.max_delay)[:, None, None] * self.cycles * tempo.exp2()
        sine, cosine = beats[..., FIRST_CYCLE:TEMPO].unflatten(-1, (3, 2)).unbind(dim=-1)
        turned = (sine * turn.cos() + cosine * turn.sin(), cosine * turn.cos() - sine * turn.sin())
        has_grid = beats.any(dim=-1, keepdim=True).to(beats.dtype)
        return torch.cat((torch.stack(turned, dim=-1).flatten(-2), tempo, has_grid), dim=-1)


@cache
def listener_of(ear: MannerEar, max_delay: int, device: torch.device) -> MannerListener:
    """The same for all who listen with an ear: it keeps nothing of what it hears."""
    return MannerListener(ear, max_delay, device)


def louder_db(manner: Manner, instrument: Tensor) -> Tensor:
    """How much louder than usual [B, ...] songs want the players [B]; 0 where that isn't known."""
    usual_db = _usual_level_db(instrument.device)[instrument]
    off_db = manner.level_db - usual_db.view(-1, *[1] * (manner.level_db.ndim - 1))
    return off_db.nan_to_num(0.0).clamp(-MOST_LOUDER_DB, MOST_LOUDER_DB)


@cache
def _usual_level_db(device: torch.device) -> Tensor:
    """[instruments]; nan of whom nobody knows."""
    return torch.tensor([USUAL_LEVEL_DB.get(name, math.nan) for name in INSTRUMENTS], device=device)


def nothing_heard(batch: int, device: torch.device) -> Tensor:
    """[B, C + 1]: what is known of songs that haven't begun."""
    return torch.zeros(batch, MannerEar.width + 1, dtype=exact_dtype(device), device=device)
