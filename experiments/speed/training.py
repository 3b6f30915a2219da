"""A training step against the bare products in it: `python -m experiments.speed.training`.

The model trains on practice songs that are prepared for it; beside it run the same matrices alone, forward and twice
back, with numbers of no meaning: what the machine could reach.
"""

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments.speed.figures import Cells, Figure
from experiments.speed.report import write
from gigmate.data.make import Job, describe_config, encoder_of, make_song
from gigmate.data.module import TokenData
from gigmate.data.sources import PracticeSource
from gigmate.data.store import write_manifest
from gigmate.model.config import ModelConfig
from gigmate.training.lm_module import Batch, LMModule

_SONGS, _WINDOW_S, _BATCH, _ROUNDS, _BARE_GOAL, _LOADER_GOAL = 4, 8.0, 8, 7, 0.60, 0.05
_SIZES = {"nano": (256, 6, 4), "tiny": (384, 8, 6)}


def prepare(folder: Path) -> TokenData:
    """A few songs as training data; the last is for validation."""
    source = PracticeSource(_SONGS, first_seed=4_000_300, seconds=30.0)
    job = Job(source, str(folder), "tokens", describe_config({"name": "compact"}), "cpu")
    cards = [card for entry in source.entries() if (card := make_song((job, entry)).card)]
    splits = ["train"] * (len(cards) - 1) + ["valid"]
    cards = [
        replace(card, split=split, group=str(i)) for i, (card, split) in enumerate(zip(cards, splits, strict=True))
    ]
    write_manifest(folder, encoder_of("tokens", job.codec, "cpu").recipe, cards)
    return TokenData([str(folder)], _WINDOW_S, _BATCH, min_lookahead_s=-1.0, max_lookahead_s=1.0)


def module_of(data: TokenData, dim: int, num_layers: int, num_heads: int) -> LMModule:
    """A model of a size, for the data."""
    spec = data.spec
    shape = ModelConfig(
        dim=dim,
        num_layers=num_layers,
        num_heads=num_heads,
        window=512,
        num_codebooks=spec.num_codebooks,
        codebook_size=spec.codebook_size,
        mix_features=data.num_features,
        min_lookahead_frames=data.min_lookahead_frames,
        max_lookahead_frames=data.max_lookahead_frames,
        writes_notes=True,
    )
    return LMModule(shape, spec, lambda groups: torch.optim.AdamW(groups, lr=1e-4), lambda _: 1.0)


def bare_products(module: LMModule, rows: int) -> Callable[[], None]:
    """All products of one step with the model's matrices: forward, gradient of the values, gradient of the weights."""
    weights = [
        part.weight.detach() for part in (*module.net.trunk.modules(), module.net.heads) if isinstance(part, nn.Linear)
    ]
    values = {
        weight.shape: (torch.randn(rows, weight.shape[1]), torch.randn(rows, weight.shape[0])) for weight in weights
    }

    def run() -> None:
        for weight in weights:
            given, back = values[weight.shape]
            _ = (given @ weight.T, back @ weight, back.T @ given)

    return run


def step_parts(module: LMModule, batches: Iterator[Batch], optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Seconds of one training step, by part."""
    marks = [time.perf_counter()]
    batch = next(batches)
    marks.append(time.perf_counter())
    loss: Tensor = module.training_step(batch, 0)
    marks.append(time.perf_counter())
    loss.backward()
    marks.append(time.perf_counter())
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    marks.append(time.perf_counter())
    names = ("loader", "forward", "backward", "clip and optimizer")
    return {name: end - start for name, start, end in zip(names, marks[:-1], marks[1:], strict=True)}


def measure(name: str, data: TokenData) -> Cells:
    """A row of the table: step and bare products take turns."""
    module = module_of(data, *_SIZES[name]).train()
    optimizer = module.make_optimizer(module.parameters())
    batches = iter(data.train_dataloader())
    bare = bare_products(
        module, _BATCH * (round(_WINDOW_S * float(data.spec.frame_rate)) + module.config.build_pattern().max_delay)
    )
    steps, alone = [], []
    for number in range(_ROUNDS + 1):
        parts = step_parts(module, batches, optimizer)
        start = time.perf_counter()
        bare()
        if number:
            alone.append(time.perf_counter() - start)
            steps.append(parts)
    whole = [sum(step.values()) for step in steps]
    shares = [single / taken for single, taken in zip(alone, whole, strict=True)]
    parts = {
        part: Figure.over([step[part] / taken for step, taken in zip(steps, whole, strict=True)], ".1%")
        for part in steps[0]
    }
    return {
        "size": name,
        "s a step": Figure.over(whole, ".2f"),
        "bare products, s": Figure.over(alone, ".2f"),
        f"share of the bare loop's speed (goal {_BARE_GOAL:.0%})": Figure.over(shares, ".0%"),
        **parts,
        "loader's goal": f"< {_LOADER_GOAL:.0%}",
    }


def main() -> None:
    """Measure, print and keep."""
    warnings.filterwarnings("ignore", message=".*self.log.*")  # there is no trainer to log to
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(Path(folder))
        rows = [measure(name, data) for name in _SIZES]
    facts = {"threads": torch.get_num_threads(), "batch": _BATCH, "window_s": _WINDOW_S, "rounds": _ROUNDS}
    sys.stdout.write(write("training", rows, **facts))


if __name__ == "__main__":
    main()
