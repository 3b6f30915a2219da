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
    mix heard         m    m   [A]   m   [N]   -    -    -      [A]   mix_aligned: frame c, if L >= 0
                                                                [N]   mix_newest: frame c + L
    beat grid         g    g    g    g    g   [G]               [G]   beats: of frame n, known beforehand

When the step is done, frame c is complete. The same step for L = -2, live: it must play before it hears:

    frame            -1    0    1    2    3    4    5
                           .    .    c              n
    mix heard              [N]  -    -    -    -    -           mix_newest: frame c + L = 0; mix_aligned: unheard

Of the mix, a step is given two frames, [N] and [A]; those marked m reached the model at earlier steps, `-` never did.
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

from gigmate.model.pattern import Pattern
from gigmate.shapes import Features, Mask

Conditions = TypeVar("Conditions", "FrameConditions", "StepConditions")


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
        mix_newest: [B, S, D] float, power features of mix frame c + L, 0 where unheard.
        has_newest: [B, S] bool, whether that frame is heard.
        mix_aligned: [B, S, D] float, of mix frame c, 0 where unheard.
        has_aligned: [B, S] bool.
        beats: [B, S, G] float, of frame n, zeros where there is no grid.
        instrument: [B] int64.
        lookahead: [B] int64, L in frames.
    """

    mix_newest: Tensor
    has_newest: Mask
    mix_aligned: Tensor
    has_aligned: Mask
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


def step_conditions(conditions: FrameConditions, pattern: Pattern, num_steps: int) -> StepConditions:
    """What each of `num_steps` steps of `pattern` gets."""
    device = conditions.lookahead.device
    oldest, newest = (frames.to(device) for frames in pattern.frames_at(num_steps))
    lookahead = conditions.lookahead[:, None]
    present = conditions.mix_present[:, None]
    mix_newest, has_newest = _pick(conditions.mix_power, oldest + lookahead, present)
    mix_aligned, has_aligned = _pick(
        conditions.mix_power, oldest.expand(conditions.batch, -1), present & (lookahead >= 0)
    )
    beats, _ = _pick(conditions.beats, newest.expand(conditions.batch, -1), torch.ones_like(present))
    return StepConditions(
        mix_newest, has_newest, mix_aligned, has_aligned, beats, conditions.instrument, conditions.lookahead
    )


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
