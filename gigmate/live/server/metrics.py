"""Figures of a running server in Prometheus' format, and the probe that tells how late the event loop is."""

import asyncio
import time
from collections import deque

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PROBE_S = 0.01
_KEPT_LAGS = 6_000  # a minute
_STEP_BUCKETS_MS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 40, 80, 160)


class Metrics:
    """One server's figures, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sessions = self._gauge("sessions", "live sessions that hold a slot")
        self.capacity = self._gauge("capacity", "live sessions that may hold a slot")
        self.ready = self._gauge("ready", "1 when a new session would be taken")
        self.lag_p99 = self._gauge("loop_lag_p99_seconds", "lateness of the event loop over the last minute")
        self.lag_max = self._gauge("loop_lag_max_seconds", "largest lateness over the last minute")
        self.predictions = self._gauge("predict_tasks", "predictions that wait or run")
        self.tasks = self._gauge("tasks", "tasks of the event loop")
        self.requests = self._counter("requests", "HTTP answers", ("status",))
        self.opened = self._counter("sessions_opened", "sessions opened")
        self.resumed = self._counter("sessions_resumed", "sessions resumed")
        self.refused = self._counter("refused", "live connections refused", ("code",))
        self.closed = self._counter("closed", "live connections closed", ("code",))
        self.messages = self._counter("messages", "live messages", ("direction",))
        self.bad_messages = self._counter("bad_messages", "live messages that were answered by an error")
        self.worker_restarts = self._counter("worker_restarts", "times the worker was started again")
        self.late_frames = self._counter("late_frames", "stem frames that came too late, as sessions report them")
        self.step_p95 = Histogram(
            "gigmate_step_p95_milliseconds",
            "p95 of a step, codec included, as sessions report it",
            registry=self.registry,
            buckets=_STEP_BUCKETS_MS,
        )
        self._lags: deque[float] = deque(maxlen=_KEPT_LAGS)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"gigmate_{name}", what, registry=self.registry)

    def _counter(self, name: str, what: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"gigmate_{name}", what, labels, registry=self.registry)

    def count_answer(self, status: int) -> None:
        """One more HTTP answer."""
        self.requests.labels(str(status)).inc()

    async def probe(self) -> None:
        """Measure the loop's lateness for ever: how much longer than asked a short sleep takes."""
        while True:
            start_s = time.perf_counter()
            await asyncio.sleep(PROBE_S)
            self._lags.append(max(0.0, time.perf_counter() - start_s - PROBE_S))

    def text(self) -> tuple[bytes, str]:
        """All figures as they are now, and their content type; to be asked for in the event loop."""
        lags = sorted(self._lags)
        self.lag_p99.set(lags[int(0.99 * (len(lags) - 1))] if lags else 0.0)
        self.tasks.set(len(asyncio.all_tasks()))
        self.lag_max.set(lags[-1] if lags else 0.0)
        return generate_latest(self.registry), "text/plain; version=0.0.4; charset=utf-8"
