"""How notes are drawn, and how the sound is made to follow them, in models that write notes.

Guidance blends what a model says with what it says when it knows nothing. Notes are left out of it: guided, they would
begin three times as often as they should (experiments/011_notes). But who knows nothing doesn't know the notes either,
and so the sound follows them as strictly as it follows all else.
"""

import torch
from torch import Tensor

from gigmate.generation.beat_bias import BeatBias
from gigmate.generation.chord_bias import ChordBias
from gigmate.generation.chord_listener import ChordListener
from gigmate.generation.chord_listener import listener_of as chord_listener_of
from gigmate.generation.eagerness import Eagerness
from gigmate.generation.ears import NOTHING_HEARD, Hearing
from gigmate.generation.guidance import Guidance
from gigmate.generation.habits import Habits
from gigmate.generation.hush import Hush
from gigmate.generation.manner_listener import MannerListener, louder_db
from gigmate.generation.manner_listener import listener_of as manner_listener_of
from gigmate.generation.note_rules import FORBIDDEN, NoteRules
from gigmate.generation.note_taste import NoteTaste
from gigmate.generation.pace import Pace
from gigmate.generation.steadiness import Steadiness
from gigmate.model.conditions import StepConditions
from gigmate.model.lm import AccompanimentLM
from gigmate.pitch import REST
from gigmate.shapes import Mask


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
        self._hush = Hush(taste, device) if is_steady else None
        self._pace = Pace(model.config.codebook_size, taste, device) if taste.pace > 0 else None
        self.manner_strength = taste.manner
        self.listeners = _listeners(taste, model.config.build_pattern().max_delay, device)
        """For the manner that songs want, and for their chords."""
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
        self,
        logits: Tensor,
        previous: Tensor,
        habits: Habits,
        conditions: StepConditions,
        wanted: Tensor | float = 1.0,
        hearing: Hearing = NOTHING_HEARD,
    ) -> Tensor:
        """Weigh what is about to be drawn.

        Args:
            logits: [b * views, K, V].
            previous: [b], the notes of the step before.
            habits: of the rows.
            conditions: of the step, S = 1.
            wanted: [b], how much is to be played, to what is usual (`Pace`).
            hearing: what the `listeners` hear of the song.

        Returns:
            Logits whose notes, in every view, are those of the first, which knows most, weighed by chord, beat,
            eagerness and pace and held to the rules, and whose first codes are weighed by steadiness and hush.
        """
        by_view = logits.unflatten(0, (-1, self._num_views))
        notes = by_view[:, 0, 0]
        if self._chords is not None:
            notes = self._chords.weigh(notes, conditions, hearing.chords)
        if self._beats is not None:
            notes = self._beats.weigh(notes, conditions)
        if self._eagerness is not None:
            notes = self._eagerness.weigh(notes, habits.rested, conditions)
        if self._pace is not None:
            notes = self._pace.weigh(notes, habits, conditions, wanted, hearing.manner)
        notes = notes.masked_fill(~self._rules.allowed(previous, conditions.instrument), FORBIDDEN)
        first, others = by_view[:, :, 1], by_view[:, :, 2:]
        if self._steadiness is not None:
            level, instrument = habits.level, conditions.instrument
            if hearing.manner is not None:
                level = level * 10 ** (-self.manner_strength * louder_db(hearing.manner, instrument) / 10)
            first = self._steadiness.weigh(first, level, instrument)
        if self._hush is not None:
            first = self._hush.weigh(first, habits.rested, conditions.instrument)
        by_view = torch.cat((notes[:, None, None].expand_as(by_view[:, :, :1]), first[:, :, None], others), dim=2)
        return by_view.flatten(0, 1)

    def heard(self, habits: Habits, steps: Tensor, conditions: StepConditions, planned: Mask | None = None) -> Habits:
        """Habits of the rows after the steps [b, K, S].

        What is `planned` [b, K, S], not drawn, is rested but is no manner of theirs: who was laid out doesn't make up
        for it.
        """
        rested, level, strikes, quiet_excess = habits
        rested_by = []
        for is_rest in (steps[:, 0] == REST).unbind(1):
            rested = torch.where(is_rest, rested + 1, 0.0)
            rested_by.append(rested)
        notes, codes = (steps if planned is None else steps.masked_fill(planned, self._unknown))[:, :2].unbind(dim=1)
        if self._steadiness is not None:
            level = self._steadiness.heard(level, codes, conditions.instrument)
        if self._pace is not None and rested_by:
            strikes, quiet_excess = self._pace.heard(habits, notes, torch.stack(rested_by, dim=1), conditions)
        return Habits(rested, level, strikes, quiet_excess)


def _listeners(
    taste: NoteTaste, max_delay: int, device: torch.device
) -> tuple[MannerListener | None, ChordListener | None]:
    manner_ear = taste.manner_ear if taste.manner > 0 else None
    chord_ear = taste.chord_ear if taste.chord_strength > 0 else None
    return (
        None if manner_ear is None else manner_listener_of(manner_ear, max_delay, device),
        None if chord_ear is None else chord_listener_of(chord_ear, max_delay, device),
    )
