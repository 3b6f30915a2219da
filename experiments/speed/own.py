"""GigMate's own players of the bench: the plain model, and the stepper in float32 and int8."""

import copy

import torch
from torch import nn

from experiments.speed.peers import NUM_CODEBOOKS, NUM_CODES, TOP_K, Shape, Step
from gigmate.generation.frame_generator import FrameGenerator
from gigmate.generation.guidance import Guidance
from gigmate.generation.sampler import TopK, row_generators
from gigmate.model.conditions import StepConditions
from gigmate.model.config import ModelConfig
from gigmate.model.lm import AccompanimentLM
from gigmate.model.step_function import Weights
from gigmate.model.stepper import equip

WINDOW = 2048
"""Long enough to see all that the peers see."""


def model_of(shape: Shape, window: int = WINDOW) -> AccompanimentLM:
    """Random weights of a shape."""
    return AccompanimentLM(
        ModelConfig(
            dim=shape.dim,
            num_layers=shape.num_layers,
            num_heads=shape.num_heads,
            window=window,
            num_codebooks=NUM_CODEBOOKS,
            codebook_size=NUM_CODES,
        )
    ).eval()


def conditions_of(model: AccompanimentLM, batch: int) -> StepConditions:
    """Random conditions of one step, live."""
    config = model.config
    return StepConditions(
        torch.rand(batch, 1, 3, 2 * config.mix_features),
        torch.tensor([True, False, False]).expand(batch, 1, 3),
        torch.randn(batch, 1, config.beat_features),
        torch.zeros(batch, dtype=torch.int64),
        torch.full((batch,), -10),
    )


def traffic(shape: Shape, weights: Weights) -> int:
    """Bytes that a step has to read: the matrices of layers and heads as they are held, and the ring as far as used."""
    with torch.device("meta"):
        model = model_of(shape)
    matrices = [part.weight.numel() for part in (*model.trunk.modules(), model.heads) if isinstance(part, nn.Linear)]
    cache = 2 * shape.num_layers * shape.rows * min(shape.context + 1, WINDOW) * shape.dim
    return sum(matrices) + cache * 2 if weights == "int8" else 4 * (sum(matrices) + cache)


def player(shape: Shape, weights: Weights | None, model: AccompanimentLM) -> Step:
    """One frame a call through `FrameGenerator`, conditions, sampling and delay pattern included.

    Args:
        shape: the case.
        weights: of the stepper; None: the plain model.
        model: of that shape; it is left as it is.
    """
    model = copy.copy(model)
    if weights is not None:
        equip(model, weights)
    guidance = Guidance(3.0, 3.0) if shape.is_guided else Guidance()
    generator = FrameGenerator(model, TopK(TOP_K), batch=shape.batch, guidance=guidance)
    now, draws = conditions_of(model, shape.batch), row_generators(0, shape.batch)
    if shape.context:
        past = torch.randint(0, NUM_CODES, (shape.batch, NUM_CODEBOOKS, shape.context))
        with torch.inference_mode():
            generator.prefill(past, now.at(torch.zeros(shape.context, dtype=torch.int64)))
    return lambda: generator.step(now, draws)
