"""What int8 weights cost in quality: `python -m experiments.speed.quality`.

The shipped model plays through practice songs that it hasn't been trained on, step by step, each step given the true
past; its loss and its likeliest codes with int8 weights stand beside those of float32.
"""

import sys

import numpy as np
import torch
from torch import Tensor

from experiments.speed.figures import Cells, Figure
from experiments.speed.report import write
from gigmate.accompanist import Accompanist
from gigmate.data.windows import notes_ahead
from gigmate.generation.guidance import Guidance
from gigmate.model.conditions import FrameConditions, StepConditions, step_conditions
from gigmate.model.lm import AccompanimentLM, shift_steps
from gigmate.model.losses import token_losses
from gigmate.model.stepper import Stepper
from gigmate.model.streams import streams_of
from gigmate.music.band import compose, render_song
from gigmate.music.band.song import as_array
from gigmate.music.instruments import INSTRUMENTS
from gigmate.music.note_codes import note_codes

_FIRST_SEED, _NUM_SONGS, _SECONDS, _LOOKAHEAD = 4_000_100, 8, 20.0, -10
_STEMS = ("drums", "bass")


def material(player: Accompanist) -> tuple[Tensor, StepConditions]:
    """Steps [B, K, S] of held-out stems, and their conditions: live, 0.2 s behind, with the true grid."""
    codes, notes, frames, rate = [], [], [], player.codec.spec.sample_rate
    for number in range(_NUM_SONGS):
        song = compose(_FIRST_SEED + number, _SECONDS)
        stems, name = render_song(song, rate), _STEMS[number % len(_STEMS)]
        stem = torch.from_numpy(stems[name][None, None, : int(_SECONDS * rate)])
        mix = torch.from_numpy(np.sum([wave for other, wave in stems.items() if other != name], axis=0)[None, None])
        codes.append(player.codec.encode(stem))
        num_frames = codes[-1].shape[2]
        played = note_codes(as_array(song.notes[name]), name, num_frames + 1, player.codec.spec.frame_rate)
        notes.append(torch.from_numpy(notes_ahead(played, num_frames, player.model.config.special_id)))
        beats = song.grid.features(num_frames, player.codec.spec.frame_rate)
        power = player.features.analyse(mix)[..., :num_frames]
        frames.append((power, torch.from_numpy(beats)[None], torch.tensor([INSTRUMENTS.index(name)])))
    power, beats, instruments = (torch.cat(parts) for parts in zip(*frames, strict=True))
    present, lookahead = torch.ones(_NUM_SONGS, dtype=torch.bool), torch.full((_NUM_SONGS,), _LOOKAHEAD)
    pattern = player.model.config.build_pattern()
    config = player.model.config
    steps = pattern.interleave(streams_of(torch.cat(codes), config, torch.stack(notes)), config.special_id)
    conditions = FrameConditions(power, present, beats, instruments, lookahead)
    return steps, step_conditions(conditions, pattern, steps.shape[2])


@torch.inference_mode()
def logits_of(model: AccompanimentLM, stepper: Stepper, steps: Tensor, conditions: StepConditions) -> Tensor:
    """[B, K, S, V], each step after the true ones."""
    previous, cache = shift_steps(steps, model.config.special_id), model.new_cache(len(steps))
    made = [
        stepper.logits(previous[:, :, s], conditions.at(slice(s, s + 1)), Guidance(), cache, None)
        for s in range(steps.shape[2])
    ]
    return torch.stack(made, dim=2)


def measure(player: Accompanist) -> list[Cells]:
    """A row for each kind of weights."""
    steps, conditions = material(player)
    valid = steps != player.model.config.special_id
    rows: list[Cells] = []
    exact = logits_of(player.model, Stepper(player.model, "float32"), steps, conditions)
    loss = float(token_losses(exact, steps)[0])
    for name in ("float32", "int8"):
        logits = exact if name == "float32" else logits_of(player.model, Stepper(player.model, name), steps, conditions)
        own, same = float(token_losses(logits, steps)[0]), (logits.argmax(-1) == exact.argmax(-1))[valid]
        rows.append(
            {
                "weights": name,
                "loss, nats per code": Figure(own, ".4f"),
                "change": Figure(own / loss - 1, "+.3%"),
                "greedy agreement": Figure(float(same.float().mean()), ".1%"),
                "codes": int(valid.sum()),
            }
        )
    return rows


def main() -> None:
    """Measure, print and keep."""
    sys.stdout.write(write("quality", measure(Accompanist.load())))


if __name__ == "__main__":
    main()
