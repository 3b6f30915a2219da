"""Which lookahead is chosen: the least that is in time, and when it is chosen again."""

from dataclasses import replace

import numpy as np
import pytest

from gigmate.live.scheduler import Budget, Schedule, Scheduler, choose

RATE, RANGE = 50.0, (-50, -1)
LAN = Budget(
    capture_s=0.0,
    network_s=0.015,
    stalls_s=0.005,
    queue_s=0.002,
    compute_p95_s=(0.008, 0.016, 0.024, 0.032),
    codec_s=0.031,
    buffer_s=0.04,
    device_s=0.02,
)


def path_s(budget: Budget, chunk_frames: int) -> float:
    """The sum, written out."""
    ways_s = budget.capture_s + budget.network_s + budget.stalls_s + budget.queue_s
    fixed_s = ways_s + budget.codec_s + budget.buffer_s + budget.device_s
    return fixed_s + budget.compute_p95_s[chunk_frames - 1] + chunk_frames / RATE


@pytest.mark.parametrize("network_s", [0.003, 0.02, 0.1, 0.3, 0.6, 0.8])
def test_the_least_lookahead_in_time_is_taken(network_s: float) -> None:
    budget = replace(LAN, network_s=network_s)
    schedule = choose(budget, RANGE, RATE)
    assert schedule.mode == "ahead"
    assert schedule.chunk_frames == 1
    assert -schedule.lookahead_frames / RATE >= path_s(budget, 1) - 1e-9
    assert (-schedule.lookahead_frames - 1) / RATE < path_s(budget, 1)


def test_steps_that_are_slow_now_and_then_are_made_in_larger_portions() -> None:
    spiky = replace(LAN, compute_p95_s=(0.03, 0.038, 0.046, 0.054))
    schedule = choose(spiky, RANGE, RATE)
    assert schedule.chunk_frames == 2
    assert -schedule.lookahead_frames / RATE >= path_s(spiky, 2) - 1e-9


def test_a_machine_that_is_too_slow_is_named() -> None:
    slow = replace(LAN, compute_p95_s=(0.03, 0.06, 0.09, 0.12))
    assert "too slow" in choose(slow, RANGE, RATE).reason


def test_no_lookahead_is_chosen_that_wasnt_trained() -> None:
    assert choose(replace(LAN, network_s=0.0), (-50, -20), RATE).lookahead_frames == -20
    assert choose(replace(LAN, network_s=0.86), RANGE, RATE).lookahead_frames == -50


@pytest.mark.parametrize(("network_s", "bar_s"), [(1.0, 2.0), (1.5, 2.0), (2.5, 1.6), (9.0, 2.4)])
def test_beyond_the_trained_range_the_mix_is_whole_bars_late(network_s: float, bar_s: float) -> None:
    budget = replace(LAN, network_s=network_s)
    schedule = choose(budget, RANGE, RATE, bar_s)
    assert schedule.mode == "bars"
    assert schedule.delay_frames == round(schedule.bars * bar_s * RATE)
    assert RANGE[0] <= schedule.lookahead_frames <= -1
    assert schedule.lag_frames / RATE >= path_s(budget, 1) - 1e-9
    fewer = round((schedule.bars - 1) * bar_s * RATE)
    assert (fewer - RANGE[0]) / RATE < path_s(budget, 1), "fewer bars would not have done"


def test_stalls_alone_are_met_by_the_largest_lookahead_and_not_by_bars() -> None:
    stalling = replace(LAN, stalls_s=2.0)
    assert (choose(stalling, RANGE, RATE).mode, choose(stalling, RANGE, RATE).lookahead_frames) == ("ahead", -50)
    scheduler, current = Scheduler(RANGE, RATE), choose(LAN, RANGE, RATE)
    seen = run(scheduler, current, stalling, 0.0, 5.0)
    assert {schedule.lookahead_frames for schedule in seen} == {-50}


def test_in_bars_the_least_of_the_lookahead_that_pays_for_the_rest_is_taken() -> None:
    for network_s in (1.0, 1.5, 1.9, 2.2):
        schedule = choose(replace(LAN, network_s=network_s), RANGE, RATE)
        rest_s = path_s(replace(LAN, network_s=network_s), 1) - schedule.delay_frames / RATE
        assert -schedule.lookahead_frames == max(1, round(np.ceil(rest_s * RATE - 1e-9)))


def run(scheduler: Scheduler, current: Schedule, budget: Budget, start_s: float, seconds: float) -> list[Schedule]:
    """The schedules of a span, reviewed four times a second."""
    seen = []
    for i in range(round(seconds * 4)):
        current = scheduler.review(current, budget, 2.0, start_s + i / 4)
        seen.append(current)
    return seen


def test_a_worse_path_is_answered_at_once_and_a_better_one_when_it_lasts() -> None:
    scheduler, first = Scheduler(RANGE, RATE), choose(LAN, RANGE, RATE)
    worse = replace(LAN, network_s=0.17)
    seen = run(scheduler, first, worse, 0.0, 5.0)
    assert all(schedule == choose(worse, RANGE, RATE) for schedule in seen)
    seen = run(scheduler, seen[-1], LAN, 5.0, 20.0)
    assert seen[:30] == [seen[0]] * 30
    assert seen[-1] == first


def test_a_path_that_trembles_changes_nothing() -> None:
    scheduler, current = Scheduler(RANGE, RATE), choose(replace(LAN, network_s=0.03), RANGE, RATE)
    changes = 0
    for i in range(400):
        budget = replace(LAN, network_s=0.02 + 0.01 * (i % 5) / 4)
        following = scheduler.review(current, budget, 2.0, i / 4)
        changes += following != current
        current = following
    assert changes == 0


def test_bars_follow_the_tempo_only_when_it_has_moved() -> None:
    far = replace(LAN, network_s=1.5)
    scheduler, current = Scheduler(RANGE, RATE), choose(far, RANGE, RATE, 2.0)
    assert scheduler.review(current, far, 2.02, 0.0) == current
    assert scheduler.review(current, far, 2.4, 1.0).delay_frames == 120


def test_out_of_bars_when_the_path_is_short_again() -> None:
    far = replace(LAN, network_s=1.5)
    scheduler, current = Scheduler(RANGE, RATE), choose(far, RANGE, RATE, 2.0)
    assert run(scheduler, current, LAN, 0.0, 12.0)[-1] == choose(LAN, RANGE, RATE)
