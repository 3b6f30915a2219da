"""Figures per codebook, summed over batches and ranks."""

import torch
from torch import Tensor
from torchmetrics import Metric

from gigmate.shapes import Codes


class CodebookMean(Metric):
    """Mean of a value for each codebook, weighted by how many codes it was measured on.

    Args:
        num_codebooks: K.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, num_codebooks: int) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(num_codebooks, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(num_codebooks, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, mean: Tensor, count: Tensor) -> None:
        """Add means [K] over `count` [K] codes each."""
        self.total += mean.detach().double() * count
        self.count += count

    def compute(self) -> Tensor:
        """[K]."""
        return (self.total / self.count.clamp(min=1)).float()


class UnigramEntropy(Metric):
    """Entropy in nats of each codebook's own distribution: the loss of a model that knows how often codes occur.

    It is taken over the very codes it is compared on, so no unigram model can be better.

    Args:
        num_codebooks: K.
        codebook_size: V.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, num_codebooks: int, codebook_size: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(num_codebooks, codebook_size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, codes: Codes) -> None:
        """Count codes [B, K, T]; V, no code, doesn't count."""
        num_codebooks, size = self.counts.shape
        for k in range(num_codebooks):
            row = codes[:, k]
            self.counts[k] += torch.bincount(row[row < size], minlength=size)

    def compute(self) -> Tensor:
        """[K]."""
        share = self.counts.double() / self.counts.sum(dim=1, keepdim=True).clamp(min=1)
        return -torch.xlogy(share, share).sum(dim=1).float()
