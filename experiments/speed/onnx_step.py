"""A model's single step as an ONNX graph, for `experiments.speed.variants`: the past goes in, what is new comes out.

`make bench-onnx` puts onnxruntime, onnx and onnxscript into `.venv/onnx`, away from what GigMate itself needs.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experiments.speed.own import conditions_of
from gigmate.model.attention import View
from gigmate.model.conditions import StepConditions
from gigmate.model.config import ModelConfig
from gigmate.model.lm import AccompanimentLM
from gigmate.model.past import Claim

Array = NDArray[Any]

_FOLDER = Path(__file__).parents[2] / ".venv" / "onnx"


class _GivenPast:
    """A past that is not changed: what is appended is kept beside it."""

    def __init__(self, data: Tensor) -> None:
        self._data, self.new = data, list[Tensor]()

    def append(self, layer: int, keys: Tensor, values: Tensor, claim: Claim) -> tuple[Tensor, Tensor]:
        """See `gigmate.model.past.Past`."""
        self.new.append(torch.stack((keys, values)))
        return torch.cat((self._data[layer, 0], keys), dim=2), torch.cat((self._data[layer, 1], values), dim=2)


class PureStep(nn.Module):
    """A step as a function of its inputs alone."""

    def __init__(self, model: AccompanimentLM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        previous: Tensor,
        mix: Tensor,
        heard: Tensor,
        beats: Tensor,
        instrument: Tensor,
        lookahead: Tensor,
        position: Tensor,
        mask: Tensor,
        data: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Logits [B, K, V] and new keys and values [L, 2, B, H, 1, E].

        Args:
            previous: [B, K] int64.
            mix: this and the following four are those of `StepConditions`, S = 1.
            heard: see there.
            beats: see there.
            instrument: see there.
            lookahead: see there.
            position: [B, 1] int64.
            mask: [B, 1, 1, M + 1] bool, what of the past is seen, and the present.
            data: [L, 2, B, H, M, E], keys and values of the past.
        """
        past, trunk = _GivenPast(data), self.model.trunk
        cos, sin = trunk.positions(position)
        view = View(cos, sin, mask, past, Claim(position, position, mask))
        hidden = self.model.embed(previous[:, :, None], StepConditions(mix, heard, beats, instrument, lookahead))
        out = self.model.heads(trunk.through(hidden, view)).view(len(previous), self.model.config.num_streams, -1)
        return out, torch.stack(past.new)


class RingStep:
    """A pure step with the ring of its past, for one row.

    Args:
        model: whose step it is.
        run: the inputs of `PureStep.forward` as arrays -> its outputs.
    """

    def __init__(self, model: AccompanimentLM, run: Callable[[list[Array]], Sequence[Array]]) -> None:
        config = model.config
        self._run, self._capacity, self._position = run, config.window_steps - 1, 0
        self._data = empty_past(config)

    def __call__(self, previous: Tensor, conditions: StepConditions) -> Tensor:
        """[1, K] -> logits [1, K, V]."""
        mask = np.ones((1, 1, 1, self._capacity + 1), bool)
        mask[..., min(self._position, self._capacity) : -1] = False
        given = (previous, *vars(conditions).values(), torch.tensor([[self._position]]))
        logits, new = self._run([*(value.numpy() for value in given), mask, self._data])
        self._data[:, :, :, :, self._position % self._capacity] = new[:, :, :, :, 0]
        self._position += 1
        return torch.from_numpy(logits)


def empty_past(config: ModelConfig) -> Array:
    """[L, 2, 1, H, M, E] float32, M one less than the window: the present is given beside it."""
    num_heads = config.num_heads
    return np.zeros((config.num_layers, 2, 1, num_heads, config.window_steps - 1, config.dim // num_heads), np.float32)


def onnx_step(model: AccompanimentLM, folder: Path, *, is_int8: bool, threads: int) -> RingStep:
    """A step through onnxruntime.

    Args:
        model: in eval mode, on the CPU.
        folder: for the graph.
        is_int8: weights quantized, as onnxruntime does it for products of unknown values.
        threads: of onnxruntime.

    Raises:
        ImportError: a package is missing.
    """
    if str(_FOLDER) not in sys.path:
        sys.path.append(str(_FOLDER))  # at the end: what GigMate needs comes first
    import onnxruntime

    path = _exported(model, folder / "step.onnx")
    if is_int8:
        from onnxruntime.quantization import quantize_dynamic

        quantize_dynamic(path, folder / "int8.onnx")
        path = folder / "int8.onnx"
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return RingStep(model, lambda arrays: session.run(None, dict(zip(names, arrays, strict=True))))


def _exported(model: AccompanimentLM, path: Path) -> Path:
    conditions = conditions_of(model, 1)
    previous = torch.zeros(1, model.config.num_streams, dtype=torch.int64)
    mask = torch.ones(1, 1, 1, model.config.window_steps, dtype=torch.bool)
    past = torch.from_numpy(empty_past(model.config))
    given = (previous, *vars(conditions).values(), torch.tensor([[5]]), mask, past)
    program = torch.onnx.export(PureStep(model).eval(), given, dynamo=True, verbose=False)
    assert program is not None
    program.save(path)
    return path
