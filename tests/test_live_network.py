"""Sessions over the networks of `gigmate.live.network_proxy`, in time that only the test passes."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from live_fakes import PLAIN, RATE, Desk
from reporting import Report

from gigmate.live.network_proxy import PROFILES, Profile
from gigmate.live.scheduler import Schedule

BLOCK_S, BUFFER_S, STEP_S, PING_S = 0.02, 0.06, 0.008, 1.0
LEARNT_S = 10.0
BAR_S = 2.0
LATE_SHARE = 0.0005


@dataclass
class Played:
    """What a player got, by message."""

    due_s: list[float] = field(default_factory=list)
    """Of the song."""
    slack_s: list[float] = field(default_factory=list)
    schedules: list[Schedule] = field(default_factory=list)

    def late_share(self, start_s: float) -> float:
        """Of the messages that are due from `start_s` on."""
        return float(np.mean(np.array(self.slack_s)[np.array(self.due_s) >= start_s] < 0))

    def last_late_s(self) -> float:
        """When the last late message was due."""
        return max((due_s for due_s, slack_s in zip(self.due_s, self.slack_s, strict=True) if slack_s < 0), default=0.0)


@dataclass
class Link:
    """A client and its network: TCP keeps the order, so what is slow holds up what follows.

    Args:
        profile: of the network.
        seed: of its delays.
        step_at_s: from then on a round trip takes `step_s` more.
        step_s: see there.
    """

    profile: Profile
    seed: int
    step_at_s: float = np.inf
    step_s: float = 0.0
    _here_s: float = 0.0
    _there_s: float = 0.0

    def _one_way_s(self, now_s: float) -> float:
        return (self.profile.round_trip_s(self.seed, now_s) + self.step_s * (now_s >= self.step_at_s)) / 2

    def to_server(self, now_s: float) -> float:
        """When it arrives."""
        self._there_s = max(self._there_s, now_s + self._one_way_s(now_s))
        return self._there_s

    def to_client(self, now_s: float) -> float:
        """When it arrives."""
        self._here_s = max(self._here_s, now_s + self._one_way_s(now_s))
        return self._here_s

    def play(self, seconds: float) -> Played:
        """A session with the lookahead that the scheduler picks."""
        desk = Desk(replace(PLAIN, lookahead_ms=None, buffer_ms=1000 * BUFFER_S), step_s=STEP_S)
        desk.work()  # the opening is made before the welcome
        played, start_s, block = Played(), desk.clock.now_s, np.full(round(BLOCK_S * RATE), 0.1, np.float32)
        pings: list[tuple[float, float]] = []
        for number in range(1, round(seconds / BLOCK_S) + 1):
            sent_s = number * BLOCK_S
            desk.clock.now_s = max(desk.clock.now_s, start_s + self.to_server(sent_s))
            if number % round(PING_S / BLOCK_S) == 1:
                if known := [rtt_s for here_s, rtt_s in pings if here_s <= sent_s]:
                    desk.session.meter.round_trip(known[-1], desk.clock.now_s)
                here_s = self.to_client(desk.clock.now_s - start_s)
                pings.append((here_s, here_s - sent_s))
            desk.push(block)
            num_out = len(desk.out)
            desk.work()
            for audio, out_s in zip(desk.out[num_out:], desk.out_s[num_out:], strict=True):
                due_s = audio.sample_index / RATE
                played.due_s.append(due_s)
                played.slack_s.append(due_s - BUFFER_S - self.to_client(out_s - start_s))
            played.schedules.append(desk.session.schedule)
        return played


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lan", "broadband", "wifi", "lte"])
def test_what_the_scheduler_picks_is_in_time(name: str, report: Report) -> None:
    played = [Link(PROFILES[name], seed).play(300) for seed in range(3)]
    late = [one.late_share(LEARNT_S) for one in played]
    lag_ms = 1000 * BLOCK_S * np.median([schedule.lag_frames for one in played for schedule in one.schedules])
    report(f"p1_late_{name}", round(100 * float(np.mean(late)), 4), f"% of the frames, {lag_ms:.0f} ms ahead")
    assert np.mean(late) <= LATE_SHARE
    assert all(np.mean([schedule.mode == "ahead" for schedule in one.schedules]) > 0.99 for one in played)


@pytest.mark.parametrize("name", ["lan", "broadband"])
def test_a_minute_is_in_time(name: str) -> None:
    assert Link(PROFILES[name], 3).play(60).late_share(LEARNT_S) <= LATE_SHARE


@pytest.mark.parametrize("name", ["lan", "broadband", "wifi", "lte"])
def test_a_path_that_gets_longer_is_in_time_again_within_two_bars(name: str) -> None:
    played = Link(PROFILES[name], 5, step_at_s=20.0, step_s=0.15).play(30)
    assert played.last_late_s() <= 20.0 + 2 * BAR_S
    assert played.schedules[-1].lag_frames > played.schedules[round(19 / BLOCK_S)].lag_frames
