"""One step of an `AccompanimentLM` at the speed that playing live needs.

The same function as `AccompanimentLM.forward` with a cache and S = 1, from fewer and larger operations: code embeddings
summed in one, rotary angles and mask once a step, keys and values written together, products that add to the residual
stream in place. The plain model is the reference of its tests and stays what trains and prefills; both share a cache.

Playing one step is bound by how fast weights can be read, so they may be held in int8: a product of int8 numbers is
exact, rows are scaled each by itself, and so what a row gets depends on no other row of its batch.
"""

import logging
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gigmate.model.cache import KVCache
from gigmate.model.conditions import NUM_TAPS, StepConditions
from gigmate.model.harmony import chances
from gigmate.model.lm import AccompanimentLM, compress, told
from gigmate.model.past import OneStep
from gigmate.model.products import FloatProduct, Int8Product, MixedProduct, Product
from gigmate.model.stepping import Views
from gigmate.model.trunk import Block
from gigmate.shapes import Mask

Weights = Literal["float32", "int8"]

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
    """

    def __init__(self, model: AccompanimentLM, weights: Weights) -> None:
        self.weights, self.dtype = weights, torch.float32
        self._model, self._config = model, model.config
        self._layers = [_Layer(block, weights, model.config.num_heads) for block in model.trunk.blocks]
        self._heads = _product(model.heads, weights)
        self._per_step = _product(model.conditions.per_step, weights)
        self._conditions_out = _product(model.conditions.out, weights)
        ear = model.conditions.harmony
        self._ear_hidden, self._ear_out = _product(ear.hidden, weights), _product(ear.out, weights)
        config = model.config
        self._mix_columns = NUM_TAPS * model.conditions.tap_features(config)
        self._columns = self._mix_columns + config.beat_features
        self._scales = torch.ones(2 * config.num_heads, 1, device=model.heads.weight.device)
        self._scales[: config.num_heads] = (config.dim // config.num_heads) ** -0.5  # so that scores come out scaled
        self._known: dict[tuple[tuple[float, bool, bool], ...], Tensor] = {}

    def logits(
        self, previous: Tensor, conditions: StepConditions, guidance: Views, cache: KVCache, active: Mask | None
    ) -> Tensor:
        """See `SingleSteps`: [B * views, K, V] float32."""
        hidden = self._embed(previous, conditions, guidance.views)
        if self.weights == "int8":
            cache.pack()
        claim = cache.claim(1, active, num_rows=len(hidden))
        cos, sin = self._model.trunk.positions(claim.positions)
        past, turn = cache.one_step(claim), _Turn(cos, sin, self._scales)
        for layer, block in enumerate(self._layers):
            block.run(hidden, layer, past, turn)
        normed = _norm(self._model.trunk.norm, hidden)
        return self._heads.of(normed).view(len(hidden), self._config.num_streams, -1)

    def _embed(
        self, previous: Tensor, conditions: StepConditions, views: tuple[tuple[float, bool, bool], ...]
    ) -> Tensor:
        """[B * views, dim]: what goes into the trunk."""
        heard = self._listen(conditions).flatten(1)
        features = torch.cat((heard, conditions.beats.flatten(1).float()), dim=-1)[:, None] * self._known_to(views)
        hidden = self._per_step.of(features.flatten(0, 1)).view(conditions.batch, len(views), -1)
        hidden = self._conditions_out.of(F.silu(hidden + self._whole(conditions)[:, None]).flatten(0, 1))
        codes = F.embedding_bag(previous + self._model.code_offsets[:, 0], self._model.codes.weight, mode="sum")
        return hidden + codes

    def _listen(self, conditions: StepConditions) -> Tensor:
        """See `ConditionEncoder.listen`."""
        levels = compress(conditions.mix, conditions.heard)
        relative = self._model.conditions.harmony.relative(levels[..., :-1])
        logits = self._ear_out.of(F.silu(self._ear_hidden.of(relative.flatten(0, -2))))
        return told(levels, chances(logits.view(*relative.shape[:-1], -1), conditions.heard))

    def _whole(self, conditions: StepConditions) -> Tensor:
        """[B, dim]: instrument, lookahead and manner, summed here: a product rounds by the size of its batch."""
        encoder = self._model.conditions
        lookahead = encoder.lookahead_features(conditions.lookahead)[:, None] * encoder.lookahead.weight
        whole = encoder.instrument(conditions.instrument) + lookahead.sum(dim=-1)
        if encoder.manner is None:
            return whole
        return whole + (encoder.manner_features(conditions.manner)[:, None] * encoder.manner.weight).sum(dim=-1)

    def _known_to(self, views: tuple[tuple[float, bool, bool], ...]) -> Tensor:
        """[views, features]: 1 where the view knows the feature."""
        if views in self._known:
            return self._known[views]
        known = torch.zeros(len(views), self._columns, device=self._model.heads.weight.device)
        for row, (_, with_mix, with_beats) in enumerate(views):
            known[row, : self._mix_columns] = float(with_mix)
            known[row, self._mix_columns :] = float(with_beats)
        self._known[views] = known
        return known


class _Turn:
    """Rotary angles of one step, the same for every layer.

    Args:
        cos: [B, 1, 1, E / 2].
        sin: the same.
        scales: [2 * H, 1], by which queries and keys are multiplied besides.
    """

    def __init__(self, cos: Tensor, sin: Tensor, scales: Tensor) -> None:
        self._cos = torch.cat((cos, cos), dim=-1)[:, :, 0] * scales
        self._sin = torch.cat((-sin, sin), dim=-1)[:, :, 0] * scales

    def turn(self, heads: Tensor) -> None:
        """Turn queries and keys [B, 2 * H, E] in place."""
        swapped = heads.roll(heads.shape[-1] // 2, dims=-1)
        heads.mul_(self._cos).addcmul_(swapped, self._sin)


class _Layer:
    """A `Block`, for single steps."""

    def __init__(self, block: nn.Module, weights: Weights, num_heads: int) -> None:
        assert isinstance(block, Block)
        self._num_heads = num_heads
        self._attention_norm, self._mlp_norm = block.attention_norm, block.mlp_norm
        self._query_key_value = _product(block.attention.query_key_value, weights)
        self._attention_out = _product(block.attention.out, weights)
        self._gate_and_up = _product(block.mlp.gate_and_up, weights)
        self._mlp_out = _product(block.mlp.out, weights)

    def run(self, hidden: Tensor, layer: int, past: OneStep, turn: _Turn) -> None:
        """Change the residual stream [B, dim] in place."""
        batch = len(hidden)
        heads = self._query_key_value.of(_norm(self._attention_norm, hidden)).view(batch, 3 * self._num_heads, -1)
        turn.turn(heads[:, : 2 * self._num_heads])  # queries and keys
        self._attention_out.add_to(hidden, past.attend(layer, heads))
        gate, up = self._gate_and_up.of(_norm(self._mlp_norm, hidden)).chunk(2, dim=-1)
        self._mlp_out.add_to(hidden, F.silu(gate).mul_(up))


def _norm(norm: nn.LayerNorm, hidden: Tensor) -> Tensor:
    return torch.layer_norm(hidden, norm.normalized_shape, norm.weight, None, norm.eps)


def _product(linear: nn.Linear, weights: Weights) -> Product:
    if weights == "float32":
        return FloatProduct(linear.weight, linear.bias)
    return (MixedProduct if MixedProduct.fits(linear.weight) else Int8Product)(linear.weight, linear.bias)
