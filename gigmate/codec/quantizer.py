"""Residual vector quantization with codebooks that follow the data (EMA) and never die.

Source: residual quantizer of SoundStream (arXiv 2107.03312), EMA codebooks and restart of dead codes as in Jukebox
(arXiv 2005.00341).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gigmate.shapes import Codes


@dataclass(frozen=True)
class Quantized:
    """What quantization yields.

    Args:
        latents: [B, T, D] sum of the chosen code vectors; gradients pass straight through to the input.
        codes: [B, K, T].
        commitment: scalar, mean squared distance of the input to what represents it.
        residuals: per codebook the vectors [B * T, D] that it was asked to represent, for `follow`.
    """

    latents: Tensor
    codes: Codes
    commitment: Tensor
    residuals: list[Tensor]


class ResidualQuantizer(nn.Module):
    """K codebooks of V vectors; each represents what the ones before it left over.

    Args:
        num_codebooks: K.
        codebook_size: V.
        dim: width of the latents.
    """

    vectors: Tensor
    usage: Tensor
    sums: Tensor

    def __init__(self, num_codebooks: int, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(num_codebooks, codebook_size, dim))
        self.register_buffer("usage", torch.zeros(num_codebooks, codebook_size))
        self.register_buffer("sums", torch.zeros(num_codebooks, codebook_size, dim))

    def forward(self, latents: Tensor, num_active: int | None = None) -> Quantized:
        """Quantize [B, T, D] with the first `num_active` codebooks (default all)."""
        batch, frames, dim = latents.shape
        exact = latents.reshape(-1, dim).float()
        rest = exact.detach()
        codes, residuals = [], []
        for vectors in self.vectors[: num_active or len(self.vectors)]:
            chosen = nearest(rest, vectors)
            residuals.append(rest)
            codes.append(chosen)
            rest = rest - vectors[chosen]
        approximation = exact.detach() - rest
        commitment = (exact - approximation).square().mean()
        straight = exact + (approximation - exact).detach()
        return Quantized(
            latents=straight.reshape(batch, frames, dim),
            codes=torch.stack(codes, dim=-1).reshape(batch, frames, -1).transpose(1, 2),
            commitment=commitment,
            residuals=residuals,
        )

    def decode(self, codes: Codes) -> Tensor:
        """[B, K', T] -> latents [B, T, D] for the first K' codebooks."""
        return sum((self.vectors[k][codes[:, k]] for k in range(1, codes.shape[1])), self.vectors[0][codes[:, 0]])

    @torch.no_grad()
    def follow(self, quantized: Quantized, decay: float = 0.98, dead_below: float = 0.08) -> float:
        """Move the code vectors to the mean of what they represent, and replace unused ones by inputs.

        The usage counts start from the first batch instead of at 1: with an initial count of 1 and decay .99 most codes
        stayed dead for hundreds of steps.

        Returns:
            Share of the codes in use, over the codebooks that took part.
        """
        alive = []
        for k, rest in enumerate(quantized.residuals):
            if not bool(self.usage[k].any()):
                self._start_from(k, rest)
            chosen = nearest(rest, self.vectors[k])
            count = torch.zeros_like(self.usage[k]).index_add_(0, chosen, torch.ones_like(rest[:, 0]))
            total = torch.zeros_like(self.sums[k]).index_add_(0, chosen, rest)
            self.usage[k].lerp_(count, 1 - decay)
            self.sums[k].lerp_(total, 1 - decay)
            dead = self.usage[k] < dead_below
            alive.append(1.0 - float(dead.float().mean()))
            fresh = rest[torch.randint(len(rest), (int(dead.sum()),))]
            self.usage[k][dead] = 1.0
            self.sums[k][dead] = fresh
            self.vectors[k] = self.sums[k] / self.usage[k].clamp(min=1e-6)[:, None]
        return sum(alive) / len(alive)

    def _start_from(self, k: int, rest: Tensor) -> None:
        self.vectors[k] = rest[torch.randint(len(rest), (self.vectors.shape[1],))]
        self.usage[k].fill_(1.0)
        self.sums[k].copy_(self.vectors[k])


def nearest(points: Tensor, vectors: Tensor) -> Tensor:
    """Index [N] of the vector of [V, D] that lies closest to each point of [N, D], in float32."""
    points, vectors = points.float(), vectors.float()
    return (vectors.square().sum(-1) - 2 * points @ vectors.T).argmin(dim=-1)
