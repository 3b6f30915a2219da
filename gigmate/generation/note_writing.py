"""How notes are drawn, and how the sound is made to follow them, in models that write notes.

Guidance blends what a model says with what it says when it knows nothing. Notes are left out of it: guided, they would
begin three times as often as they should (experiments/011_notes). But who knows nothing doesn't know the notes either,
and so the sound follows them as strictly as it follows all else.
"""

import torch
from torch import Tensor

from gigmate.generation.beat_bias import BeatBias
from gigmate.generation.chord_bias import ChordBias
from gigmate.generation.eagerness import Eagerness
from gigmate.generation.guidance import Guidance
from gigmate.generation.note_rules import FORBIDDEN, NoteRules
from gigmate.generation.note_taste import NoteTaste
from gigmate.generation.steadiness import Steadiness
from gigmate.model.conditions import StepConditions
from gigmate.model.lm import AccompanimentLM


class NoteWriting:
    """The part of a `StepDecoder` that has to do with notes.

    Args:
        model: writes notes.
        guidance: whose views its steps are computed in.
        taste: which notes are favoured.
    """

    def __init__(self, model: AccompanimentLM, guidance: Guidance, taste: NoteTaste) -> None:
        device = model.heads.weight.device
        self._chords = ChordBias(model, taste.chord_strength) if taste.chord_strength > 0 else None
        self._beats = BeatBias(model.config.codebook_size, taste, device) if taste.beat_strength > 0 else None
        self._eagerness = Eagerness(model.config.codebook_size, taste, device) if taste.eagerness > 0 else None
        is_steady = taste.steadiness > 0 and taste.code_db is not None
        self._steadiness = Steadiness(taste, device) if is_steady else None
        self._rules = NoteRules(model.config, device)
        self._unknown = model.config.special_id
        self._num_views = len(guidance.views)
        self._ignorant = [
            view for view, (_, knows_mix, knows_beats) in enumerate(guidance.views) if not (knows_mix or knows_beats)
        ]

    def hide(self, seen: Tensor) -> Tensor:
        """Steps of every view [b * views, K, ...] without the notes in the views that know nothing."""
        if self._num_views == 1:
            return seen
        by_view = seen.unflatten(0, (-1, self._num_views)).clone()
        by_view[:, self._ignorant, 0] = self._unknown
        return by_view.flatten(0, 1)

    def weigh(
        self, logits: Tensor, previous: Tensor, rested: Tensor, level: Tensor, conditions: StepConditions
    ) -> Tensor:
        """Logits [b * views, K, V] whose notes, in every view, are those of the first, which knows most, weighed by
        chord, beat and eagerness and held to the rules, and whose codes are weighed by steadiness; `previous` [b] are
        the notes of the step before, `rested` [b] the steps since anything was played, `level` [b] how loud that was.
        """
        by_view = logits.unflatten(0, (-1, self._num_views))
        notes = by_view[:, 0, 0]
        if self._chords is not None:
            notes = self._chords.weigh(notes, conditions)
        if self._beats is not None:
            notes = self._beats.weigh(notes, conditions)
        if self._eagerness is not None:
            notes = self._eagerness.weigh(notes, rested, conditions)
        notes = notes.masked_fill(~self._rules.allowed(previous, conditions.instrument), FORBIDDEN)
        first, others = by_view[:, :, 1], by_view[:, :, 2:]
        if self._steadiness is not None:
            first = self._steadiness.weigh(first, level, conditions.instrument)
        by_view = torch.cat((notes[:, None, None].expand_as(by_view[:, :, :1]), first[:, :, None], others), dim=2)
        return by_view.flatten(0, 1)

    def heard(self, level: Tensor, steps: Tensor, conditions: StepConditions) -> Tensor:
        """How loud the past is [b] after the steps [b, K, S]."""
        if self._steadiness is None:
            return level
        return self._steadiness.heard(level, steps[:, 1], conditions.instrument)
