"""Which chord the mix plays, as far as one step's taps tell: learned from known chords, read by the language model.

A language model of codes alone never learns to hear harmony from them: a note's own past says all but its first frames.
Told the chord as it is told the beat, it can follow (experiments/010_harmony).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gigmate.pitch import NO_ROOT, NUM_PITCH_CLASSES
from gigmate.shapes import Mask

HARMONY_FEATURES = 2 * NUM_PITCH_CLASSES
"""H: probability of each pitch class to be the root, and to be in the chord; C first."""

_HIDDEN = 256
_RANGE = 1.5
"""How far below the loudest band a band may be, on the scale of `compress` (2 for 50 dB): 37 dB."""


class HarmonyEar(nn.Module):
    """From the power in semitone bands to the chord. A chord is the same at any level, so levels are relative.

    Args:
        mix_features: D, power features of a frame.
        bands: how many of them, the last, are semitone bands.
    """

    def __init__(self, mix_features: int, bands: int) -> None:
        super().__init__()
        self.mix_features, self.bands = mix_features, bands
        self.hidden = nn.Linear(2 * bands, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, HARMONY_FEATURES)

    def forward(self, levels: Tensor, transposition: Tensor | None = None) -> Tensor:
        """Logits of root and tones.

        Args:
            levels: [..., 2 * D] compressed power of a frame, then of its recent past.
            transposition: [B] semitones by which the bands are moved up, for training; levels are [B, ...] then.

        Returns:
            [..., H] logits.
        """
        return self.out(F.silu(self.hidden(self.relative(levels, transposition).to(self.hidden.weight.dtype))))

    def relative(self, levels: Tensor, transposition: Tensor | None = None) -> Tensor:
        """What the first layer gets, [..., 2 * bands]: levels below that of the loudest band."""
        bands = levels.unflatten(-1, (2, self.mix_features))[..., -self.bands :]
        relative = (bands - bands.amax(dim=(-2, -1), keepdim=True)).clamp(min=-_RANGE)
        if transposition is not None:
            relative = transposed(relative, transposition)
        return (relative + _RANGE / 3).flatten(-2)

    def read(self, levels: Tensor, heard: Mask) -> Tensor:
        """What the language model is told, [..., H]; nothing is learned through it."""
        with torch.no_grad():
            return chances(self(levels), heard)


def chances(logits: Tensor, heard: Mask) -> Tensor:
    """Logits [..., H] as probabilities, 0 where unheard."""
    root, tones = logits.float().chunk(2, dim=-1)
    return torch.cat((root.softmax(dim=-1), tones.sigmoid()), dim=-1) * heard[..., None]


def transposed(levels: Tensor, semitones: Tensor) -> Tensor:
    """Levels [B, ..., bands] moved up by [B] semitones; what moves in is as soft as can be."""
    bands = torch.arange(levels.shape[-1], device=levels.device)
    source = bands - semitones.view(-1, *[1] * (levels.ndim - 1))
    moved = levels.gather(-1, source.clamp(0, levels.shape[-1] - 1).expand_as(levels))
    return moved.masked_fill((source < 0) | (source >= levels.shape[-1]), -_RANGE)


def harmony_loss(logits: Tensor, root: Tensor, tones: Tensor) -> Tensor:
    """Cross entropy of the root plus that of the tones, in nats, over the frames where they are known.

    Args:
        logits: [N, H] of `HarmonyEar`.
        root: [N] pitch class or `NO_ROOT`.
        tones: [N, 12] 0 or 1; all 0 where unknown.
    """
    root_logits, tone_logits = logits.float().chunk(2, dim=-1)
    is_known = tones.any(dim=-1)
    of_root = F.cross_entropy(root_logits, root, ignore_index=NO_ROOT, reduction="sum")
    of_tones = F.binary_cross_entropy_with_logits(tone_logits[is_known], tones[is_known], reduction="sum")
    num_roots, num_tones = (root != NO_ROOT).sum(), is_known.sum() * NUM_PITCH_CLASSES
    return of_root / num_roots.clamp(min=1) + of_tones / num_tones.clamp(min=1)
