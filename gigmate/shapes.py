"""The letters that name tensor axes everywhere in this project, and aliases that carry them in signatures.

    B  batch                 N  samples (PCM time)        L  layers
    C  audio channels        T  frames (codec time)       H  attention heads
    K  codebooks             S  steps (pattern time)      E  width of one head
    V  codes per codebook    D  features of a frame       M  capacity of a ring cache

The order is batch, codebook or head, time, feature. A *frame* is codec time, a *step* pattern time, a *sample* PCM
time, a *chunk* the frames made per call. The special id, which stands for "no code here", is V: outside the codec's
codes.
"""

from torch import Tensor

Wave = Tensor
"""[B, C, N] float, nominally within -1..1."""

Codes = Tensor
"""[B, K, T] int64 in 0..V-1: codec time."""

NoteCodes = Tensor
"""[B, T] int64, what is played in each frame as `gigmate.pitch` numbers it; `UNKNOWN_NOTES` where nobody knows."""

Steps = Tensor
"""[B, K, S] int64 in 0..V: pattern time; V is the special id."""

Logits = Tensor
"""[B, K, S, V] float: the special id can't be emitted."""

Features = Tensor
"""[B, D, T] float: features of a frame."""

Mask = Tensor
"""bool; True where the value counts."""
