"""What chord sounds in each frame that is begun, followed frame by frame while it is played to, live as offline."""

import copy
from collections.abc import Callable
from functools import cache, cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gigmate.generation.chord_ear import NUM_BANDS, NUM_BEAT_FEATURES, STRIDE, ChordEar
from gigmate.generation.listening import exact_dtype, in_blocks, step_program
from gigmate.model.conditions import StepConditions
from gigmate.model.lm import levels_of
from gigmate.music.instruments import INSTRUMENTS, WRITTEN_AS_DRUMS
from gigmate.pitch import NUM_PITCH_CLASSES
from gigmate.shapes import Mask

_NEWEST, _NOW, _AHEAD = 0, 1, 2  # taps
_BEGUN, _SINCE = 0, 1
_UNPITCHED = tuple(INSTRUMENTS.index(name) for name in WRITTEN_AS_DRUMS)
_KNOWN = NUM_PITCH_CLASSES * ChordEar.width


class ChordChances(NamedTuple):
    """How likely pitch classes are to be the root and to belong to the chord.

    Args:
        root: [B, ..., 12] that sum to 1, C first.
        tones: [B, ..., 12].
        is_heard: [B, ...] bool; where not, nothing is known.
    """

    root: Tensor
    tones: Tensor
    is_heard: Tensor


class ChordListener:
    """Follows the chords of the songs of a batch.

    In double precision on a CPU: products round by the number of rows, and a row gets the same whoever else plays.

    Args:
        ear: the network.
        max_delay: of the pattern, in frames: how far behind the newest frame the one is that is completed.
        device: where the conditions are.
    """

    def __init__(self, ear: ChordEar, max_delay: int, device: torch.device) -> None:
        self._ear = copy.deepcopy(ear).to(device, exact_dtype(device)).eval()
        self._max_delay, self._device = max_delay, device

    @cached_property
    def _said(self) -> Callable[..., Tensor]:
        """The program for what is said of one frame."""
        said = _Said(self._ear)
        return step_program(said, said.example(self._device), self._device)

    @torch.no_grad()
    def hear(self, known: Tensor, conditions: StepConditions) -> tuple[Tensor, ChordChances]:
        """What is known of songs after the steps of the conditions, and the chords of the frames that these begin.

        Nobody listens for those who play no pitches.

        Args:
            known: [B, C], what was known before.
            conditions: of B rows and S steps.

        Returns:
            What is known, and the chances [B, S, 12].
        """
        return in_blocks(self._hear, known, conditions)

    def _hear(self, known: Tensor, conditions: StepConditions) -> tuple[Tensor, ChordChances]:
        is_pitched = torch.stack([conditions.instrument != player for player in _UNPITCHED]).all(dim=0)
        if not bool(is_pitched.any()):
            nothing = known.new_zeros(conditions.batch, conditions.num_steps, NUM_PITCH_CLASSES)
            return known, ChordChances(nothing, nothing, nothing[..., 0] > 0)
        mix, heard = conditions.mix.unflatten(-1, (2, -1))[..., 0, -NUM_BANDS:], conditions.heard
        before, clock = known[:, :_KNOWN].unflatten(1, (NUM_PITCH_CLASSES, -1)), known[:, _KNOWN:]
        is_taken, clocks = _clocks(heard[..., _NEWEST] & is_pitched[:, None], clock)
        far = (conditions.lookahead - self._max_delay)[:, None] - clocks[..., _SINCE]
        beats = conditions.beats.to(known.dtype)
        followed = zip(mix[:, :, _NEWEST], beats, far, is_taken, before, strict=True)
        states = torch.stack([self._followed(*row) for row in followed])
        around = torch.where(heard[..., _NOW, None], mix[..., _NOW, :], mix[..., _NEWEST, :])
        around = torch.where(heard[..., _AHEAD, None], mix[..., _AHEAD, :], around)
        says = self._said if conditions.num_steps == 1 else _Said(self._ear)
        root, tones = says(states, around, beats, far).unbind(dim=2)
        is_heard = heard.any(dim=-1) & (clocks[..., _BEGUN] > 0)
        return torch.cat((states[:, -1].flatten(1), clocks[:, -1]), dim=1), ChordChances(root, tones, is_heard)

    def _followed(self, power: Tensor, beats: Tensor, far: Tensor, is_taken: Mask, before: Tensor) -> Tensor:
        """What is known of one song after each of S steps [S, 12, C], by the newest power [S, bands] of those taken."""
        if not bool(is_taken.any()):
            return before.expand(len(is_taken), -1, -1)
        views = self._ear.views(levels_of(power[is_taken]).to(before.dtype), beats[is_taken], far[is_taken])
        after, _ = self._ear.follow(views[None], before[None])
        return torch.cat((before[None], after[0]))[is_taken.cumsum(dim=0)]


class _Said(nn.Module):
    """What is said of frames, as a program of tensors alone."""

    def __init__(self, ear: ChordEar) -> None:
        super().__init__()
        self.ear = ear

    def example(self, device: torch.device) -> tuple[Tensor, ...]:
        """What `forward` takes, S = 1."""
        states = torch.zeros(1, 1, NUM_PITCH_CLASSES, ChordEar.width, dtype=exact_dtype(device), device=device)
        power = torch.full((1, 1, NUM_BANDS), 0.01, device=device)
        return states, power, states[..., 0, :NUM_BEAT_FEATURES], states[..., 0, 0]

    def forward(self, states: Tensor, around: Tensor, beats: Tensor, far: Tensor) -> Tensor:
        """[B, S, 2, 12]: chances of root and tones.

        Args:
            states: [B, S, 12, C].
            around: [B, S, bands] power.
            beats: [B, S, G].
            far: [B, S], see `ChordEar.views`.
        """
        root, tones = self.ear(states, self.ear.views(levels_of(around).to(states.dtype), beats, far))
        return torch.stack((root.softmax(dim=-1), tones.sigmoid()), dim=2)


def _clocks(is_heard: Mask, clock: Tensor) -> tuple[Mask, Tensor]:
    """Which of the steps [B, S] take what they hear, and after each whether the song has begun and the steps since."""
    taken, clocks = [], []
    for now in is_heard.unbind(dim=1):
        begun, since = clock.unbind(dim=1)
        is_taken = now & ((begun == 0) | (since >= STRIDE - 1))
        clock = torch.stack((torch.where(is_taken, 1.0, begun), torch.where(is_taken, 0.0, since + begun)), dim=1)
        taken.append(is_taken)
        clocks.append(clock)
    return torch.stack(taken, dim=1), torch.stack(clocks, dim=1)


@cache
def listener_of(ear: ChordEar, max_delay: int, device: torch.device) -> ChordListener:
    """The same for all who listen with an ear: it keeps nothing of what it hears."""
    return ChordListener(ear, max_delay, device)


def nothing_known(batch: int, device: torch.device) -> Tensor:
    """[B, C]: what is known of songs that haven't begun."""
    return torch.zeros(batch, _KNOWN + 2, dtype=exact_dtype(device), device=device)
