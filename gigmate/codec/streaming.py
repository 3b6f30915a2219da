"""Causal layers piece by piece: other people's convolutions with a state handed from call to call.

A layer is called with a piece of the signal and its state and returns its output and the next state; `None` is the
state of a layer that has heard nothing. Fed the pieces of a wave, it makes what the whole wave would have made:

    convolution             remembers the inputs that its kernel still reaches
    transposed convolution  remembers the part of its output that the next inputs add to
    LSTM                    remembers its hidden state

The layers hold no weights: they call the modules of a codec package, which know nothing of streaming.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

State = Any
"""What a layer remembers: tensors, or a tuple of its parts' states; only the layer that made it can read it."""

Padding = Literal["zeros", "replicate", "reflect"]
"""What a convolution imagines before the first sample."""


class StreamLayer(Protocol):
    """One piece: x [B, D, n] and what is remembered -> y [B, D', m] and what to remember."""

    def __call__(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Hear one piece more."""
        ...


@dataclass(frozen=True)
class Stateless:
    """A layer whose samples don't know each other, for instance an activation."""

    function: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """See `StreamLayer`."""
        return self.function(x), None


@dataclass(frozen=True)
class CausalConv:
    """A convolution padded on the left alone; pieces must be multiples of its stride.

    Args:
        conv: without padding of its own.
        padding: what comes before the first piece. `reflect` mirrors the first samples, so that the first piece must be
            longer than the padding.
    """

    conv: nn.Conv1d
    padding: Padding

    @property
    def history(self) -> int:
        """Samples of the past that the next output needs."""
        return (self.conv.kernel_size[0] - 1) * self.conv.dilation[0] + 1 - self.conv.stride[0]

    def __call__(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """See `StreamLayer`.

        Raises:
            ValueError: a part stride, or a first piece that is too short to be mirrored.
        """
        if x.shape[2] % self.conv.stride[0]:
            raise ValueError(f"a piece of {x.shape[2]} samples isn't a multiple of stride {self.conv.stride[0]}")
        heard = torch.cat([self._before(x) if state is None else state, x], dim=2)
        return self.conv(heard), heard[:, :, heard.shape[2] - self.history :].clone()

    def _before(self, x: Tensor) -> Tensor:
        if self.padding == "zeros":
            return x.new_zeros(*x.shape[:2], self.history)
        if self.padding == "replicate":
            return x[:, :, :1].expand(-1, -1, self.history)
        if x.shape[2] <= self.history:
            raise ValueError(
                f"a first piece of {x.shape[2]} samples can't be mirrored over {self.history}: prime with more"
            )
        return x[:, :, 1 : self.history + 1].flip(2)


@dataclass(frozen=True)
class CausalTransposedConv:
    """A transposed convolution whose output is cut on the right, where later inputs would still add to it.

    Args:
        conv: without padding of its own.
    """

    conv: nn.ConvTranspose1d

    def __call__(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """See `StreamLayer`."""
        y = self.conv(x)
        if state is not None:
            y = torch.cat([y[:, :, : state.shape[2]] + state, y[:, :, state.shape[2] :]], dim=2)
        done = x.shape[2] * self.conv.stride[0]
        rest = y[:, :, done:]
        # the next call adds the bias to these samples again
        return y[:, :, :done], rest - self.conv.bias[:, None] if self.conv.bias is not None else rest.clone()


@dataclass(frozen=True)
class Recurrent:
    """An LSTM over [n, B, D], with or without a way around it."""

    lstm: nn.LSTM
    has_skip: bool

    def __call__(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """See `StreamLayer`."""
        steps = x.permute(2, 0, 1)
        y, state = self.lstm(steps, state)
        return (y + steps if self.has_skip else y).permute(1, 2, 0), state


@dataclass(frozen=True)
class Chain:
    """Layers one after the other."""

    layers: Sequence[StreamLayer]

    def __call__(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """See `StreamLayer`."""
        following = []
        for layer, before in zip(self.layers, state or [None] * len(self.layers), strict=True):
            x, after = layer(x, before)
            following.append(after)
        return x, tuple(following)


@dataclass(frozen=True)
class Residual:
    """A branch added to a shortcut."""

    branch: StreamLayer
    shortcut: StreamLayer

    def __call__(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """See `StreamLayer`."""
        before_branch, before_shortcut = state or (None, None)
        y, after_branch = self.branch(x, before_branch)
        straight, after_shortcut = self.shortcut(x, before_shortcut)
        return straight + y, (after_branch, after_shortcut)
