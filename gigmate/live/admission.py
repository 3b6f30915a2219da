"""How many sessions this machine holds: steps of growing batches, and beats, are timed before anybody is let in."""

import time
from collections.abc import Callable

import numpy as np

from gigmate.live.beat_source import BeatSource
from gigmate.live.beats import TrackerBeats
from gigmate.live.frames import EngineFacts, FrameEngine, FrameRequest, SlotSettings

MOST = 8
"""Sessions that are tried."""

SHARE = 0.7
"""Of a frame that a step and its sessions' beats may take: the rest is for resampling, the loop, and slower steps."""

_CALLS = 25  # half a second of music
_PAST_FRAMES, _BEATS_FRAMES = 600, 100  # what a tracker remembers, and ten times that it looks for another beat
_FRAMES_PER_BEAT = 25


def sessions_held(
    engine: FrameEngine, beats: BeatSource | None = None, clock: Callable[[], float] = time.perf_counter
) -> int:
    """The largest number of sessions, up to the engine's slots, that `SHARE` of a frame is enough for; at least 1.

    Counted are the median step of their batch and, one session after the other, the mean time that beats take.

    Args:
        engine: warm, with no slot open; it has none when this returns.
        beats: a session's source, new; None: the tracker, which is what a client gets that asks for nothing.
        clock: seconds.
    """
    facts = engine.facts
    request = FrameRequest(
        mix=np.zeros(facts.hop, np.float32),
        beats=np.zeros(facts.beat_features, np.float32),
        lookahead_frames=facts.min_lookahead_frames,
    )
    slots: list[int] = []
    beats_s = _mean_beats_s(beats or TrackerBeats(facts.sample_rate, facts.sample_rate), facts, clock)
    limit_s = SHARE * facts.hop / facts.sample_rate
    try:
        while len(slots) < facts.capacity:
            slots.append(engine.open(SlotSettings(facts.instruments[0], facts.min_lookahead_frames, 0)))
            step_s = _median_step_s(engine, dict.fromkeys(slots, request), clock)
            if step_s + len(slots) * beats_s > limit_s:
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


def _mean_beats_s(beats: BeatSource, facts: EngineFacts, clock: Callable[[], float]) -> float:
    """Of a frame of music with a beat: in silence there is nothing to look for."""
    hit = np.random.default_rng(0).uniform(-0.5, 0.5, facts.hop).astype(np.float32)
    start_s = clock()
    for frame in range(_PAST_FRAMES + _BEATS_FRAMES):
        if frame == _PAST_FRAMES:
            start_s = clock()
        beats.push(hit if frame % _FRAMES_PER_BEAT == 0 else np.zeros_like(hit), frame)
    return (clock() - start_s) / _BEATS_FRAMES
