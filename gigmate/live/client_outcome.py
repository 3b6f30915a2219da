"""What came of a session of the reference client: the stem as a player would have heard it, and the figures."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gigmate.live.messages import Plan, Stats, Welcome

BUFFERS_MS = (0, 20, 60, 100, 200, 300)


@dataclass(frozen=True)
class Figures:
    """How a session went; 0 for what was never measured.

    Args:
        seconds: of song that were played.
        in_time: share of its samples whose stem was there when it was due.
        late_ms: stem that came too late, and was left out.
        underruns: how often the stem broke off, from its first sample on.
        late_share: of the messages, that come too late for a player who needs them so many ms before they are due.
        slack_p50_ms: how long before it was due a message came, median.
        slack_p05_ms: the same, exceeded by 95 % of the messages.
        rtt_p50_ms: round trip of a ping, median.
        rtt_p95_ms: its 95th percentile.
        step_p50_ms: what the server says of its steps.
        step_p95_ms: likewise.
        staleness_ms: likewise, of how old the newest of the song is that a stem sample was made from.
        lookahead_ms: by the last plan.
        mode: likewise.
        plans: how many plans there were.
        resumes: how often the connection was cut and the session went on.
        close_code: with which the socket closed; an HTTP status if it never opened.
        reason: likewise.
        session: the server's number for it, by which its record is found; 0 if there was no welcome.
    """

    seconds: float
    in_time: float
    late_ms: float
    underruns: int
    late_share: dict[int, float]
    slack_p50_ms: float
    slack_p05_ms: float
    rtt_p50_ms: float
    rtt_p95_ms: float
    step_p50_ms: float
    step_p95_ms: float
    staleness_ms: float
    lookahead_ms: float
    mode: str
    plans: int
    resumes: int
    close_code: int
    reason: str
    session: int


@dataclass
class Outcome:
    """The stem [N], where there is one, and what was measured."""

    sample_rate: int
    stem: NDArray[np.float32]
    is_there: NDArray[np.bool_]
    num_sent: int = 0
    num_late: int = 0
    slack_s: list[float] = field(default_factory=list)
    """How long before it was due a message came, for each that came while the song was played."""
    starts: list[int] = field(default_factory=list)
    """The first samples of these messages."""
    rtt_s: list[float] = field(default_factory=list)
    stats: Stats = field(default_factory=Stats)
    plans: list[Welcome | Plan] = field(default_factory=list)
    """In their order; the last one is in force."""
    num_resumes: int = 0
    close_code: int = 1006
    reason: str = ""

    def take(self, sample_index: int, wave: NDArray[np.float32], now: int | None) -> None:
        """Keep what of a message is in time.

        Args:
            sample_index: of its first sample.
            wave: [n].
            now: the song's sample that is being played; None: it hasn't begun.
        """
        if now is not None:
            self.slack_s.append((sample_index - now) / self.sample_rate)
            self.starts.append(sample_index)
        num_late = min(len(wave), max(0, (now or 0) - sample_index))
        self.num_late += num_late
        start = sample_index + num_late
        kept = wave[num_late : num_late + max(0, len(self.stem) - start)]
        self.stem[start : start + len(kept)] = kept
        self.is_there[start : start + len(kept)] = True

    def figures(self) -> Figures:
        """The measures as numbers."""
        played = self.is_there[: self.num_sent]
        slack_ms = 1000 * np.asarray(self.slack_s)
        return Figures(
            seconds=self.num_sent / self.sample_rate,
            in_time=float(played.mean()) if len(played) else 0.0,
            late_ms=1000 * self.num_late / self.sample_rate,
            underruns=int(np.count_nonzero(played[:-1] & ~played[1:])),
            late_share={ms: float(np.mean(slack_ms < ms)) if len(slack_ms) else 0.0 for ms in BUFFERS_MS},
            slack_p50_ms=_percentile_ms(self.slack_s, 50),
            slack_p05_ms=_percentile_ms(self.slack_s, 5),
            rtt_p50_ms=_percentile_ms(self.rtt_s, 50),
            rtt_p95_ms=_percentile_ms(self.rtt_s, 95),
            step_p50_ms=self.stats.step_p50_ms or 0.0,
            step_p95_ms=self.stats.step_p95_ms or 0.0,
            staleness_ms=self.stats.staleness_ms or 0.0,
            lookahead_ms=self.plans[-1].lookahead_ms if self.plans else 0.0,
            mode=self.plans[-1].mode if self.plans else "",
            plans=len(self.plans),
            resumes=self.num_resumes,
            close_code=self.close_code,
            reason=self.reason,
            session=next((plan.session for plan in self.plans if isinstance(plan, Welcome)), 0),
        )


class SongClock:
    """Which sample of the song is being played: it begins once, and goes on whatever the connection does.

    Args:
        rate: Hz.
        clock: monotonic seconds.
    """

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._start_s: float | None = None

    def start(self) -> None:
        """Sample 0 is played now, if it wasn't yet."""
        if self._start_s is None:
            self._start_s = self._clock()

    @property
    def now(self) -> int | None:
        """The sample that is being played; None before the start."""
        return None if self._start_s is None else round((self._clock() - self._start_s) * self._rate)

    def until_s(self, sample: int) -> float:
        """How long until this sample is played; negative: it was."""
        return (sample - (self.now or 0)) / self._rate


def _percentile_ms(seconds: list[float], percent: float) -> float:
    return 1000 * float(np.percentile(seconds, percent)) if seconds else 0.0
