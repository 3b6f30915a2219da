"""One model step at a time, with its cache: what all generation goes through."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from gigmate.generation.controls import RowControls
from gigmate.generation.ears import Ears, Hearing
from gigmate.generation.guidance import Guidance
from gigmate.generation.habits import Habits, keep, newcomers
from gigmate.generation.manner_listener import louder_db
from gigmate.generation.note_taste import NO_TASTE, NoteTaste
from gigmate.generation.note_writing import NoteWriting
from gigmate.generation.sampler import Sampler, draw_uniform
from gigmate.model.conditions import StepConditions
from gigmate.model.lm import AccompanimentLM
from gigmate.shapes import Mask, Steps

FREE = -1
"""In a plan of steps: a code to be drawn. Other values are taken as they are; the special id stands for no code."""


class StepDecoder:
    """A model with its past: the last step and the keys and values of all before.

    Args:
        model: in eval mode.
        sampler: how codes are drawn; `RowControls` say it for each row, guidance included.
        batch: B.
        guidance: how strongly conditions are followed.
        max_chunk: steps that a prefill feeds at once.
        taste: which notes are favoured, if the model writes notes.

    Raises:
        ValueError: the model is in training mode, or what `RowControls` say doesn't fit.
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
        if model.training:
            raise ValueError("the model is in training mode: call model.eval() before generating with it")
        if isinstance(sampler, RowControls):
            if guidance is not None or sampler.batch != batch:
                raise ValueError(f"controls of {sampler.batch} rows with their guidance given for {batch} rows")
            guidance = sampler.guidance
        self._model, self._sampler, self._guidance = model, sampler, guidance or Guidance()
        writes_notes = model.config.writes_notes
        self._notes = NoteWriting(model, self._guidance, taste) if writes_notes else None
        self._cache = model.new_cache(batch * len(self._guidance.views), max_chunk)
        shape = (batch, model.config.num_streams)
        self._previous = torch.full(shape, model.config.special_id, device=self.device)
        self._habits = newcomers(batch, self.device)
        self._ears = Ears(*((None, None) if self._notes is None else self._notes.listeners), batch, self.device)
        self.louder_db: Tensor | None = None
        """[b], how much louder than usual songs want their players, by the last step; None: nobody listens."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._model.heads.weight.device

    @property
    def habits(self) -> Habits:
        """What the rows have been doing lately."""
        return Habits(*self._habits.unbind(1))

    @torch.inference_mode()
    def step(
        self,
        plan: Tensor,
        conditions: StepConditions,
        generators: Sequence[torch.Generator],
        active: Mask | None = None,
    ) -> Tensor:
        """Make the next step.

        Args:
            plan: [b, K] int64: `FREE` where a code is to be drawn, else the id that stands there. With b < B only the
                first b rows are computed; the others stay as they are.
            conditions: those of this step and these rows, S = 1.
            generators: one a row.
            active: [b] bool on the CPU, those of them that go on; None for all. The others stay as they are.

        Returns:
            [b, K] int64, the step; rows that aren't active mean nothing.
        """
        rows = None if active is None else active.to(self.device)
        previous = self._previous[: len(plan)]
        habits = Habits(*self._habits[: len(plan)].unbind(1))
        hearing = self._ears.hear(conditions, rows)
        if self._notes is not None and hearing.manner is not None:
            self.louder_db = self._notes.manner_strength * louder_db(hearing.manner, conditions.instrument)
        views = None if rows is None else self._guidance.repeat(rows)
        logits = self._logits(previous, habits, hearing, conditions, views)
        uniform = draw_uniform(generators[: len(plan)], plan.shape[1], active).to(self.device)
        if isinstance(self._sampler, RowControls):
            drawn = self._sampler.choose(logits, uniform)
        else:
            drawn = self._sampler(self._guidance.blend(logits), uniform)
        planned = plan != FREE
        step = torch.where(planned, plan, drawn)
        previous.copy_(step if rows is None else torch.where(rows[:, None], step, previous))
        if self._notes is not None:
            now = torch.stack(self._notes.heard(habits, step[:, :, None], conditions, planned[:, :, None]), dim=1)
            keep(self._habits, now, rows)
        return step

    def _logits(
        self, previous: Tensor, habits: Habits, hearing: Hearing, conditions: StepConditions, active: Mask | None
    ) -> Tensor:
        """[b * views, K, V]."""
        seen = self._seen(previous)
        if self._model.stepper is not None:
            logits = self._model.stepper.logits(seen, conditions, self._guidance, self._cache, active)
        else:
            expanded = self._guidance.expand(conditions)
            logits = self._model(seen[:, :, None], expanded, self._cache, active)[:, :, 0]
        if self._notes is None:
            return logits
        wanted = self._sampler.wanted[: len(previous)] if isinstance(self._sampler, RowControls) else 1.0
        return self._notes.weigh(logits, previous[:, 0], habits, conditions, wanted, hearing)

    def _seen(self, steps: Tensor) -> Tensor:
        """Steps [b, K, ...] as each view sees them [b * views, K, ...]."""
        seen = self._guidance.repeat(steps)
        return seen if self._notes is None else self._notes.hide(seen)

    @torch.inference_mode()
    def prefill(self, steps: Steps, conditions: StepConditions) -> None:
        """Take steps [B, K, S] as the past, as if they had been made one by one, but many at once."""
        before = self._seen(torch.cat((self._previous[:, :, None], steps[:, :, :-1]), dim=2))
        for start in range(0, steps.shape[2], self._cache.max_chunk):
            stop = min(start + self._cache.max_chunk, steps.shape[2])
            part = self._guidance.expand(conditions.at(slice(start, stop)))
            self._model(before[:, :, start:stop], part, self._cache)
        if steps.shape[2]:
            self._previous = steps[:, :, -1].clone()
            self._ears.hear(conditions.at(slice(0, steps.shape[2])))
            if self._notes is not None:
                self._habits = torch.stack(self._notes.heard(self.habits, steps, conditions), dim=1)

    def alone(self) -> "StepDecoder":
        """One row without a past, with the same model, guidance and sampler."""
        other = copy.copy(self)
        other._cache = self._model.new_cache(len(self._guidance.views), self._cache.max_chunk)
        other._previous = torch.full_like(self._previous[:1], self._model.config.special_id)
        other._habits, other._ears = newcomers(1, self.device), self._ears.alone()
        return other

    @torch.inference_mode()
    def adopt(self, row: int, other: "StepDecoder") -> None:
        """A row goes on from where `other`, which was made by `alone`, is; but it hears a song of its own."""
        self._cache.adopt(row * len(self._guidance.views), other._cache)
        self._previous[row], self._habits[row] = other._previous[0], other._habits[0]

    def fork(self) -> "StepDecoder":
        """A copy that goes its own way with the same model."""
        other = copy.copy(self)
        other._cache, other._ears = self._cache.fork(), self._ears.fork()
        other._previous, other._habits = self._previous.clone(), self._habits.clone()
        return other

    @torch.inference_mode()
    def select(self, rows: Tensor) -> None:
        """Row i goes on from where row `rows[i]` was; [B] int64."""
        rows, num_views = rows.to(self.device), len(self._guidance.views)
        self._cache.select((rows[:, None] * num_views + torch.arange(num_views, device=self.device)).flatten())
        self._ears.select(rows)
        self._previous, self._habits = self._previous[rows], self._habits[rows]

    @torch.inference_mode()
    def reset(self, rows: Mask | None = None) -> None:
        """Forget the past of `rows` [B] bool on the CPU, or of all."""
        chosen = torch.ones(len(self._previous), dtype=torch.bool) if rows is None else rows
        self._cache.reset(None if rows is None else self._guidance.repeat(rows.to(self.device)))
        chosen = chosen.to(self.device)
        self._previous = torch.where(chosen[:, None], self._model.config.special_id, self._previous)
        self._habits = torch.where(chosen[:, None], newcomers(1, self.device), self._habits)
        self._ears.reset(chosen)
