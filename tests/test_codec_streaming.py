"""Each streaming layer against the obvious way to run the same module over everything at once."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gigmate.codec.streaming import (
    CausalConv,
    CausalTransposedConv,
    Chain,
    Padding,
    Recurrent,
    Residual,
    Stateless,
    StreamLayer,
)

SIGNAL = torch.randn(2, 3, 60, generator=torch.Generator().manual_seed(0))
PADDINGS: dict[Padding, str] = {"zeros": "constant", "replicate": "replicate", "reflect": "reflect"}


@pytest.fixture(autouse=True)
def _no_grad():
    torch.manual_seed(1)
    with torch.no_grad():
        yield


def streamed(layer: StreamLayer, x: Tensor, sizes: list[int]) -> Tensor:
    assert sum(sizes) == x.shape[2]
    outputs, state = [], None
    for piece in x.split(sizes, dim=2):
        y, state = layer(piece, state)
        outputs.append(y)
    return torch.cat(outputs, dim=2)


def padded(conv: nn.Conv1d, x: Tensor, padding: Padding) -> Tensor:
    left = (conv.kernel_size[0] - 1) * conv.dilation[0] + 1 - conv.stride[0]
    return conv(F.pad(x, (left, 0), mode=PADDINGS[padding]))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(7, 1, 1), (1, 1, 1), (3, 1, 4), (8, 4, 1), (4, 4, 1)])
@pytest.mark.parametrize("sizes", [[60], [12] * 5, [12, 4, 4, 40], [12, 48]])
def test_convolution(padding: Padding, kernel: int, stride: int, dilation: int, sizes: list[int]) -> None:
    conv = nn.Conv1d(3, 5, kernel, stride, dilation=dilation)
    whole = padded(conv, SIGNAL, padding)
    assert whole.shape[2] == 60 // stride
    torch.testing.assert_close(streamed(CausalConv(conv, padding), SIGNAL, sizes), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(8, 4, 1), (5, 2, 1), (3, 1, 1), (4, 4, 1), (6, 3, 3)])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("sizes", [[60], [1] * 60, [7, 1, 2, 50]])
def test_transposed_convolution(kernel: int, stride: int, groups: int, has_bias: bool, sizes: list[int]) -> None:
    conv = nn.ConvTranspose1d(3, 6, kernel, stride, groups=groups, bias=has_bias)
    whole = conv(SIGNAL)[:, :, : 60 * stride]
    torch.testing.assert_close(streamed(CausalTransposedConv(conv), SIGNAL, sizes), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("has_skip", [True, False])
def test_lstm(has_skip: bool) -> None:
    lstm = nn.LSTM(3, 3, num_layers=2)
    whole = lstm(SIGNAL.permute(2, 0, 1))[0].permute(1, 2, 0) + (SIGNAL if has_skip else 0)
    torch.testing.assert_close(streamed(Recurrent(lstm, has_skip), SIGNAL, [1, 29, 30]), whole, rtol=0, atol=1e-6)


def test_composites_keep_the_state_of_every_part() -> None:
    first, second, shortcut = nn.Conv1d(3, 4, 5), nn.Conv1d(4, 3, 3), nn.Conv1d(3, 3, 2)
    branch = Chain([CausalConv(first, "zeros"), Stateless(nn.ELU()), CausalConv(second, "replicate")])
    whole = padded(shortcut, SIGNAL, "zeros") + padded(second, F.elu(padded(first, SIGNAL, "zeros")), "replicate")
    layer = Residual(branch, CausalConv(shortcut, "zeros"))
    torch.testing.assert_close(streamed(layer, SIGNAL, [1] * 60), whole, rtol=0, atol=1e-6)


def test_two_streams_of_one_layer_do_not_hear_each_other() -> None:
    layer = CausalConv(nn.Conv1d(3, 3, 5), "zeros")
    _, state = layer(SIGNAL[:, :, :10])
    expected, _ = layer(SIGNAL[:, :, 10:], state)
    layer(torch.randn(2, 3, 8))
    assert torch.equal(layer(SIGNAL[:, :, 10:], state)[0], expected)


def test_pieces_that_cannot_be_exact_are_refused() -> None:
    with pytest.raises(ValueError, match="prime with more"):
        CausalConv(nn.Conv1d(3, 3, 7), "reflect")(SIGNAL[:, :, :6])
    with pytest.raises(ValueError, match="multiple of stride 4"):
        CausalConv(nn.Conv1d(3, 3, 8, stride=4), "zeros")(SIGNAL[:, :, :6])
