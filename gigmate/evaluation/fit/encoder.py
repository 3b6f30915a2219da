"""A small contrastive encoder of mixes and stems: pairs that belong together point the same way, frame by frame.

mix  [D, T] --level, log--> convolutions --> [E, T] --.
                                                       product, mean over time --> pair embedding [E] --sum--> fit
stem [D, T] --level, log--> convolutions --> [E, T] --'

The product is taken frame by frame, so a stem that comes half a beat late doesn't fit, nor one in another key.
Source: contrastive pairs as in CLIP (arXiv 2103.00020), of mixes and stems as in COCOLA (arXiv 2404.16969).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gigmate.codec.features import NUM_FEATURES
from gigmate.files.bundle import Bundle, read_bundle
from gigmate.shapes import Features

SHIPPED = Path(__file__).parents[2] / "weights" / "fit.safetensors"
"""The encoder that comes with the package."""

FRAME_RATE = 50
WINDOW_FRAMES = 300
"""Pairs are judged in windows of 6 s."""

_FLOOR_DB = -50.0
_MIN_POWER = 1e-12


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of a `FitEncoder`: width of its layers, length of the embedding, dilations of the layers."""

    dim: int = 96
    embedding: int = 64
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16)


class FitEncoder(nn.Module):
    """Two towers, one for mixes and one for stems."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.mix_tower, self.stem_tower = _Tower(config), _Tower(config)
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def embed(self, mix: Features, stem: Features) -> Tensor:
        """Embeddings [B, E] of pairs of power features [B, D, T] each; their sum is `fit`."""
        return (self.mix_tower(mix) * self.stem_tower(stem)).mean(dim=-1)

    def fit(self, mix: Features, stem: Features) -> Tensor:
        """[B], higher: they belong together. Levels don't matter."""
        return self.embed(mix, stem).sum(dim=-1)


class _Tower(nn.Module):
    """[B, D, T] power -> [B, E, T], of unit mean square over the window."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.first = nn.Conv1d(NUM_FEATURES, config.dim, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(config.dim, config.dim, 5, padding=2 * d, dilation=d, groups=config.dim),
                nn.GroupNorm(1, config.dim),
                nn.Conv1d(config.dim, 2 * config.dim, 1),
                nn.GELU(),
                nn.Conv1d(2 * config.dim, config.dim, 1),
            )
            for d in config.dilations
        )
        self.last = nn.Conv1d(config.dim, config.embedding, 1)

    def forward(self, power: Features) -> Features:
        hidden = self.first(levels(power))
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        out = self.last(hidden)
        return out / out.square().mean(dim=2, keepdim=True).sum(dim=1, keepdim=True).sqrt().clamp(min=1e-4)


def levels(power: Features) -> Features:
    """Power on a logarithmic scale, -1 at 50 dB below the loudest feature of the window, 1 at it; silence is -1."""
    top = power.amax(dim=(1, 2), keepdim=True).clamp(min=_MIN_POWER)
    level_db = 10 * torch.log10(power / top + 10 ** (_FLOOR_DB / 10))
    return 1 - 2 * F.relu(-level_db) / -_FLOOR_DB


def save_encoder(encoder: FitEncoder, path: Path, provenance: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Write the encoder as a bundle in float16.

    Raises:
        CheckpointError: weights that can't be published.
    """
    config = {**asdict(encoder.config), "dilations": list(encoder.config.dilations)}
    state = encoder.state_dict()
    Bundle("fit", config, state, provenance=provenance, metrics=metrics).save(path, half=True)


def load_encoder(path: Path | None = None) -> FitEncoder:
    """The encoder in `path` (None: the one that ships), in evaluation mode.

    Raises:
        CheckpointError: the file is refused.
    """
    bundle = read_bundle(path or SHIPPED, "fit")
    encoder = FitEncoder(EncoderConfig(**{**bundle.config, "dilations": tuple(bundle.config["dilations"])}))
    bundle.load_into(encoder)
    return encoder.eval()
