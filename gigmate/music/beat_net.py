"""A small network that hears where beats and downbeats lie, from what is around them on both sides.

levels, chroma [F, 52] at 100 Hz ──> half the rate ──> 10 dilated residual convolutions, +-20 s wide ──> beat, downbeat

It runs in numpy: the live server has no torch in the process that hears. `experiments.fit_beat_net` trains it, with the
same layers in torch and a batch normalisation that is folded into the weights here.
Source: Davies and Boeck 2019, Temporal convolutional networks for musical audio beat tracking, for the dilated
convolutions over spectra and the two activations.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

SHIPPED = Path(__file__).parents[1] / "weights" / "beats.safetensors"
"""The weights that come with the package."""

NUM_INPUTS = 52
"""40 levels and 12 pitch classes, as `gigmate.music.onsets.Ear` hears them."""

STRIDE = 2
"""Frames of the ear for one of the network, which lies between them."""

KERNEL = 3
"""Of the dilated convolutions; the i-th is dilated 2 ** i frames."""

CHROMA_SCALE = 100.0
"""Chroma are taken as log1p of so much of them."""

_ONE_THREAD = 1 << 18  # multiplications: OpenBLAS takes more threads for more
_MOST = 6.0  # a logit says no more: a single frame can't decide

Weights = Mapping[str, NDArray[np.float32]]
"""`enter.weight` [2 * STRIDE * inputs, C], of block i `i.near.weight` [KERNEL * C, C] and `i.mix.weight` [C, C],
`leave.weight` [C, 2]; to each a `bias`."""


def hear_beats(levels: NDArray[np.float32], chroma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits [2, F] of beat and downbeat by the weights that ship, within +-6.

    Args:
        levels: [40, F] of `Ear.hear`, about 100 frames a second.
        chroma: [12, F] of the same.
    """
    logits = np.clip(beat_logits(_shipped(), levels, chroma), -_MOST, _MOST)
    return np.repeat(logits, STRIDE, axis=1)[:, : levels.shape[1]]


def beat_logits(weights: Weights, levels: NDArray[np.float32], chroma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits [2, ceil(F / STRIDE)] of the same."""
    heard = np.concatenate([levels, np.log1p(CHROMA_SCALE * chroma)]).T
    padded = np.pad(heard, ((STRIDE // 2, STRIDE // 2 + -len(heard) % STRIDE), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * STRIDE, axis=0)[::STRIDE]  # [F', inputs, taps]
    hidden = _affine(windows.transpose(0, 2, 1).reshape(len(windows), -1), weights, "enter")
    for block in range(sum(name.endswith("near.weight") for name in weights)):
        near = np.maximum(_dilated(hidden, weights, f"{block}.near", 2**block), 0.0)
        hidden = hidden + _affine(near, weights, f"{block}.mix")
    return _affine(hidden, weights, "leave").T


def _affine(x: NDArray[np.float32], weights: Weights, name: str) -> NDArray[np.float32]:
    return _product(x, weights[f"{name}.weight"]) + weights[f"{name}.bias"]


def _dilated(x: NDArray[np.float32], weights: Weights, name: str, dilation: int) -> NDArray[np.float32]:
    """A convolution of x [F, C] whose taps are `dilation` frames apart, zero beyond the ends."""
    before, here, after = np.split(weights[f"{name}.weight"], KERNEL)
    result = _product(x, here) + weights[f"{name}.bias"]
    result[dilation:] += _product(x[:-dilation], before)
    result[:-dilation] += _product(x[dilation:], after)
    return result


def _product(x: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of x times the weight, in blocks so small that OpenBLAS leaves them to one thread.

    Two threads spin while they wait for each other: beside a decoder that needs the cores this took six times as long.
    """
    result, rows = np.empty((len(x), weight.shape[1]), np.float32), max(1, _ONE_THREAD // weight.size)
    for start in range(0, len(x), rows):
        np.matmul(x[start : start + rows], weight, out=result[start : start + rows])
    return result


@cache
def _shipped() -> Weights:
    return {name: value.astype(np.float32) for name, value in load_file(SHIPPED).items()}
