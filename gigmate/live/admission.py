"""How many sessions this machine holds: steps of growing batches are timed before anybody is let in."""

import time
from collections.abc import Callable

import numpy as np

from gigmate.live.frames import FrameEngine, FrameRequest, SlotSettings

MOST = 8
"""Sessions that are tried."""

SHARE = 0.6
"""Of a frame that a step may take: the rest is for beats, resampling, the server's loop, and for slower steps."""

_CALLS = 25  # half a second of music


def sessions_held(engine: FrameEngine, clock: Callable[[], float] = time.perf_counter) -> int:
    """The largest number of sessions, up to the engine's slots, whose median step takes `SHARE` of a frame; at least 1.

    Args:
        engine: warm, with no slot open; it has none when this returns.
        clock: seconds.
    """
    facts = engine.facts
    request = FrameRequest(
        mix=np.zeros(facts.hop, np.float32),
        beats=np.zeros(facts.beat_features, np.float32),
        lookahead_frames=facts.min_lookahead_frames,
    )
    slots: list[int] = []
    limit_s = SHARE * facts.hop / facts.sample_rate
    try:
        while len(slots) < facts.capacity:
            slots.append(engine.open(SlotSettings(facts.instruments[0], facts.min_lookahead_frames, 0)))
            if _median_step_s(engine, dict.fromkeys(slots, request), clock) > limit_s:
                return max(1, len(slots) - 1)
        return len(slots)
    finally:
        for slot in slots:
            engine.close(slot)


def _median_step_s(engine: FrameEngine, requests: dict[int, FrameRequest], clock: Callable[[], float]) -> float:
    took_s = []
    for _ in range(_CALLS):
        start_s = clock()
        engine.step(requests)
        took_s.append(clock() - start_s)
    return float(np.median(took_s))
