"""Codebook patterns: at which step of the model each code (frame t, codebook k) is written.

A codec frame holds K codes. A pattern lays them out over the steps of the model; `.` is the special id, "no code here":

    delay, K = 3, T = 4                 flatten, K = 2, T = 3         coarse_first, K = 3, T = 3

    step   0  1  2  3  4  5             step   0  1  2  3  4  5       step   0  1  2  3  4  5
    k=0   t0 t1 t2 t3  .  .             k=0   t0  . t1  . t2  .       k=0   t0 t1 t2  .  .  .
    k=1    . t0 t1 t2 t3  .             k=1    . t0  . t1  . t2       k=1    .  .  . t0 t1 t2
    k=2    .  . t0 t1 t2 t3                                           k=2    .  .  . t0 t1 t2

All of them are one rule, `step(t, k) = period * t + offsets[k] + passes[k] * T`, so that a pattern is three tuples of
numbers. Source: MusicGen (arXiv 2306.05284), section 2.2 and figure 1; the initial empty step of that paper is not part
of a pattern here (`AccompanimentLM` is given the steps shifted by one).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gigmate.shapes import Codes, Mask, Steps


@dataclass(frozen=True)
class Pattern:
    """A layout of codes over steps, as a value.

    Args:
        offsets: by how many steps each codebook comes after the first step of its frame; [K], the least is 0.
        period: steps from one frame to the next.
        passes: over the whole piece, which pass writes each codebook; [K], empty for one pass. A pattern of several
            passes reads the future of the stem and can't be streamed.

    Raises:
        ValueError: the numbers make no pattern.
    """

    offsets: tuple[int, ...]
    period: int = 1
    passes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.offsets or min(self.offsets) != 0 or self.period < 1:
            raise ValueError(f"a pattern needs offsets >= 0 with a 0 and a period >= 1, not {self}")
        if self.passes and (self.period, set(self.offsets)) != (1, {0}):
            raise ValueError(f"a pattern of several passes has period 1 and offsets 0, not {self}")
        if self.passes and (len(self.passes) != len(self.offsets) or min(self.passes) != 0):
            raise ValueError(f"passes must name one pass >= 0 for each of {len(self.offsets)} codebooks, not {self}")

    @property
    def num_codebooks(self) -> int:
        """K."""
        return len(self.offsets)

    @property
    def max_delay(self) -> int:
        """Frames that must begin after frame t before frame t is complete."""
        return max(self.offsets) // self.period

    @property
    def num_passes(self) -> int:
        """How often the pattern goes over the piece."""
        return max(self.passes, default=0) + 1

    @property
    def is_streamable(self) -> bool:
        """Whether frames come out one by one, so that a stem can be played while it is made."""
        return self.num_passes == 1

    def with_notes(self) -> "Pattern":
        """The same with one more codebook, first of all, that is written with the first code of a frame; where a step
        holds one code, a step before it.
        """
        passes = (0, *self.passes) if self.passes else ()
        if self.period == 1:
            return Pattern((0, *self.offsets), 1, passes)
        return Pattern((0, *(offset + 1 for offset in self.offsets)), self.period + 1, passes)

    def num_steps(self, num_frames: int) -> int:
        """S that holds `num_frames` whole frames."""
        return self.period * (num_frames + self.max_delay) * self.num_passes

    def steps_of(self, num_frames: int) -> Tensor:
        """The step that writes each code: [K, T] int64."""
        passes = torch.tensor(self.passes or (0,) * self.num_codebooks)
        first = torch.tensor(self.offsets) + passes * num_frames
        return first[:, None] + self.period * torch.arange(num_frames)

    def frames_at(self, num_steps: int) -> tuple[Tensor, Tensor]:
        """Oldest and newest frame that each step may write: two [S] int64.

        The oldest one, c in `conditions.py`, is what limits how far a step may hear. It is negative while no frame
        can be completed.
        """
        steps = torch.arange(num_steps)
        if self.is_streamable:
            newest = steps // self.period
            return newest - self.max_delay, newest
        frames = steps % (num_steps // self.num_passes)
        return frames, frames

    def valid(self, num_frames: int) -> Mask:
        """[K, S] bool: True where the step writes a code of the codebook."""
        mask = torch.zeros(self.num_codebooks, self.num_steps(num_frames), dtype=torch.bool)
        return mask.scatter_(1, self.steps_of(num_frames), True)

    def interleave(self, codes: Codes, special_id: int) -> Steps:
        """Codes [B, K, T] laid out over steps [B, K, S], with `special_id` where there is no code.

        Raises:
            ValueError: K is another.
        """
        batch, num_codebooks, num_frames = codes.shape
        self._check(num_codebooks)
        index = self.steps_of(num_frames).to(codes.device).expand(batch, -1, -1)
        return codes.new_full((batch, num_codebooks, self.num_steps(num_frames)), special_id).scatter_(2, index, codes)

    def deinterleave(self, steps: Steps) -> Codes:
        """The codes [B, K, T] of steps [B, K, S]: the inverse of `interleave`.

        Raises:
            ValueError: K is another, or S doesn't hold whole frames.
        """
        batch, num_codebooks, num_steps = steps.shape
        self._check(num_codebooks)
        num_frames = num_steps // (self.period * self.num_passes) - self.max_delay
        if num_frames < 0 or self.num_steps(num_frames) != num_steps:
            raise ValueError(f"{num_steps} steps don't hold whole frames of {self}")
        return steps.gather(2, self.steps_of(num_frames).to(steps.device).expand(batch, -1, -1))

    def _check(self, num_codebooks: int) -> None:
        if num_codebooks != self.num_codebooks:
            raise ValueError(f"got {num_codebooks} codebooks, but the pattern is for {self.num_codebooks}")


def delay(num_codebooks: int, delays: tuple[int, ...] | None = None) -> Pattern:
    """Each codebook one step after the one before, or `delays` steps after the first: MusicGen's default."""
    return Pattern(tuple(range(num_codebooks)) if delays is None else delays)


def parallel(num_codebooks: int) -> Pattern:
    """All codebooks of a frame in one step: no delay, but they are drawn without knowledge of each other."""
    return Pattern((0,) * num_codebooks)


def partial_delay(num_codebooks: int) -> Pattern:
    """The first codebook at once, all others one step later."""
    return Pattern((0,) + (1,) * (num_codebooks - 1))


def flatten(num_codebooks: int) -> Pattern:
    """One code a step, K steps a frame: exact and K times as slow."""
    return Pattern(tuple(range(num_codebooks)), period=num_codebooks)


def coarse_first(num_codebooks: int) -> Pattern:
    """The first codebook of the whole piece, then all others over it: offline only."""
    return Pattern((0,) * num_codebooks, passes=(0,) + (1,) * (num_codebooks - 1))
