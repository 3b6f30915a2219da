"""Products of a few rows with a large matrix that doesn't change, in float32 or with int8 weights."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_USUAL_ROWS = 2
"""Those of a guided step: what weights are laid out for. Other numbers of rows are multiplied as well."""


class Product(Protocol):
    """x -> x @ weight.T + bias, for a weight [out, in]. All are modules: else packed weights couldn't be traced."""

    def of(self, values: Tensor) -> Tensor:
        """[B, in], any type of float, -> [B, out] float32."""
        ...

    def add_to(self, total: Tensor, values: Tensor) -> None:
        """Add the product of `values` [B, in] to `total` [B, out] in place, the bias left out."""
        ...


class FloatProduct(nn.Module):
    """In float32; with oneDNN from weights laid out for it, which reads them up to three times as fast as BLAS does.

    Args:
        weight: [out, in].
        bias: [out].
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self._bias, weight = None if bias is None else bias.detach(), weight.detach()
        self._is_packed = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()
        if self._is_packed:
            weight = torch.ops.mkldnn._reorder_linear_weight(weight.float(), _USUAL_ROWS)
        self._weight = weight

    def of(self, values: Tensor) -> Tensor:
        """[B, in] -> [B, out]."""
        return self._product(values, self._bias)

    def add_to(self, total: Tensor, values: Tensor) -> None:
        """Add the product in place, the bias left out."""
        total.add_(self._product(values, None))

    def _product(self, values: Tensor, bias: Tensor | None) -> Tensor:
        if not self._is_packed:
            return F.linear(values, self._weight, bias)
        return torch.ops.mkldnn._linear_pointwise(values, self._weight, bias, "none", [], "")


class Int8Product(nn.Module):
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
        super().__init__()
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
        product, peak = self._product(values.float())
        return product.mul_(peak) if self._bias is None else torch.addcmul(self._bias, product, peak)

    def add_to(self, total: Tensor, values: Tensor) -> None:
        """Add the product in place, the bias left out."""
        total.addcmul_(*self._product(values.float()))

    def _product(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The product of rows at a peak of 1 [B, out], and their peaks [B, 1].

        In a row of zeros 0 / 0 is quantised to some number or other, whose product is then multiplied by a peak of 0.
        """
        peak = values.abs().amax(dim=-1, keepdim=True)
        return self._multiply(values / peak, 1 / 127, 128, self._packed), peak


class MixedProduct(nn.Module):
    """Weights in int8, scaled for each of their rows, values in bfloat16: for small weights, where quantising the
    values would cost more than it gains.

    Args:
        weight: [out, in] on the CPU, of a size that `fits`.
        bias: [out], kept in float32.
    """

    _MOST_WEIGHTS = 400_000

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        weight = weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=1e-12) / 127
        self._weight, self._scale = (weight / scale[:, None]).round().to(torch.int8), scale.bfloat16()
        self._bias = None if bias is None else bias.detach()
        self._multiply = torch.ops.aten._weight_int8pack_mm.default

    @classmethod
    def fits(cls, weight: Tensor) -> bool:
        """Whether it is the faster int8 product at one row, and not slower at eight.

        384 x 384 takes 9 against 21 us; 1024 x 384 takes 14 against 24, but 47 against 31 at eight rows. torch's kernel
        reads past the end of rows that are no multiple of its vectors.
        """
        return weight.numel() <= cls._MOST_WEIGHTS and all(size % 64 == 0 for size in weight.shape)

    def of(self, values: Tensor) -> Tensor:
        """[B, in] -> [B, out]."""
        product = self._multiply(values.bfloat16(), self._weight, self._scale)
        return product.float() if self._bias is None else product + self._bias

    def add_to(self, total: Tensor, values: Tensor) -> None:
        """Add the product in place, the bias left out."""
        total.add_(self._multiply(values.bfloat16(), self._weight, self._scale))
