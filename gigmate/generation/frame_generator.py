"""Frames of a stem, one by one: the same object plays live and makes whole pieces offline."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from gigmate.generation.controls import RowControls
from gigmate.generation.guidance import Guidance
from gigmate.generation.note_taste import NO_TASTE, NoteTaste
from gigmate.generation.sampler import Sampler
from gigmate.generation.step_decoder import FREE, StepDecoder
from gigmate.generation.warm_up import WarmUp
from gigmate.model.conditions import StepConditions, step_conditions
from gigmate.model.delay_line import DelayLine
from gigmate.model.lm import AccompanimentLM
from gigmate.shapes import Codes, Mask


class FrameGenerator:
    """A model that plays: call `step` once per frame.

    Call n (from 0) writes codes of the frames c = n - max_delay to n and returns frame c; the conditions that it takes
    are those of the drawing in `gigmate/model/conditions.py`.

    Args:
        model: in eval mode, with a streamable pattern.
        sampler: how codes are drawn; `RowControls` say it for each row, guidance included.
        batch: B.
        guidance: how strongly conditions are followed.
        max_chunk: steps that a prefill feeds at once.
        taste: which notes are favoured, if the model writes notes.

    Raises:
        ValueError: the model is in training mode, its pattern can't be streamed, or what `RowControls` say doesn't fit.
    """

    def __init__(
        self,
        model: AccompanimentLM,
        sampler: Sampler | RowControls,
        *,
        batch: int = 1,
        guidance: Guidance | None = None,
        max_chunk: int = 64,
        taste: NoteTaste = NO_TASTE,
    ) -> None:
        self.pattern = model.config.build_pattern()
        self._special_id = model.config.special_id
        self._decoder = StepDecoder(model, sampler, batch=batch, guidance=guidance, max_chunk=max_chunk, taste=taste)
        self._line = DelayLine(self.pattern, self._special_id, batch, self._decoder.device)
        self._offsets = torch.tensor(self.pattern.offsets)
        self._forget_prompt(batch)

    @property
    def max_delay(self) -> int:
        """Calls of `step` that return None before the first frame comes."""
        return self.pattern.max_delay

    @property
    def louder_db(self) -> Tensor | None:
        """[b], how much louder than usual songs want their players, by the last step; None: nobody listens."""
        return self._decoder.louder_db

    def step(
        self,
        conditions: StepConditions,
        generators: Sequence[torch.Generator],
        active: Mask | None = None,
        plan: Tensor | None = None,
    ) -> Tensor | None:
        """Go on by one frame.

        Args:
            conditions: those of this call, S = 1, for the first b <= B rows. The other rows cost nothing and stay as
                they are.
            generators: one a row, on the CPU; those beyond b aren't touched.
            active: [b] bool on the CPU, the rows of these that go on; None for all. The others stay as they are.
            plan: [b, K] on the CPU: codes that this call's codebooks are to be, whatever frame each of them is of, or
                `FREE` to draw them. Silence in all K for max_delay + 1 calls is a whole frame of silence.

        Returns:
            Codes [b, K] of frame c, special ids in rows that complete none; None if no row does.

        Raises:
            ValueError: more rows than there are.
        """
        frame, num_rows = None, conditions.batch
        if num_rows > len(self._line.num_steps):
            raise ValueError(f"conditions of {num_rows} rows, but the generator has {len(self._line.num_steps)}")
        for _ in range(self.pattern.period):
            given = self._plan(num_rows)
            given = given if plan is None else torch.where(given == FREE, plan, given)
            step = self._decoder.step(given.to(self._decoder.device), conditions, generators, active)
            frame = self._line.push(step, active)
        return frame

    def prefill(self, codes: Codes, conditions: StepConditions) -> None:
        """Take codes [B, K, T_past] as the stem's past: equal to T_past calls of `step` that happened to choose them.

        The next call of `step` is number T_past: it returns frame T_past - max_delay, still one of the past. What its
        steps and the following ones hold of the past isn't drawn.

        Args:
            codes: the past.
            conditions: those of the first T_past calls, S >= T_past.

        Raises:
            ValueError: there is a past already.
        """
        if bool(self._line.num_steps.any()):
            raise ValueError("prefill needs a generator without a past: reset it, or make a new one")
        num_frames, period = codes.shape[2], self.pattern.period
        steps = self.pattern.interleave(codes, self._special_id)
        whole = steps[:, :, : num_frames * period]
        calls = torch.arange(num_frames).repeat_interleave(period)
        self._decoder.prefill(whole, conditions.at(calls))
        for step in whole.unbind(dim=2):
            self._line.push(step)
        rest = steps[:, :, num_frames * period :].cpu()
        self._prompt_rest = rest.masked_fill(rest == self._special_id, FREE)
        self._prompt_steps[:] = num_frames * period

    def warmed(self, warm_up: WarmUp) -> "FrameGenerator":
        """What `begin` takes: one row that has played a warm-up."""
        player = copy.copy(self)
        player._decoder = self._decoder.alone()
        player._line = DelayLine(self.pattern, self._special_id, 1, self._decoder.device)
        player._forget_prompt(1)
        conditions = warm_up.conditions.to(self._decoder.device)
        num_calls = warm_up.streams.shape[2]
        steps = step_conditions(conditions, self.pattern, num_calls * self.pattern.period)
        player.prefill(warm_up.streams, steps.at(slice(None, None, self.pattern.period)))
        player._line.hide()
        return player

    def begin(self, row: int, player: "FrameGenerator") -> None:
        """A row without a past gets that of a player who has warmed up: its next call is number 0 nevertheless."""
        self._decoder.adopt(row, player._decoder)
        self._line.adopt(row, player._line)
        if self._prompt_rest.shape[2] == 0:
            self._prompt_rest = player._prompt_rest.expand(len(self._prompt_rest), -1, -1).clone().fill_(FREE)
        self._prompt_rest[row], self._prompt_steps[row] = player._prompt_rest[0], player._prompt_steps[0]

    def fork(self) -> "FrameGenerator":
        """A copy that goes its own way with the same model: to try a plan and drop it."""
        other = copy.copy(self)
        other._decoder, other._line = self._decoder.fork(), self._line.fork()
        other._prompt_rest, other._prompt_steps = self._prompt_rest.clone(), self._prompt_steps.clone()
        return other

    def select(self, rows: Tensor) -> None:
        """Row i goes on from where row `rows[i]` was; [B] int64."""
        rows = rows.cpu()
        self._decoder.select(rows)
        self._line.select(rows)
        self._prompt_rest, self._prompt_steps = self._prompt_rest[rows], self._prompt_steps[rows]

    def reset(self, rows: Mask | None = None) -> None:
        """Forget the past of `rows` [B] bool on the CPU, or of all."""
        self._decoder.reset(rows)
        self._line.reset(rows)
        chosen = slice(None) if rows is None else rows
        self._prompt_rest[chosen], self._prompt_steps[chosen] = FREE, 0

    def _forget_prompt(self, batch: int) -> None:
        self._prompt_rest = torch.full((batch, self.pattern.num_codebooks, 0), FREE)
        self._prompt_steps = torch.zeros(batch, dtype=torch.int64)

    def _plan(self, num_rows: int) -> Tensor:
        """[b, K]: what the pattern, or a past that was given, says of the coming step of the first b rows."""
        num_steps, rest = self._line.num_steps[:num_rows], self._prompt_rest[:num_rows]
        since_first = num_steps[:, None] - self._offsets
        has_code = (since_first >= 0) & (since_first % self.pattern.period == 0)
        plan = torch.where(has_code, FREE, self._special_id)
        place = num_steps - self._prompt_steps[:num_rows]
        if rest.shape[2] == 0 or int(place.min()) >= rest.shape[2]:
            return plan
        inside = (place >= 0) & (place < rest.shape[2])
        index = place.clamp(0, rest.shape[2] - 1)[:, None, None].expand(-1, plan.shape[1], 1)
        known = rest.gather(2, index)[:, :, 0]
        return torch.where(inside[:, None] & (known != FREE), known, plan)
