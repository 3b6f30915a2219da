"""Products of a few rows with a large matrix that doesn't change, in float32 or with int8 weights."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Product(Protocol):
    """x -> x @ weight.T + bias, for a weight [out, in]."""

    def of(self, values: Tensor) -> Tensor:
        """[B, in] -> [B, out]."""
        ...

    def add_to(self, total: Tensor, values: Tensor) -> None:
        """Add the product of `values` [B, in] to `total` [B, out] in place, the bias left out."""
        ...


class FloatProduct:
    """As it stands."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach()

    def of(self, values: Tensor) -> Tensor:
        """[B, in] -> [B, out]."""
        return F.linear(values, self._weight, self._bias)

    def add_to(self, total: Tensor, values: Tensor) -> None:
        """Add the product in place, the bias left out."""
        total.addmm_(values, self._weight.T)


class Int8Product:
    """Both sides in int8, weights scaled for each of their rows, values for each of theirs.

    Rows are brought to a peak of 1, so that one fixed scale fits all: torch's own dynamic product takes one for the
    whole batch, and a loud row would coarsen its neighbours.

    Args:
        weight: [out, in] on the CPU.
        bias: [out], kept in float32.

    Raises:
        ValueError: this machine has no such product (`is_available`).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        if not self.is_available():
            raise ValueError("int8 products need torch's fbgemm, which is there on x86 alone")
        levels = 127 if torch.cpu._is_vnni_supported() else 63
        weight = weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=1e-12) / levels
        quantised = torch.quantize_per_channel(
            weight, scale, torch.zeros(len(weight), dtype=torch.long), 0, torch.qint8
        )
        self._packed = torch.ops.quantized.linear_prepack(quantised, None)
        self._bias = None if bias is None else bias.detach()
        self._multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default

    @staticmethod
    def is_available() -> bool:
        """Whether this machine has such products."""
        return "fbgemm" in torch.backends.quantized.supported_engines

    def of(self, values: Tensor) -> Tensor:
        """[B, in] -> [B, out]."""
        peak = _peak(values)
        product = self._multiply(values / peak, 1 / 127, 128, self._packed)
        return product.mul_(peak) if self._bias is None else torch.addcmul(self._bias, product, peak)

    def add_to(self, total: Tensor, values: Tensor) -> None:
        """Add the product in place, the bias left out."""
        peak = _peak(values)
        total.addcmul_(self._multiply(values / peak, 1 / 127, 128, self._packed), peak)


def _peak(values: Tensor) -> Tensor:
    """[B, 1]: the largest size of each row."""
    return values.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-12)
