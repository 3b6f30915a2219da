"""The loss: cross entropy of each codebook over the coordinates where it has a code."""

from torch import Tensor
from torch.nn import functional as F

from gigmate.shapes import Logits, Mask, Steps


def token_losses(logits: Logits, steps: Steps, valid: Mask | None = None) -> tuple[Tensor, Tensor]:
    """Mean cross entropy in nats per code.

    Args:
        logits: [B, K, S, V].
        steps: [B, K, S], what is to be predicted; the special id V marks places without a code, which don't count.
        valid: bool, broadcast to [B, K, S]; places where it is False don't count either, for instance padding.

    Returns:
        The mean over codebooks, and the codebooks' own [K], both float32. A codebook without any valid place counts 0.
    """
    num_codes = logits.shape[-1]
    counted = steps != num_codes if valid is None else (steps != num_codes) & valid
    # Steps before codebooks, as the model lays its logits out in memory: a view, where [B, K, S] would be a copy.
    flat = logits.transpose(1, 2).flatten(0, 2).float()
    targets = steps.masked_fill(~counted, num_codes).transpose(1, 2).flatten()
    losses = F.cross_entropy(flat, targets, ignore_index=num_codes, reduction="none").view(
        steps.shape[0], steps.shape[2], steps.shape[1]
    )
    per_codebook = losses.sum(dim=(0, 1)) / counted.sum(dim=(0, 2)).clamp(min=1)
    return per_codebook.mean(), per_codebook
