"""The engine with the weights that ship: what its laws are worth at full size, and what a batch saves."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from live_players import HOP, RATE, Part, calls, play_together
from numpy.typing import NDArray
from reporting import Report

from gigmate.accompanist import Accompanist
from gigmate.live.engine import Engine
from gigmate.live.frames import FrameRequest, SlotSettings
from gigmate.model.streams import codes_of
from gigmate.music.band import compose, render_song
from gigmate.music.grid import BeatGrid
from gigmate.performance import Take, hearing_gain
from gigmate.stopwatch import Stopwatch

SECONDS, L = 10, -20
GRID = BeatGrid.from_tempo(112, 4, SECONDS + 10)
DRUMS = SlotSettings("drums", L, seed=5)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def player() -> Accompanist:
    return Accompanist.load()


@pytest.fixture(scope="module")
def mix() -> NDArray[np.float32]:
    """[frames, HOP] of a practice song without its drums."""
    stems = render_song(compose(4_000_003, SECONDS), HOP * RATE)
    song = np.stack([stem for name, stem in stems.items() if name != "drums"]).sum(axis=0)
    return (song * hearing_gain(song[None]))[: SECONDS * RATE * HOP].reshape(-1, HOP)


@pytest.fixture(scope="module")
def alone(player: Accompanist, mix: NDArray[np.float32]) -> Part:
    return Part(Engine(player, 4), DRUMS).play(*calls(mix, L, GRID))


def test_live_is_offline_token_for_token(
    player: Accompanist, mix: NDArray[np.float32], alone: Part, report: Report
) -> None:
    power = player.hear(torch.from_numpy(mix.reshape(1, 1, -1)))
    take, num_frames = Take(DRUMS.instrument, L / RATE, DRUMS.seed, DRUMS.guidance), len(mix) - L
    offline = codes_of(player.play(num_frames, take, Stopwatch(), power=power, grid=GRID), player.model.config)[
        0
    ].numpy()
    whole = num_frames - 3  # the beats beyond the end of the piece are unknown offline
    differing = int((alone.codes[:, :whole] != offline[:, :whole]).any(axis=0).sum())
    report("p16_live_engine_frames_unlike_offline", differing, "frames")
    assert differing == 0


def test_a_batch_of_four_plays_what_one_plays(
    player: Accompanist, mix: NDArray[np.float32], alone: Part, report: Report
) -> None:
    engine = Engine(player, 4)
    parts = [Part(engine, replace(DRUMS, instrument=name)) for name in ("bass", "keys", "lead", "drums")]
    play_together(parts, [calls(mix, L, GRID) for _ in parts])
    differing = int((parts[3].codes != alone.codes).any(axis=0).sum())
    report("p21_live_engine_frames_unlike_alone", differing, "frames")
    assert differing == 0
    assert np.abs(parts[3].wave - alone.wave).max() < 1e-4


def test_four_in_a_batch_take_half_of_what_four_alone_take(
    player: Accompanist, mix: NDArray[np.float32], report: Report
) -> None:
    """In CPU time of this thread, so that other programs of the machine don't count."""
    engine, single = Engine(player, 4), Engine(player, 1)
    slots, own = [engine.open(DRUMS) for _ in range(4)], single.open(DRUMS)
    (request, *_) = [request for request in calls(mix, L, GRID) if request.mix is not None]
    together: list[float] = []
    one: list[float] = []
    for number in range(600):
        together.append(cpu_s(engine.step, dict.fromkeys(slots, request)))
        one.append(cpu_s(single.step, {own: request}))
        if number == 99:  # from here on the past is long, as in a session
            together.clear()
            one.clear()
    gain = 4 * float(np.median(one)) / float(np.median(together))
    report("p1_live_step_cpu_ms", round(1000 * float(np.median(one)), 2), "ms")
    report("p1_live_step_of_four_cpu_ms", round(1000 * float(np.median(together)), 2), "ms")
    report("p1_live_four_alone_to_batch", round(gain, 2), "x")
    assert gain >= 2.0


def cpu_s(
    step: Callable[[dict[int, FrameRequest]], object],
    requests: dict[int, FrameRequest],
) -> float:
    start_s = time.thread_time()
    step(requests)
    return time.thread_time() - start_s
