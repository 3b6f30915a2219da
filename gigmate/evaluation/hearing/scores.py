"""The losses of a model on stems whose mix or beat grid is falsified, less that with the true ones.

A model that doesn't listen loses nothing; one that does is surprised by the true stem when the mix says something else.
`swapped` can be earned by hearing loudness and timbre, `shifted` only by hearing when things sound, `transposed` only
by hearing which notes. Source: the swapped loss is that of TRIALS; contrasting conditions by likelihood follows
pointwise mutual information (Church and Hanks 1990), of which each figure is an estimate in nats.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gigmate.evaluation.hearing.windows import HeardWindow
from gigmate.generation.chord_bias import ChordBias
from gigmate.generation.chord_listener import ChordChances, listener_of, nothing_known
from gigmate.generation.note_taste import NO_TASTE, NoteTaste
from gigmate.model.conditions import FrameConditions, StepConditions, step_conditions
from gigmate.model.lm import AccompanimentLM, shift_steps
from gigmate.model.streams import streams_of
from gigmate.music.instruments import INSTRUMENTS
from gigmate.shapes import Codes, Features

LOOKAHEADS = (-25, 0, 50)
"""Frames; those that the model wasn't trained for are left out."""

_BATCH = 8
_WARM_UP_FRAMES = 50  # at the start of a window nothing is known of the stem, whatever is heard
_MIXES = ("true", "swapped", "shifted", "transposed", "unheard")


@dataclass(frozen=True)
class Deception:
    """What a model is given: which mix, and which beat grid (`none`: not known)."""

    mix: str
    grid: str

    @property
    def name(self) -> str:
        """What is falsified."""
        return "grid shifted" if self.grid == "shifted" else f"mix {self.mix}"


DECEPTIONS = (*(Deception(mix, grid) for grid in ("true", "none") for mix in _MIXES), Deception("true", "shifted"))


@dataclass(frozen=True, eq=False)
class WindowLoss:
    """Loss per stream [K'] in nats per code of one window, 0 for notes that nobody knows; and the streams' names."""

    window: HeardWindow
    deception: Deception
    lookahead: int
    per_codebook: NDArray[np.float64]
    streams: tuple[str, ...]


def window_losses(
    model: AccompanimentLM,
    windows: Sequence[HeardWindow],
    dtype: torch.dtype = torch.float32,
    taste: NoteTaste = NO_TASTE,
    progress: Callable[[int, int], None] | None = None,
) -> list[WindowLoss]:
    """The losses of every window under every deception that it has, at every lookahead.

    Args:
        model: in evaluation mode.
        windows: of equal shapes.
        dtype: in which the model computes.
        taste: by whose `chord_strength` and ears the chords weigh the notes, as they do when the model plays; the
            default is what the transformer alone says.
        progress: called with batches done and to do.
    """
    config, losses = model.config, []
    chords = _Chords(model, taste) if config.writes_notes and taste.chord_strength > 0 else None
    lookaheads = [
        frames for frames in LOOKAHEADS if config.min_lookahead_frames <= frames <= config.max_lookahead_frames
    ]
    jobs = [
        (deception, lookahead, batch)
        for deception in DECEPTIONS
        for lookahead in lookaheads
        for batch in _batches([window for window in windows if _has(window, deception)])
    ]
    for done, (deception, lookahead, batch) in enumerate(jobs):
        codes, notes = (torch.from_numpy(np.stack([getattr(w, name) for w in batch])) for name in ("codes", "notes"))
        streams = streams_of(codes, config, notes).to(model.heads.weight.device)
        conditions = _conditions(batch, deception, lookahead, model).to(streams.device)
        rows = _row_losses(model, streams, conditions, dtype, chords)
        losses += [
            WindowLoss(window, deception, lookahead, row, config.stream_names)
            for window, row in zip(batch, rows, strict=True)
        ]
        if progress is not None:
            progress(done + 1, len(jobs))
    return losses


def rises(losses: Sequence[WindowLoss]) -> list[WindowLoss]:
    """Every falsified loss less the true one of its window, lookahead and grid; where that is shifted, of the true."""
    true = {
        (id(loss.window), loss.lookahead, loss.deception.grid): loss.per_codebook
        for loss in losses
        if loss.deception.mix == "true"
    }
    found = []
    for loss in losses:
        if loss.deception.mix == "true" and loss.deception.grid != "shifted":
            continue
        grid = "none" if loss.deception.grid == "none" else "true"
        base = true[id(loss.window), loss.lookahead, grid]
        found.append(WindowLoss(loss.window, loss.deception, loss.lookahead, loss.per_codebook - base, loss.streams))
    return found


