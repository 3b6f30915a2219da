"""The table of where a session's milliseconds go: each is counted once."""

import numpy as np
import pytest

from experiments.live_budget import BUFFER_MS, FRAME_MS, parts, rows
from experiments.live_server import RATE
from gigmate.live.client_outcome import Outcome
from gigmate.live.messages import Plan

FACTS = {"latency_samples": 720, "sample_rate": 24_000}


def test_what_beats_take_is_told_apart_from_waiting_and_counted_once() -> None:
    """The tracker looks anew each tenth frame: 9 ms then, 1 ms else; .5 ms pass before."""
    hears_s = [0.009 if frame % 10 == 9 else 0.001 for frame in range(100)]
    calls = [{"type": "call", "step_s": 0.008, "waited_s": hear_s + 0.0005, "hear_s": hear_s} for hear_s in hears_s]
    opening = {"type": "call", "step_s": 0.5, "waited_s": None, "hear_s": 0.0}
    outcome = Outcome(RATE, np.zeros(0, np.float32), np.zeros(0, bool), rtt_s=[0.01])
    outcome.plans = [Plan(lookahead_ms=-200.0, chunk_frames=1, mode="ahead")]
    outcome.slack_s, outcome.starts = [0.125, 0.9], [11 * RATE, RATE]  # the second before the path was known
    measured = parts(outcome, [{"type": "open", "facts": FACTS}, opening, *calls], [0.002] * 5)
    ms = {part.name: part.ms for part in measured}
    assert ms["queue"] == pytest.approx((0.5, 0.5, 0.5))
    assert ms["beats"] == pytest.approx((1, 9, 9))
    assert ms["model"] == pytest.approx((6, 6, 6))
    assert ms["whole path without buffer"] == pytest.approx((75, 75, 75))
    (total,) = (row for row in rows(measured, 200.0) if row["part"] == "sum")
    assert float(total["p95, ms"]) == pytest.approx(FRAME_MS + 10 + 0.5 + 9 + 2 + 6 + 30 + BUFFER_MS)
