"""A training step on a GPU, as a share of what its large products reach. Part of `gpu`."""

import torch
from torch import nn

from experiments.speed.figures import Cells, Figure
from experiments.speed.gpu_place import Place, conditions_there, timed
from experiments.speed.own import model_of
from experiments.speed.peers import NUM_CODEBOOKS, NUM_CODES, Shape


def training_row(shape: Shape, num_steps: int, peak: float, place: Place, window: int) -> Cells:
    """A line of the second table: six operations a weight and code step, and twelve a pair of attention."""
    model = model_of(shape, window).to(place.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    now = conditions_there(model, shape.batch, place)
    conditions = now.at(torch.zeros(num_steps, dtype=torch.int64, device=place.device))
    codes = torch.randint(0, NUM_CODES, (shape.batch, NUM_CODEBOOKS, num_steps), device=place.device)

    def step() -> None:
        with torch.autocast(place.device.type, torch.bfloat16):
            logits = model(codes, conditions)
            loss = nn.functional.cross_entropy(logits.flatten(0, 2).float(), codes.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = timed(step, place, 5)
    weights = sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Linear))
    work = shape.batch * num_steps * (6 * weights + 12 * shape.num_layers * shape.dim * num_steps / 2)
    return {
        "size": shape.name,
        "s a step": Figure.over(seconds.rounds, ".3f"),
        f"MFU of {peak / 1e12:.0f} TFLOP/s": Figure.over([work / taken / peak for taken in seconds.rounds], ".0%"),
    }
