"""What every streaming part promises, checked in one place."""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import pytest
import torch
from torch import Tensor

Inputs = tuple[Tensor, ...]
"""What goes in, each [B, T, ...]."""

ERRORS = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 3e-3, torch.bfloat16: 2e-2}
"""By how much what is computed step by step may differ from one pass over all, relative to the largest value."""

in_every_precision = pytest.mark.parametrize("dtype", ERRORS, ids=lambda dtype: str(dtype).removeprefix("torch."))


class Stream(Protocol):
    """A part with its state, of a fixed batch."""

    def push(self, inputs: Inputs) -> Tensor:
        """Inputs [B, n, ...] -> outputs [B, m, ...]."""
        ...

    def fork(self) -> "Stream":
        """A copy that goes its own way."""
        ...

    def reset(self) -> None:
        """Begin anew."""
        ...


def verify_stream_contract(
    offline: Callable[[Inputs], Tensor],
    new_stream: Callable[[int], Stream],
    inputs: Inputs,
    *,
    max_chunk: int,
    relative: float,
    latency: int = 0,
    seed: int = 0,
    poison: float = math.nan,
) -> float:
    """Prove that a stream equals the offline pass.

    Args:
        offline: inputs [B, T, ...] -> outputs [B, T, ...].
        new_stream: batch size -> a fresh stream.
        inputs: at least two rows; longer than any state holds, so that rings wrap.
        max_chunk: longest chunk that a stream takes.
        relative: largest difference to the offline output, relative to its largest value; 0 for equality.
        latency: outputs that are still missing when all inputs have gone in; the stream's first output is nevertheless
            the offline pass's first.
        seed: of the ragged chunks.
        poison: what fills the other rows while the first must not notice. NaN, unless the library's products multiply
            what lies behind a row by zero, as oneDNN's do in bfloat16 for inner sizes that 32 doesn't divide.

    Returns:
        The largest difference that was seen, relative as `relative`.
    """
    expected = offline(inputs)
    num_inputs = inputs[0].shape[1]
    ready = num_inputs - latency
    differences: list[float] = []

    def check(got: Tensor, want: Tensor, law: str) -> None:
        assert got.shape == want.shape, f"{law}: {tuple(got.shape)} instead of {tuple(want.shape)}"
        assert bool(torch.isfinite(got.double()).all()), f"{law}: not finite"
        difference = (got.double() - want.double()).abs().max() / want.double().abs().max()
        differences.append(float(difference))
        assert difference <= relative, f"{law}: off by {difference:.1e} of the peak, {relative:.0e} is allowed"

    ragged = _ragged_chunks(num_inputs, max_chunk, seed)
    for name, chunks in {"ones": [1] * num_inputs, "whole": _even(num_inputs, max_chunk), "ragged": ragged}.items():
        check(_run(new_stream(len(inputs[0])), inputs, chunks), expected[:, :ready], f"chunks of {name}")

    used = new_stream(len(inputs[0]))
    _run(used, tuple(part.flip(1) for part in inputs), ragged)
    used.reset()
    check(_run(used, inputs, ragged), expected[:, :ready], "after reset")

    half = len(ragged) // 2
    middle = sum(ragged[:half])
    first, second = (tuple(part[:, piece] for part in inputs) for piece in (slice(middle), slice(middle, None)))
    stream = new_stream(len(inputs[0]))
    begun = _run(stream, first, ragged[:half])
    fork = stream.fork()
    _run(stream, tuple(part.flip(1) for part in second), ragged[half:])  # must not disturb the fork
    check(torch.cat((begun, _run(fork, second, ragged[half:])), dim=1), expected[:, :ready], "fork")

    alone = _run(new_stream(1), tuple(part[:1] for part in inputs), ragged)
    check(alone, expected[:1, :ready], "a row alone")

    poisoned = tuple(_poison_rows_after_first(part, poison) for part in inputs)
    check(_run(new_stream(len(inputs[0])), poisoned, ragged)[:1], expected[:1, :ready], f"beside rows of {poison}")

    early = tuple(torch.cat((part[:, :middle], part[:, middle:].flip(1)), dim=1) for part in inputs)
    check(offline(early)[:, : middle - latency], expected[:, : middle - latency], "causality of the offline pass")
    return max(differences)


def _run(stream: Stream, inputs: Inputs, chunks: Sequence[int]) -> Tensor:
    outputs, start = [], 0
    for length in chunks:
        outputs.append(stream.push(tuple(part[:, start : start + length] for part in inputs)))
        start += length
    return torch.cat(outputs, dim=1)


def _even(total: int, chunk: int) -> list[int]:
    return [chunk] * (total // chunk) + ([total % chunk] if total % chunk else [])


def _ragged_chunks(total: int, max_chunk: int, seed: int) -> list[int]:
    generator, chunks = torch.Generator().manual_seed(seed), []
    while sum(chunks) < total:
        chunk = int(torch.randint(1, max_chunk + 1, (), generator=generator))
        chunks.append(min(chunk, total - sum(chunks)))
    return chunks


def _poison_rows_after_first(part: Tensor, poison: float) -> Tensor:
    if not part.is_floating_point():
        return part
    poisoned = part.clone()
    poisoned[1:] = poison
    return poisoned
