"""Programs that torch's tracing makes of modules: many small operations without Python between them.

Python takes a third of the time of small operations to call them one by one; traced once, torch's own interpreter does,
without a compiler and within a few tenths of a second. Sizes may be others than when it was traced, so long as nothing
in the module turns one into a number of Python.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Program = Callable[..., Tensor]

CAN_TRACE = sys.version_info < (3, 14)
"""torch's tracing is said not to work beyond."""

_WARM_UPS = 3
"""Runs after which the interpreter has settled."""


def traced(module: nn.Module, given: tuple[Tensor, ...], *, is_frozen: bool = True) -> Program:
    """The program of a module, which is run a few times with these tensors: it has to come to the same every time.

    Args:
        module: in eval mode from here on.
        given: what its `forward` takes.
        is_frozen: what depends on weights alone is worked out once and kept. False for modules whose weights are
            converted at each use to be read in fewer bytes.
    """
    make: Any = torch.jit
    with warnings.catch_warnings():
        # torch.compile, its successor, wants a compiler; sizes that become constants are the caller's affair
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", make.TracerWarning)
        program = make.trace(module.eval(), given, check_trace=False)
        if is_frozen:
            program = make.freeze(program)
    for _ in range(_WARM_UPS):
        program(*given)
    return program
