"""One step of an `AccompanimentLM` as a function of tensors alone, from fewer and larger operations than the model's.

Code embeddings are looked up at once, rotary angles and mask made once a step, keys and values written together, and
products add to the residual stream in place.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gigmate.model.conditions import NUM_TAPS
from gigmate.model.harmony import chances
from gigmate.model.lm import AccompanimentLM, compress, told
from gigmate.model.past import OneStep
from gigmate.model.products import FloatProduct, Int8Product, MixedProduct, Product
from gigmate.model.trunk import Block
from gigmate.shapes import Mask

Weights = Literal["float32", "int8"]


class StepFunction(nn.Module):
    """A step, from fewer and larger operations than the plain model's.

    Args:
        model: in eval mode.
        weights: how the large matrices are held.
    """

    def __init__(self, model: AccompanimentLM, weights: Weights) -> None:
        super().__init__()
        config = self._config = model.config
        self._layers = nn.ModuleList(_Layer(block, weights, config.num_heads) for block in model.trunk.blocks)
        self._norm, self._heads = _Norm(model.trunk.norm), _product(model.heads, weights)
        self._codes, self._offsets = model.codes.weight.detach(), model.code_offsets[:, 0]
        self._per_step = _product(model.conditions.per_step, weights)
        self._conditions_out = _product(model.conditions.out, weights)
        ear = model.conditions.harmony
        self._relative = ear.relative
        self._ear_hidden, self._ear_out = _product(ear.hidden, weights), _product(ear.out, weights)
        self._mix_columns = NUM_TAPS * model.conditions.tap_features(config)
        self._scales = torch.ones(2 * config.num_heads, 1, device=model.heads.weight.device)
        self._scales[: config.num_heads] = (config.dim // config.num_heads) ** -0.5  # so that scores come out scaled

    def known_to(self, views: tuple[tuple[float, bool, bool], ...]) -> Tensor:
        """[views, features]: 1 where a view knows what is heard."""
        known = torch.zeros(len(views), self._mix_columns + self._config.beat_features)
        for row, (_, with_mix, with_beats) in enumerate(views):
            known[row, : self._mix_columns] = float(with_mix)
            known[row, self._mix_columns :] = float(with_beats)
        return known.to(self._scales.device)

    def logits(self, hidden: Tensor, cos: Tensor, sin: Tensor, past: OneStep) -> Tensor:
        """[B * views, K, V] float32 from what `embed` makes; keys and values are stored in the past.

        Args:
            hidden: [B * views, dim], changed in place.
            cos: [B * views, 1, 1, E / 2], of the rotary positions.
            sin: the same.
            past: of these rows.
        """
        turn = _Turn(cos, sin, self._scales)
        for number, layer in enumerate(self._layers):
            layer(hidden, number, past, turn)
        return self._heads.of(self._norm.of(hidden)).view(hidden.shape[0], self._config.num_streams, -1)

    def embed(self, previous: Tensor, mix: Tensor, heard: Mask, beats: Tensor, known: Tensor, whole: Tensor) -> Tensor:
        """[B * views, dim]: what goes into the trunk.

        Args:
            previous: [B * views, K] int64, the step before.
            mix: [B, 1, P, 2 * D], as in `StepConditions`, like the next two.
            heard: [B, 1, P].
            beats: [B, 1, G].
            known: [views, features], see `known_to`.
            whole: [B, dim], what is the same in all steps.
        """
        listened = self._listen(mix, heard).flatten(1)
        features = torch.cat((listened, beats.flatten(1).float()), dim=-1)[:, None] * known
        hidden = self._per_step.of(features.flatten(0, 1)).view(features.shape[0], features.shape[1], -1)
        hidden = self._conditions_out.of(F.silu(hidden + whole[:, None]).flatten(0, 1))
        return hidden + F.embedding(previous + self._offsets, self._codes).sum(dim=1)

    def _listen(self, mix: Tensor, heard: Mask) -> Tensor:
        """See `ConditionEncoder.listen`."""
        levels = compress(mix, heard)
        relative = self._relative(levels[..., :-1])
        logits = self._ear_out.of(F.silu(self._ear_hidden.of(relative.flatten(0, -2))))
        return told(levels, chances(logits.view(*relative.shape[:-1], -1), heard))


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
        half = self._cos.shape[-1] // 2
        swapped = torch.cat((heads[..., half:], heads[..., :half]), dim=-1)
        heads.mul_(self._cos).addcmul_(swapped, self._sin)


class _Layer(nn.Module):
    """A `Block`, for single steps."""

    def __init__(self, block: nn.Module, weights: Weights, num_heads: int) -> None:
        super().__init__()
        assert isinstance(block, Block)
        self._num_heads = num_heads
        self._attention_norm, self._mlp_norm = _Norm(block.attention_norm), _Norm(block.mlp_norm)
        self._query_key_value = _product(block.attention.query_key_value, weights)
        self._attention_out = _product(block.attention.out, weights)
        self._gate_and_up = _product(block.mlp.gate_and_up, weights)
        self._mlp_out = _product(block.mlp.out, weights)

    def forward(self, hidden: Tensor, layer: int, past: OneStep, turn: _Turn) -> None:
        """Change the residual stream [B, dim] in place."""
        heads = self._query_key_value.of(self._attention_norm.of(hidden)).unflatten(1, (3 * self._num_heads, -1))
        turn.turn(heads[:, : 2 * self._num_heads])  # queries and keys
        self._attention_out.add_to(hidden, past.attend(layer, heads))
        gate, up = self._gate_and_up.of(self._mlp_norm.of(hidden)).chunk(2, dim=-1)
        self._mlp_out.add_to(hidden, F.silu(gate).mul_(up))


class _Norm:
    def __init__(self, norm: nn.LayerNorm) -> None:
        self._shape, self._weight, self._eps = norm.normalized_shape, norm.weight.detach(), norm.eps

    def of(self, hidden: Tensor) -> Tensor:
        return torch.layer_norm(hidden, self._shape, self._weight, None, self._eps)


def _product(linear: nn.Linear, weights: Weights) -> Product:
    if weights == "float32":
        return FloatProduct(linear.weight, linear.bias)
    return (MixedProduct if MixedProduct.fits(linear.weight) else Int8Product)(linear.weight, linear.bias)
