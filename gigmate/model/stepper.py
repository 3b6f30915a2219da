"""Single steps of an `AccompanimentLM` at the speed that playing live needs.

The same function as `AccompanimentLM.forward` with a cache and S = 1, from fewer and larger operations
(`gigmate.model.step_program`), in int8 traced once. The plain model is the reference of its tests and stays what trains
and prefills; both share a cache.

Playing one step is bound by how fast weights can be read, so they may be held in int8: a product of int8 numbers is
exact, rows are scaled each by itself, and so what a row gets depends on no other row of its batch.
"""

import logging

import torch
from torch import Tensor

from gigmate.model.cache import KVCache
from gigmate.model.conditions import StepConditions
from gigmate.model.lm import AccompanimentLM
from gigmate.model.past import OneStep
from gigmate.model.products import Int8Product
from gigmate.model.step_function import StepFunction, Weights
from gigmate.model.step_program import Step
from gigmate.model.stepping import Views
from gigmate.shapes import Mask
from gigmate.tracing import CAN_TRACE, Program, traced

_LOG = logging.getLogger(__name__)


def equip(model: AccompanimentLM, weights: Weights) -> None:
    """Have a model make its single steps fast; where int8 isn't to be had, in float32.

    Args:
        model: on a CPU, with the weights that it will keep.
        weights: how they are held.
    """
    if weights == "int8" and not Int8Product.is_available():
        _LOG.info("no int8 products on this machine: steps are made in float32")
        weights = "float32"
    model.stepper = Stepper(model, weights)


class Stepper:
    """See `SingleSteps`: a model's weights, laid out. Later changes of the model's weights aren't seen.

    Args:
        model: in eval mode.
        weights: how the large matrices are held.
        is_traced: False: every operation is called from Python, for comparison. Steps in float32 always are: products
            take most of their time, and no program can hold weights as oneDNN lays them out.
    """

    def __init__(self, model: AccompanimentLM, weights: Weights, *, is_traced: bool = True) -> None:
        self.weights, self.dtype, self._is_traced = (
            weights,
            torch.float32,
            is_traced and weights == "int8" and CAN_TRACE,
        )
        self._model, self._function = model, StepFunction(model, weights)
        self._known: dict[tuple[tuple[float, bool, bool], ...], Tensor] = {}
        self._programs: dict[type[OneStep], Program] = {}
        self._whole_of, self._last_whole = b"", torch.empty(0)

    def logits(
        self, previous: Tensor, conditions: StepConditions, guidance: Views, cache: KVCache, active: Mask | None
    ) -> Tensor:
        """See `SingleSteps`: [B * views, K, V] float32."""
        if self.weights == "int8":
            cache.pack()
        claim = cache.claim(1, active, num_rows=len(previous))
        past = cache.one_step(claim)
        heard = conditions.mix, conditions.heard, conditions.beats
        whole = self._known_to(guidance.views), self._whole(conditions)
        given = (previous, *heard, *whole, *self._model.trunk.positions(claim.positions), *past)
        return self._program(type(past), given)(*given)

    def _program(self, kind: type[OneStep], given: tuple[Tensor, ...]) -> Program:
        """The step with this kind of past, traced with a step of its own when first it is asked for."""
        if kind not in self._programs:
            step = Step(self._function, kind)
            self._programs[kind] = traced(step, given) if self._is_traced else step
        return self._programs[kind]

    def _whole(self, conditions: StepConditions) -> Tensor:
        """[B, dim]: instrument and lookahead, kept until they change. Summed here: a product rounds by the size of its
        batch.
        """
        asked = b"".join(part.numpy().tobytes() for part in (conditions.instrument, conditions.lookahead))
        if asked != self._whole_of:
            encoder = self._model.conditions
            lookahead = encoder.lookahead_features(conditions.lookahead)[:, None] * encoder.lookahead.weight
            self._whole_of = asked
            self._last_whole = encoder.instrument(conditions.instrument) + lookahead.sum(dim=-1)
        return self._last_whole

    def _known_to(self, views: tuple[tuple[float, bool, bool], ...]) -> Tensor:
        if views not in self._known:
            self._known[views] = self._function.known_to(views)
        return self._known[views]
