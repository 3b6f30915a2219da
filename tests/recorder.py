"""A CUDA graph without CUDA: records a step's operations and plays them back on the memory that they were done on."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "equal", "is_nonzero")
"""Operations that a GPU can't be asked for without waiting for it, or that bring numbers from the host: a graph can't
hold them."""


class _Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.name().removeprefix("aten::").split(".")[0], kwargs or {}
        assert name not in WAITS, f"a graph can't hold {name}"
        chosen = tree_leaves(args[1:]) if name in ("index", "index_put", "index_put_") else []
        assert not any(isinstance(part, Tensor) and part.dtype == torch.bool for part in chosen), f"{name} by a mask"
        out = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, out))
        return out


def record(work: Callable[[], None]) -> Callable[[], None]:
    """As `gigmate.device.captured`: no Python of the work is run again, and no tensor moves."""
    with _Recording() as recording:
        work()

    def play() -> None:
        for func, args, kwargs, out in recording.calls:
            for kept, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
                assert kept.shape == new.shape
                if kept.data_ptr() != new.data_ptr():  # else a view, or changed in place
                    kept.copy_(new)

    return play
