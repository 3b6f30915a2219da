"""As many sessions are let in as steps of their batch leave room for."""

from collections.abc import Mapping

import numpy as np
import pytest
from live_echo_worker import FACTS
from numpy.typing import NDArray

from gigmate.live.admission import SHARE, sessions_held
from gigmate.live.frames import FrameRequest, SlotSettings

FRAME_S = FACTS.hop / FACTS.sample_rate


class Machine:
    """An engine whose step takes `alone_s`, and `more_s` for each further row; every ninth one is held up."""

    facts = FACTS

    def __init__(self, alone_s: float, more_s: float) -> None:
        self._alone_s, self._more_s, self._num_steps = alone_s, more_s, 0
        self.now_s, self.opened = 0.0, set[int]()

    def open(self, settings: SlotSettings) -> int:
        settings.check(self.facts)
        slot = min(set(range(self.facts.capacity)) - self.opened)
        self.opened.add(slot)
        return slot

    def close(self, slot: int) -> None:
        self.opened.remove(slot)

    def set(self, slot: int, settings: SlotSettings) -> None:
        raise AssertionError

    def step(self, requests: Mapping[int, FrameRequest]) -> dict[int, NDArray[np.float32] | None]:
        for request in requests.values():
            request.check(self.facts)
        self._num_steps += 1
        self.now_s += self._alone_s + self._more_s * (len(requests) - 1) + FRAME_S * (self._num_steps % 9 == 0)
        return {}

    def codes(self, slot: int) -> NDArray[np.int64] | None:
        raise AssertionError


@pytest.mark.parametrize(
    ("alone", "more", "held"),
    [(0.25, 0.1, FACTS.capacity), (0.4, 0.11, 2), (0.59, 0.1, 1), (0.61, 0.0, 1), (9.0, 9.0, 1)],
)
def test_the_largest_batch_that_leaves_room_is_taken(alone: float, more: float, held: int) -> None:
    """In shares of a frame; a step that was held up doesn't count, and one session is always let in."""
    assert SHARE == 0.6
    machine = Machine(alone * FRAME_S, more * FRAME_S)
    assert sessions_held(machine, lambda: machine.now_s) == held
    assert machine.opened == set()
