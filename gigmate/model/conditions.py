"""What the stem is made from besides its own past, in frames and as each step of the model gets it.

Frame t of a codec covers the samples [t * hop, (t + 1) * hop). With lookahead L, frame t of the stem is made from the
stem's past and from mix frames <= t + L. Under a delay pattern the codes of frame t are written over several steps, so
a step writes codes of several frames; the oldest of them, c, says how far the step may hear. For K = 4 codebooks in
delay pattern (max_delay 3) and L = 2, this is step s = 5:

    frame             0    1    2    3    4    5    6    7
                      .    .    c              n                c = s - max_delay = 2   oldest frame that is written
    stem, k=0         x    x    x    x    x   [W]               n = s = 5               newest frame that is written
          k=1         x    x    x    x   [W]
          k=2         x    x    x   [W]                         x     written before: the model's own past
          k=3         x    x   [W]                              [W]   written now
    mix heard         m    m    m    m   [N]   -    -    -      [N]   newest: frame c + L
                                                                m     heard at earlier steps
    beat grid         g    g    g    g    g   [G]               [G]   beats: of frame n, known beforehand

When the step is done, frame c is complete. The same step for L = -2, live: it must play before it hears:

    frame            -1    0    1    2    3    4    5
                           .    .    c              n
    mix heard              [N]  -    -    -    -    -           newest: frame c + L = 0

A step is given three frames of the mix, its *taps*: the newest that may be heard; the one that sounds with frame n,
which is about to begin; and one `AHEAD_FRAMES` later, for what is coming. The last two are never beyond the newest, and
unheard if L < 0. Each tap holds the power of its frame and the mean power of the `SLOW_FRAMES` up to it: onsets are
read off the one, harmony off the other.

Frames outside the mix that is given are *unheard*: zeroed and flagged, which is not the same as silence. In the first
max_delay steps c is negative; nothing is complete, but with L > 0 there may be something to hear already.

Patterns that write a frame in several steps (`flatten`) repeat the same conditions in them. The limit c + L holds for
streamable patterns only: `coarse_first` reads the whole stem, and so all that the stem was made from, before it writes
the finer codebooks.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gigmate.model.pattern import Pattern
from gigmate.shapes import Features, Mask

Conditions = TypeVar("Conditions", "FrameConditions", "StepConditions")

NUM_TAPS = 3
"""P: newest, now, ahead."""

AHEAD_FRAMES = 16
"""How far beyond frame n the third tap hears, if it may: a third of a second at 50 frames/s, about a beat."""

SLOW_FRAMES = 32
"""Length of the mean: as long as a chord is sure to last, 0.64 s at 50 frames/s."""


@dataclass(frozen=True)
class FrameConditions:
    """Conditions in codec time, as data sets and songs have them.

    Args:
        mix_power: [B, D, T_mix] float, linear power features of the mix, >= 0.
        mix_present: [B] bool; False where there is no mix: every frame counts as unheard.
        beats: [B, G, T_beats] float, features of the beat grid; zeros where there is none, as beyond T_beats.
        instrument: [B] int64.
        lookahead: [B] int64, L in frames.
    """

    mix_power: Features
    mix_present: Mask
    beats: Features
    instrument: Tensor
    lookahead: Tensor

    @property
    def batch(self) -> int:
        """B."""
        return self.instrument.shape[0]

    def to(self, device: torch.device | str) -> "FrameConditions":
        """The same on `device`."""
        return _map(self, lambda value: value.to(device))

    def rows(self, index: Tensor | slice) -> "FrameConditions":
        """Some rows of the batch."""
        return _map(self, lambda value: value[index])


@dataclass(frozen=True)
class StepConditions:
    """Conditions in pattern time, as the model takes them; see the drawing above.

    Args:
        mix: [B, S, P, 2 * D] float, power features of each tap's frame, then their mean; 0 where unheard.
        heard: [B, S, P] bool, whether that frame is heard.
        beats: [B, S, G] float, of frame n, zeros where there is no grid.
        instrument: [B] int64.
        lookahead: [B] int64, L in frames.
    """

    mix: Tensor
    heard: Mask
    beats: Tensor
    instrument: Tensor
    lookahead: Tensor

    @property
    def batch(self) -> int:
        """B."""
        return self.instrument.shape[0]

    @property
    def num_steps(self) -> int:
        """S."""
        return self.beats.shape[1]

    def at(self, steps: slice | Tensor) -> "StepConditions":
        """The conditions of some steps."""
        return _map(self, lambda value: value[:, steps] if value.ndim > 1 else value)

    def to(self, device: torch.device | str) -> "StepConditions":
        """The same on `device`."""
        return _map(self, lambda value: value.to(device))


def step_conditions(conditions: FrameConditions, pattern: Pattern, num_steps: int) -> StepConditions:
    """What each of `num_steps` steps of `pattern` gets."""
    device = conditions.lookahead.device
    oldest, newest = (frames.to(device) for frames in pattern.frames_at(num_steps))
    lookahead = conditions.lookahead[:, None]
    present = conditions.mix_present[:, None]
    last = oldest + lookahead
    taps = torch.stack((last, torch.minimum(newest, last), torch.minimum(newest + AHEAD_FRAMES, last)), dim=2)
    plays_after = (lookahead >= 0).expand_as(last)
    allowed = present[..., None] & torch.stack((torch.ones_like(plays_after), plays_after, plays_after), dim=2)
    mix, heard = _pick(with_slow_power(conditions.mix_power), taps.flatten(1), allowed.flatten(1))
    beats, _ = _pick(conditions.beats, newest.expand(conditions.batch, -1), torch.ones_like(present))
    shape = taps.shape
    return StepConditions(mix.view(*shape, -1), heard.view(shape), beats, conditions.instrument, conditions.lookahead)


def with_slow_power(power: Features) -> Features:
    """[B, D, T] -> [B, 2 * D, T]: each frame, and the mean of the `SLOW_FRAMES` up to it, or of those there are."""
    if power.shape[2] == 0:
        return torch.cat((power, power), dim=1)
    past = F.pad(power, (SLOW_FRAMES - 1, 0))
    count = torch.arange(1, power.shape[2] + 1, device=power.device).clamp(max=SLOW_FRAMES)
    return torch.cat((power, F.avg_pool1d(past, SLOW_FRAMES, stride=1) * (SLOW_FRAMES / count)), dim=1)


def drop_conditions(conditions: FrameConditions, uniform: Tensor, *, p_mix: float, p_beats: float) -> FrameConditions:
    """Without the mix in a share `p_mix` of the rows and, independently, without the grid in `p_beats`.

    A model trained so can play without either, and can be guided (`gigmate.generation.guidance`).

    Args:
        conditions: those of the batch.
        uniform: [B, 2] draws from [0, 1), for mix and beats; an argument so that training can be repeated exactly.
        p_mix: probability in 0..1.
        p_beats: probability in 0..1.
    """
    keep_mix, keep_beats = uniform[:, 0] >= p_mix, uniform[:, 1] >= p_beats
    return replace(
        conditions,
        mix_present=conditions.mix_present & keep_mix,
        beats=conditions.beats.masked_fill(~keep_beats[:, None, None], 0.0),
    )


def _pick(features: Features, frames: Tensor, allowed: Mask) -> tuple[Tensor, Mask]:
    """Features [B, D, T] at `frames` [B, S]: values [B, S, D], 0 where not allowed or outside, and which are not."""
    batch, num_features, num_frames = features.shape
    heard = allowed & (frames >= 0) & (frames < num_frames)
    if num_frames == 0:
        return features.new_zeros(batch, frames.shape[1], num_features), heard
    rows = torch.arange(batch, device=features.device)[:, None]
    picked = features.transpose(1, 2)[rows, frames.clamp(0, num_frames - 1)]
    # not a product: what lies in unheard frames may be NaN
    return picked.masked_fill(~heard[:, :, None], 0.0), heard


def _map(conditions: Conditions, change: Callable[[Tensor], Tensor]) -> Conditions:
    return type(conditions)(*(change(getattr(conditions, field.name)) for field in fields(conditions)))
