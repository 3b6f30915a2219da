"""Spans of the stem's own past are hidden in training, or another moment's: there, only the rest says how to go on."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gigmate.shapes import Codes, Mask

SPAN_FRAMES = (2, 40)
"""Shortest and longest span: a hit, most of a bar."""

MAX_SHARE = 0.8
"""Largest share of a row's frames that spans begin to cover, overlaps not counted."""


def hide_spans(codes: Codes, special_id: int, share: float) -> Codes:
    """Codes [B, K, T] with the special id in random spans of a `share` of the rows.

    A stem's own past predicts it so well that a model trained on whole pasts needs no mix.
    """
    return codes.masked_fill(spans(codes, share)[:, None], special_id)


def misplace_spans(codes: Codes, share: float) -> Codes:
    """Codes [B, K, T] with random spans of a `share` of the rows from another moment of the same row.

    Who only knows true pasts trusts them, and goes on with the first wrong note of its own. Here the past sounds wrong
    now and then, what comes next is right all the same, and the notes and the mix say what that is.
    """
    batch, _, num_frames = codes.shape
    shift = (torch.rand(batch, 1).to(codes.device) * num_frames).long()
    elsewhere = (torch.arange(num_frames, device=codes.device) + shift) % num_frames
    moved = codes.gather(2, elsewhere[:, None].expand_as(codes))
    return torch.where(spans(codes, share)[:, None], moved, codes)


def spans(codes: Codes, share: float) -> Mask:
    """[B, T]: random spans of the frames of codes [B, K, T], in a `share` of the rows; length and number are drawn per
    row.
    """
    batch, _, num_frames = codes.shape
    row_draws = torch.rand(batch, 3).to(codes.device)
    low, high = SPAN_FRAMES
    length = low + (row_draws[:, 0] * (high + 1 - low)).long()
    density = row_draws[:, 1] * MAX_SHARE / length * (row_draws[:, 2] < share)
    begins = torch.rand(batch, num_frames).to(codes.device) < density[:, None]
    return covered(begins, length)


def hide_first(codes: Codes, special_id: int, share: float) -> Codes:
    """Codes [B, K, T] with the special id in the first frames, up to a random one, of a `share` of the rows: so are the
    notes of a stem that was recorded before it is continued.
    """
    batch, _, num_frames = codes.shape
    draws = torch.rand(batch, 2).to(codes.device)
    first_known = (draws[:, 0] < share) * (1 + draws[:, 1] * num_frames)
    is_hidden = torch.arange(num_frames, device=codes.device) < first_known[:, None]
    return codes.masked_fill(is_hidden[:, None], special_id)


def covered(begins: Mask, length: Tensor) -> Mask:
    """[B, T] bool: which frames lie in a span of `length` [B] frames that begins where `begins` [B, T] says."""
    count = F.pad(begins.long().cumsum(dim=1), (1, 0))
    frames = torch.arange(begins.shape[1], device=begins.device)
    before = (frames + 1 - length[:, None]).clamp(min=0)
    return count[:, 1:] > count.gather(1, before)
