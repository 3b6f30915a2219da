"""What trains the small networks: `experiments.fit_beat_net`, `fit_manner_ear` and `fit_chord_ear`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

Song = TypeVar("Song")

_SAVE_EVERY = 500
_RECENT = 50  # steps that the loss which is shown is the mean of, about


def random_song(kinds: Sequence[Sequence[Song]], shares: Sequence[float], rng: np.random.Generator) -> Song:
    """A song of a kind that is drawn by its share."""
    kind = kinds[int(rng.choice(len(kinds), p=shares))]
    return kind[int(rng.integers(len(kind)))]


def halved(net: nn.Module) -> dict[str, Tensor]:
    """The weights as they ship: float16."""
    return {name: value.half().contiguous() for name, value in net.state_dict().items()}


def fit(
    net: nn.Module,
    loss_of_a_batch: Callable[[], Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler,
    num_steps: int,
    checkpoint: Path,
) -> None:
    """Train a network; goes on from the checkpoint, if there is one, and leaves one every 500 steps."""
    parts = {"net": net, "optimizer": optimizer, "schedule": schedule}
    done = 0
    if checkpoint.is_file():
        kept = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(kept[name])
        done = kept["step"]
    recent = 0.0
    for step in (bar := tqdm(range(done, num_steps), initial=done, total=num_steps, mininterval=10)):
        loss = loss_of_a_batch()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent += (loss.item() - recent) / min(step - done + 1, _RECENT)
        bar.set_postfix(loss=f"{recent:.4f}", refresh=False)
        if (step + 1) % _SAVE_EVERY == 0:
            torch.save({name: part.state_dict() for name, part in parts.items()} | {"step": step + 1}, checkpoint)
