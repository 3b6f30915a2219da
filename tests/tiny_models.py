"""Models and conditions small enough for tests, random but repeatable."""

import torch
from contracts import Inputs
from torch import Tensor

from gigmate.model.conditions import FrameConditions, StepConditions, step_conditions
from gigmate.model.config import ModelConfig, PatternConfig
from gigmate.model.lm import AccompanimentLM

K, V, D, G = 3, 13, 4, 3


def tiny_model(pattern: str = "delay", **changes: object) -> AccompanimentLM:
    """A model of 2 layers whose predictions tell codes apart, in eval mode."""
    torch.manual_seed(0)
    values = {
        "dim": 32,
        "num_layers": 2,
        "num_heads": 2,
        "window": 9,
        "num_codebooks": K,
        "codebook_size": V,
        "mix_features": D,
        "semitone_bands": D,
        "beat_features": G,
        "num_instruments": 3,
        "min_lookahead_frames": -5,
        "max_lookahead_frames": 5,
        "pattern": PatternConfig(pattern),
        **changes,
    }
    model = AccompanimentLM(ModelConfig(**values)).eval()  # pyright: ignore[reportArgumentType]
    torch.nn.init.normal_(model.heads.weight, std=0.3)
    return model


def random_frames(batch: int, num_frames: int, lookahead: int | None = None) -> FrameConditions:
    """Conditions of a piece; each row with a lookahead of its own unless one is given."""
    g = torch.Generator().manual_seed(1)
    drawn = torch.randint(-5, 6, (batch,), generator=g)
    return FrameConditions(
        mix_power=torch.rand(batch, D, num_frames, generator=g) + 0.01,
        mix_present=torch.ones(batch, dtype=torch.bool),
        beats=torch.randn(batch, G, num_frames, generator=g),
        instrument=torch.randint(0, 3, (batch,), generator=g),
        lookahead=drawn if lookahead is None else torch.full((batch,), lookahead),
    )


def random_codes(batch: int, num_frames: int) -> Tensor:
    """Codes [B, K, T]."""
    return torch.randint(0, V, (batch, K, num_frames), generator=torch.Generator().manual_seed(2))


def as_inputs(conditions: StepConditions) -> Inputs:
    """Conditions as a tuple [B, S, ...], as `contracts.py` cuts them."""
    values = (getattr(conditions, name) for name in StepConditions.__dataclass_fields__)
    return tuple(v if v.ndim > 1 else v[:, None].expand(-1, conditions.num_steps) for v in values)


def from_inputs(inputs: Inputs) -> StepConditions:
    """The inverse of `as_inputs`."""
    mix, heard, beats, instrument, lookahead = inputs
    return StepConditions(mix, heard, beats, instrument[:, 0], lookahead[:, 0])


def random_steps(model: AccompanimentLM, batch: int, num_frames: int) -> tuple[Tensor, StepConditions]:
    """Random codes as steps [B, K, S] of the model's pattern, and the conditions of these steps."""
    pattern = model.config.build_pattern()
    steps = pattern.interleave(random_codes(batch, num_frames), V)
    return steps, step_conditions(random_frames(batch, num_frames), pattern, steps.shape[2])