def per_song(losses: Sequence[WindowLoss]) -> NDArray[np.float64]:
    """[songs, K]: the mean over each song's windows."""
    ordered = sorted(losses, key=lambda loss: loss.window.song)
    songs = [list(group) for _, group in groupby(ordered, key=lambda loss: loss.window.song)]
    return np.stack([np.mean([loss.per_codebook for loss in song], axis=0) for song in songs])


def _has(window: HeardWindow, deception: Deception) -> bool:
    has_mix = deception.mix == "unheard" or deception.mix in window.mixes
    return has_mix and (deception.grid == "none" or deception.grid in window.grids)


def _batches(windows: Sequence[HeardWindow]) -> list[Sequence[HeardWindow]]:
    return [windows[i : i + _BATCH] for i in range(0, len(windows), _BATCH)]


def _conditions(
    windows: Sequence[HeardWindow], deception: Deception, lookahead: int, model: AccompanimentLM
) -> FrameConditions:
    is_heard = deception.mix != "unheard"
    mixes = np.stack([window.mixes[deception.mix if is_heard else "true"] for window in windows])
    if deception.grid == "none":
        beats = np.zeros((len(windows), model.config.beat_features, mixes.shape[2]), np.float32)
    else:
        beats = np.stack([window.grids[deception.grid] for window in windows])
    return FrameConditions(
        mix_power=torch.from_numpy(np.ascontiguousarray(mixes)),
        mix_present=torch.full((len(windows),), is_heard),
        beats=torch.from_numpy(np.ascontiguousarray(beats)),
        instrument=torch.tensor([INSTRUMENTS.index(window.instrument) for window in windows]),
        lookahead=torch.full((len(windows),), lookahead),
    )


@torch.no_grad()
def _row_losses(
    model: AccompanimentLM, codes: Codes, conditions: FrameConditions, dtype: torch.dtype, chords: "_Chords | None"
) -> NDArray[np.float64]:
    """[B, K] nats per code, the first frames left out."""
    config, device = model.config, codes.device.type
    pattern = config.build_pattern()
    steps = pattern.interleave(codes, config.special_id)
    given = step_conditions(conditions, pattern, steps.shape[2])
    with torch.autocast(device, dtype, enabled=dtype != torch.float32):
        logits: Features = model(shift_steps(steps, config.special_id), given)
    if chords is not None:
        logits = torch.cat((chords.weigh(logits[:, :1], given), logits[:, 1:]), dim=1)
    batch, num_streams, num_steps = steps.shape
    flat = logits.transpose(1, 2).flatten(0, 2).float()
    targets = steps.transpose(1, 2).flatten()
    losses = F.cross_entropy(flat, targets, ignore_index=config.special_id, reduction="none")
    losses = losses.view(batch, num_steps, num_streams)[:, _WARM_UP_FRAMES * pattern.period :]
    counted = (steps != config.special_id).transpose(1, 2)[:, _WARM_UP_FRAMES * pattern.period :]
    return (losses.sum(dim=1) / counted.sum(dim=1).clamp(min=1)).double().cpu().numpy()


class _Chords:
    """Weighs the notes of whole windows by their chords."""

    def __init__(self, model: AccompanimentLM, taste: NoteTaste) -> None:
        self._bias = ChordBias(model, taste.chord_strength)
        self._ear, self._max_delay = taste.chord_ear, model.config.build_pattern().max_delay

    def weigh(self, notes: Tensor, conditions: StepConditions) -> Tensor:
        """Logits of notes [B, 1, S, V], weighed by the chord of each step."""
        num_steps, device, chords = conditions.num_steps, conditions.instrument.device, None
        alone = StepConditions(
            *(part.flatten(0, 1)[:, None] for part in (conditions.mix, conditions.heard, conditions.beats)),
            *(part.repeat_interleave(num_steps) for part in (conditions.instrument, conditions.lookahead)),
        )
        if self._ear is not None:
            listener = listener_of(self._ear, self._max_delay, device)
            _, each = listener.hear(nothing_known(conditions.batch, device), conditions)
            chords = ChordChances(*(part.flatten(0, 1) for part in each))
        return self._bias.weigh(notes[:, 0].flatten(0, 1), alone, chords).view_as(notes)
