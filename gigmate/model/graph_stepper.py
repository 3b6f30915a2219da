"""One step of an `AccompanimentLM` as a CUDA graph: a GPU waits for no Python between its kernels.

A graph replays what was captured, in the same memory and the same shapes. So a step's inputs are copied to places that
stay, and it looks at the whole ring of its `KVCache`, whose mask says how much of that there is. Which places a step
claims is worked out beforehand, outside the graph. A cache has a graph for each number of rows that it is stepped with.

Capture itself has never been run: no GPU was at hand. Without it the same buffers are computed with operator by
operator, on any device; that is what the tests compare with the plain model.
"""

import copy
from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gigmate.model.attention import View
from gigmate.model.cache import KVCache
from gigmate.model.conditions import StepConditions
from gigmate.model.lm import AccompanimentLM
from gigmate.model.past import Claim
from gigmate.model.stepping import Views
from gigmate.shapes import Mask

Capture = Callable[[Callable[[], None]], Callable[[], None]]


class GraphStepper:
    """See `gigmate.model.stepping.SingleSteps`. Later changes of the model's weights aren't seen.

    Args:
        model: in eval mode.
        dtype: of layers, heads and cache; embeddings and conditions stay in float32.
        capture: from a piece of work to what does it again (`gigmate.device.captured`); None: the work itself.
    """

    def __init__(self, model: AccompanimentLM, dtype: torch.dtype, capture: Capture | None = None) -> None:
        self.dtype, self._capture = dtype, capture or _as_it_is
        self._model = copy.copy(model)
        self._model._modules = dict(model._modules)
        self._model.trunk = copy.deepcopy(model.trunk).to(dtype)
        self._model.heads = copy.deepcopy(model.heads).to(dtype)
        self._steps: WeakKeyDictionary[KVCache, dict[int, _FixedStep]] = WeakKeyDictionary()

    def logits(
        self, previous: Tensor, conditions: StepConditions, guidance: Views, cache: KVCache, active: Mask | None
    ) -> Tensor:
        """See `SingleSteps`: [B * views, K, V] float32."""
        claim, steps = cache.claim(1, active, num_rows=len(previous)), self._steps.setdefault(cache, {})
        inputs = _Inputs(previous[:, :, None], guidance.expand(conditions), claim)
        device_type = previous.device.type
        with torch.autocast(device_type, enabled=False):  # all has its type, and nothing may be cast on the way
            if len(previous) not in steps:
                steps[len(previous)] = _FixedStep(self._model, inputs, cache, self._capture)
            return steps[len(previous)].run(inputs).to(torch.float32, copy=True)  # the next step writes over it


class _Inputs:
    """What changes from step to step, as a list of tensors."""

    def __init__(self, previous: Tensor, conditions: StepConditions, claim: Claim) -> None:
        self.previous, self.conditions, self.claim = previous, conditions, claim

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All but the mask, whose width changes."""
        return (self.previous, *vars(self.conditions).values(), self.claim.positions, self.claim.slots)


class _FixedStep:
    """A step of a given number of rows of a given cache, in places that stay."""

    def __init__(self, model: AccompanimentLM, first: _Inputs, cache: KVCache, capture: Capture) -> None:
        self._model, self._past = model, cache.past
        self._mask = torch.zeros(
            *first.claim.mask.shape[:-1], cache.capacity, dtype=torch.bool, device=first.previous.device
        )
        conditions = StepConditions(*(value.clone() for value in vars(first.conditions).values()))
        claim = Claim(first.claim.positions.clone(), first.claim.slots.clone(), self._mask)
        self._inputs = _Inputs(first.previous.clone(), conditions, claim)
        self._take(first)
        self._compute()
        self._do = capture(self._compute)

    def run(self, inputs: _Inputs) -> Tensor:
        """[B, K, V]."""
        self._take(inputs)
        self._do()
        return self._out

    def _take(self, inputs: _Inputs) -> None:
        for place, value in zip(self._inputs.tensors, inputs.tensors, strict=True):
            place.copy_(value)
        self._mask.zero_()
        self._mask[..., : inputs.claim.mask.shape[-1]] = inputs.claim.mask

    def _compute(self) -> None:
        model, now = self._model, self._inputs
        cos, sin = model.trunk.positions(now.claim.positions)
        view = View(cos, sin, self._mask, self._past, now.claim)
        hidden = model.embed(now.previous, now.conditions).to(model.heads.weight.dtype)
        self._out = model.heads(model.trunk.through(hidden, view)).view(len(hidden), model.config.num_streams, -1)


def _as_it_is(work: Callable[[], None]) -> Callable[[], None]:
    return work
