"""What a model writes, [B, K', T], is the codec's codes [B, K, T], or those after a first row of note codes.

Notes are written a frame before they sound.
"""

import torch
from torch.nn import functional as F

from gigmate.model.config import ModelConfig
from gigmate.pitch import NUM_NOTE_CODES, UNKNOWN_NOTES
from gigmate.shapes import Codes, NoteCodes


def codes_of(streams: Codes, config: ModelConfig) -> Codes:
    """[..., K', T] -> [..., K, T]: what the codec decodes."""
    return streams[..., streams.shape[-2] - config.num_codebooks :, :]


def notes_of(streams: Codes, config: ModelConfig) -> Codes | None:
    """[..., K', T] -> [..., T], the note code of each following frame; None if the model writes none."""
    return streams[..., 0, :] if config.writes_notes else None


def sounding_notes(streams: Codes, config: ModelConfig) -> NoteCodes | None:
    """[B, K', T] -> [B, T], the note code of each frame, the first unknown; None if the model writes none."""
    ahead = notes_of(streams, config)
    return None if ahead is None else known_notes(F.pad(ahead, (1, -1), value=UNKNOWN_NOTES))


def known_notes(written: NoteCodes) -> NoteCodes:
    """What a model wrote as notes, with `UNKNOWN_NOTES` for special ids."""
    return written.masked_fill(written >= NUM_NOTE_CODES, UNKNOWN_NOTES)


def streams_of(codes: Codes, config: ModelConfig, notes: torch.Tensor | None = None) -> Codes:
    """[B, K, T] and the notes [B, T], if known -> [B, K', T]."""
    if not config.writes_notes:
        return codes
    if notes is None:
        return F.pad(codes, (0, 0, 1, 0), value=config.special_id)
    return torch.cat((notes[:, None], codes), dim=1)
