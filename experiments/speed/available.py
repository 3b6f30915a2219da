"""Peers come from packages that may be missing or too new: what can't be had is left out, not the whole run."""

import logging
from collections.abc import Callable, Mapping

from experiments.speed.peers import Step

NOT_SHOWN = "not shown"
"""Stands in a table where something would have to be there."""

_LOG = logging.getLogger(__name__)


def available(makers: Mapping[str, Callable[[], Step]]) -> dict[str, Step]:
    """The players that can be had, each tried with a step; of the others a warning says why."""
    steps: dict[str, Step] = {}
    for name, make in makers.items():
        try:
            step = make()
            step()
        except Exception as error:  # whatever a foreign package trips over: its figures are not shown
            _LOG.warning("%s can't be had: %s: %s", name, type(error).__name__, error)
        else:
            steps[name] = step
    return steps
