"""Linear layers whose weights are held in 16 bits and used in 32: for networks that read all their weights for a frame.

A frame's products take as long as it takes to fetch the weights from memory, so half the bytes take half the time.
Published weights are float16: held so, they lose nothing, and each product is the same to the last bit.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HalfLinear(nn.Module):
    """An `nn.Linear` that can't be trained.

    Args:
        linear: whose weights fit float16 (`fits_half`).
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        # buffers: what isn't one would be a constant of a traced program, and be converted once and for all
        self.register_buffer("weight", linear.weight.detach().half())
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, values: Tensor) -> Tensor:
        """[..., in] -> [..., out], both float32."""
        return F.linear(values, self.weight.float(), self.bias)


def fits_half(linear: nn.Linear) -> bool:
    """Whether float16 holds every weight as it is."""
    weight = linear.weight.detach()
    return bool(torch.equal(weight.half().to(weight.dtype), weight))


def halve(module: nn.Module) -> None:
    """Hold the weights of all linear layers within a module in 16 bits, where nothing is lost by it."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and fits_half(child):
            setattr(module, name, HalfLinear(child))
        else:
            halve(child)
