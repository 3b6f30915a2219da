"""As many sessions are let in as steps of their batch leave room for."""

import time
from collections.abc import Mapping

import numpy as np
import pytest
from live_echo_worker import FACTS
from numpy.typing import NDArray

from gigmate.live.admission import SHARE, sessions_held
from gigmate.live.beats import TempoBeats
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


class Ear(TempoBeats):
    """Beats that take `beats_s` of a machine's time in each frame on the average, all of it in the tenth."""

    def __init__(self, machine: Machine, beats_s: float) -> None:
        super().__init__()
        self._machine, self._beats_s = machine, beats_s

    def push(self, wave: NDArray[np.float32], frame_index: int) -> None:
        assert wave.shape == (FACTS.hop,)
        self._machine.now_s += 10 * self._beats_s * (frame_index % 10 == 9)


@pytest.mark.parametrize(
    ("alone", "more", "held"),
    [(0.25, 0.1, FACTS.capacity), (0.45, 0.15, 2), (0.69, 0.1, 1), (0.71, 0.0, 1), (9.0, 9.0, 1)],
)
def test_the_largest_batch_that_leaves_room_is_taken(alone: float, more: float, held: int) -> None:
    """In shares of a frame; a step that was held up doesn't count, and one session is always let in."""
    assert SHARE == 0.7
    machine = Machine(alone * FRAME_S, more * FRAME_S)
    assert sessions_held(machine, Ear(machine, 0.0), lambda: machine.now_s) == held
    assert machine.opened == set()


@pytest.mark.parametrize(("beats", "held"), [(0.0, 3), (0.01, 3), (0.05, 2), (0.2, 1), (1.0, 1)])
def test_beats_are_tracked_for_one_session_after_the_other(beats: float, held: int) -> None:
    """Steps of .3, .45, .6 and .75 of a frame: what beats take is added for each session."""
    machine = Machine(0.3 * FRAME_S, 0.15 * FRAME_S)
    assert sessions_held(machine, Ear(machine, beats * FRAME_S), lambda: machine.now_s) == held


def test_the_tracker_counts_if_nobody_says_what_beats_there_are() -> None:
    """Steps that leave .01 of a frame: room for all, but not for what four trackers really take."""
    machine = Machine(0.69 * FRAME_S, 0.0)
    assert sessions_held(machine, Ear(machine, 0.0), lambda: machine.now_s) == FACTS.capacity
    assert sessions_held(machine, clock=lambda: machine.now_s + time.thread_time()) < FACTS.capacity
