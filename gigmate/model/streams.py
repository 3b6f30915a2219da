"""What a model writes, [B, K', T], is the codec's codes [B, K, T], or those after a first row of note codes."""

import torch
from torch.nn import functional as F

from gigmate.model.config import ModelConfig
from gigmate.shapes import Codes


def codes_of(streams: Codes, config: ModelConfig) -> Codes:
    """[..., K', T] -> [..., K, T]: what the codec decodes."""
    return streams[..., streams.shape[-2] - config.num_codebooks :, :]


def notes_of(streams: Codes, config: ModelConfig) -> Codes | None:
    """[..., K', T] -> [..., T], the note code of each following frame; None if the model writes none."""
    return streams[..., 0, :] if config.writes_notes else None


def streams_of(codes: Codes, config: ModelConfig, notes: torch.Tensor | None = None) -> Codes:
    """[B, K, T] and the notes [B, T], if known -> [B, K', T]."""
    if not config.writes_notes:
        return codes
    if notes is None:
        return F.pad(codes, (0, 0, 1, 0), value=config.special_id)
    return torch.cat((notes[:, None], codes), dim=1)
