"""What a session tells its player beside the stem: the beat, the plan, how it goes."""

import math

from gigmate.live.messages import Beat, Plan, Stats
from gigmate.live.scheduler import Schedule
from gigmate.live.session import LiveSession

_STATS_S = 1.0
_MOVED_S = 0.02  # by so much a beat moves before it is announced again


class Announcer:
    """Watches one session.

    Args:
        session: which.
        now_s: the clock's time.
    """

    def __init__(self, session: LiveSession, now_s: float) -> None:
        self._session = session
        self._stats_s = now_s
        self._beat_s = -math.inf
        self._schedule = session.schedule

    def news(self, now_s: float, num_sessions: int) -> list[Plan | Beat | Stats]:
        """What there is to say now."""
        news: list[Plan | Beat | Stats] = []
        if self._session.schedule != self._schedule:
            self._schedule = self._session.schedule
            news.append(plan(self._session))
        if (beat := self._next_beat()) is not None:
            news.append(beat)
        if now_s - self._stats_s >= _STATS_S:
            self._stats_s = now_s
            news.append(self._stats(num_sessions))
        return news

    def _next_beat(self) -> Beat | None:
        """The beat after the session's present, once, and again if it moves."""
        session, grid = self._session, self._session.grid
        if grid is None:
            return None
        now_s = session.now_s
        phase = float(grid.beat_phase(now_s))
        bpm = float(grid.tempo_bpm(now_s))
        next_s = now_s + (math.floor(phase) + 1 - phase) * 60 / bpm
        if abs(next_s - self._beat_s) < _MOVED_S:
            return None
        self._beat_s = next_s
        in_bar = round(float(grid.bar_phase(next_s)) % 1 * grid.beats_per_bar) % grid.beats_per_bar
        return Beat(
            sample_index=max(0, round(next_s * session.settings.sample_rate)),
            bpm=min(1000.0, max(1.0, bpm)),
            beats_per_bar=grid.beats_per_bar,
            beat_in_bar=in_bar,
            confidence=session.beats.confidence,
            source=session.beats.name,
        )

    def _stats(self, num_sessions: int) -> Stats:
        session, meter = self._session, self._session.meter
        return Stats(
            in_time=meter.in_time,
            late_frames=meter.num_late,
            dropped_frames=session.num_dropped,
            step_p50_ms=_ms(meter.steps_s.quantile(0.5)),
            step_p95_ms=_ms(meter.steps_s.quantile(0.95)),
            staleness_ms=session.schedule.lag_frames * session.frames.frame_s * 1000,
            level_in_db=_db(session.power_in),
            level_out_db=_db(session.power_out),
            sessions=num_sessions,
        )


def plan(session: LiveSession) -> Plan:
    """The session's schedule, as it is told."""
    schedule: Schedule = session.schedule
    return Plan(
        lookahead_ms=schedule.lookahead_frames * session.frames.frame_s * 1000,
        chunk_frames=schedule.chunk_frames,
        mode=schedule.mode,
        bars=schedule.bars,
        reason=schedule.reason,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _db(power: float) -> float | None:
    """None for silence."""
    return round(10 * math.log10(power), 1) if power > 1e-12 else None
