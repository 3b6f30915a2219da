"""What can be turned while playing, one value a row: sessions that share a batch keep settings of their own."""

import math

import torch
from torch import Tensor

from gigmate.generation.guidance import Guidance
from gigmate.generation.sampler import pick


class RowControls:
    """How each row's codes are drawn, in place of one `Sampler` and one `Guidance` for all.

    Rows draw as `TopK` does, and every row has the two views of a guided one. With the same values in all rows the
    codes are those of `TopK` and `Guidance` to the last bit.

    Args:
        batch: B. Each row begins with temperature 1, top_k 100, guidance 1 and bias 0.
        biased: [K, V] float, what a bias of 1 adds to the logits, for instance 1 at the codes of silence; None: nothing
            can be biased.
        device: of the model.
    """

    guidance = Guidance(2.0, 2.0)
    """Which views are computed: all conditions, and none. Its scale counts for nothing."""

    def __init__(self, batch: int, biased: Tensor | None = None, device: torch.device | str = "cpu") -> None:
        self._weights = torch.tensor([[1.0, 0.0]], device=device).repeat(batch, 1)
        self._temperature = torch.ones(batch, device=device)
        self._top_k = torch.full((batch,), 100, device=device)
        self._bias = torch.zeros(batch, device=device)
        self.wanted = torch.ones(batch, device=device)  # notes, to the usual number: what `busier` comes to
        self._biased = None if biased is None else biased.to(device)
        self._top_ks = [100] * batch  # on the host: how many are sorted is decided without reading back

    @property
    def batch(self) -> int:
        """B."""
        return len(self._top_ks)

    def set(
        self,
        row: int,
        *,
        temperature: float = 1.0,
        top_k: int = 100,
        guidance: float = 1.0,
        bias: float = 0.0,
        busier: float = 0.0,
    ) -> None:
        """Turn the controls of a row; they count from the next step on.

        Args:
            row: which.
            temperature: 0 is greedy.
            top_k: how many of the likeliest codes are drawn from.
            guidance: scale of all conditions; 1 is as trained.
            bias: how much of `biased` is added to the logits.
            busier: octaves by which more notes are asked for than are usual (`Pace`).

        Raises:
            ValueError: out of range.
        """
        if not (temperature >= 0 and guidance >= 0 and all(map(math.isfinite, (temperature, guidance, bias, busier)))):
            what = (
                f"temperature {temperature} and guidance {guidance} must be >= 0, bias {bias}, busier {busier} finite"
            )
            raise ValueError(what)
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}, but must be at least 1")
        self._top_ks[row] = top_k if temperature > 0 else 1
        self._top_k[row] = self._top_ks[row]
        self._temperature[row] = temperature if temperature > 0 else 1.0
        self._weights[row, 0], self._weights[row, 1] = guidance, 1.0 - guidance
        self._bias[row], self.wanted[row] = bias, 2.0**busier

    def choose(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Logits [b * 2, K, V] and draws [b, K] of the first b rows to codes [b, K] int64."""
        num_rows = len(uniform)
        logits = self.guidance.blend(logits, self._weights[:num_rows])
        if self._biased is not None:
            logits = logits + self._bias[:num_rows, None, None] * self._biased
        most = min(max(self._top_ks[:num_rows]), logits.shape[-1])
        values, codes = logits.topk(most, dim=-1)
        probabilities = (values / self._temperature[:num_rows, None, None]).softmax(dim=-1)
        if min(self._top_ks[:num_rows]) < most:
            rank = torch.arange(most, device=logits.device)
            probabilities = probabilities.masked_fill(rank >= self._top_k[:num_rows, None, None], 0.0)
        return pick(probabilities, codes, uniform)
