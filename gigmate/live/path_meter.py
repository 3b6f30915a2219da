"""Measures what the path of a session costs: the budget that its lookahead is chosen by, and the figures it shows."""

from gigmate.live.clock import JITTER_SPAN_S, ArrivalClock
from gigmate.live.latency import Window
from gigmate.live.scheduler import MAX_CHUNK_FRAMES, Budget

_SPAN_S = 10.0
_FIRST_RTT_S, _FIRST_JITTER_S, _FIRST_COMPUTE_S = 0.03, 0.01, 0.012  # until there is something to go by
_MIN_ARRIVALS = 100  # two seconds
_BOTH_WAYS = 2  # what holds up the way here, a link that stalls, holds up the way back too


class PathMeter:
    """The measurements of one session.

    Args:
        rate: Hz of the client.
        codec_s: by which stem samples come after their frame.
    """

    def __init__(self, rate: int, codec_s: float) -> None:
        self._rate, self._codec_s = rate, codec_s
        self._arrivals = ArrivalClock(rate)
        self._num_arrivals = 0
        self._capture_s, self._queue_s, self._rtt_s = Window(_SPAN_S), Window(_SPAN_S), Window(JITTER_SPAN_S)
        self.steps_s, self.slack_s = Window(_SPAN_S, 1024), Window(_SPAN_S)
        self.num_late = 0

    def arrived(self, stop: int, wait_samples: int | None, now_s: float) -> None:
        """A message brought the samples up to `stop`, `wait_samples` after the end of the first frame it completed."""
        self._arrivals.arrived(stop, now_s)
        self._num_arrivals += 1
        if wait_samples is not None:
            self._capture_s.add(wait_samples / self._rate, now_s)

    def round_trip(self, rtt_s: float, now_s: float) -> None:
        """The client measured its way here and back."""
        self._rtt_s.add(rtt_s, now_s)

    def stepped(self, step_s: float, since_mix_s: float | None, now_s: float) -> None:
        """A call took `step_s`, and ended `since_mix_s` after its mix frame came (None: it had no new one)."""
        self.steps_s.add(step_s, now_s)
        if since_mix_s is not None:
            self._queue_s.add(max(0.0, since_mix_s - step_s), now_s)

    def sent(self, sample_index: int, num_frames: int, margin_s: float, now_s: float) -> None:
        """So many frames from `sample_index` on leave now; they must be there `margin_s` before they sound."""
        newest = self._arrivals.sample_at(now_s)
        if newest is None:
            return
        slack_s = (sample_index - newest) / self._rate - (self._rtt_s.quantile(0.5) or 0.0) - margin_s
        self.slack_s.add(slack_s, now_s)
        self.num_late += num_frames * (slack_s < 0)

    @property
    def in_time(self) -> float | None:
        """Share of the last messages that were with the client before they were due, as far as we can know."""
        return self.slack_s.share_at_least(0.0) if len(self.slack_s) else None

    def budget(self, buffer_s: float, device_s: float) -> Budget:
        """What the path costs now."""
        sums_s = [self.steps_s.sum_quantile(0.95, f) for f in range(1, MAX_CHUNK_FRAMES + 1)]
        compute_s = tuple(_FIRST_COMPUTE_S * f if s is None else s for f, s in enumerate(sums_s, 1))
        network_s, stalls_s = self._network_s()
        return Budget(
            capture_s=self._capture_s.quantile(0.95) or 0.0,
            network_s=network_s,
            stalls_s=stalls_s,
            queue_s=self._queue_s.quantile(0.95) or 0.0,
            compute_p95_s=compute_s,
            codec_s=self._codec_s,
            buffer_s=buffer_s,
            device_s=device_s,
        )

    def _network_s(self) -> tuple[float, float]:
        """Both ways, p95, and by how much they were slower at the worst moment of the last minute.

        Pings, one a second, miss most moments; messages of audio, which come all the time, show the way here alone.
        """
        jitter_s = self._arrivals.jitter_s(0.999)
        if self._num_arrivals < _MIN_ARRIVALS:
            jitter_s = max(jitter_s, _FIRST_JITTER_S)
        least_s, usual_s, most_s = (self._rtt_s.quantile(share) for share in (0.0, 0.95, 1.0))
        if least_s is None or usual_s is None or most_s is None:
            return _FIRST_RTT_S, _BOTH_WAYS * jitter_s
        return usual_s, max(most_s, least_s + _BOTH_WAYS * jitter_s) - usual_s
