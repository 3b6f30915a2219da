"""Sessions and the process that plays them: who has a place, whose message goes where, what happens when one is lost.

    socket A ── link 1 ──┐                          ┌── session 1 ─┐
    socket B ── link 2 ──┼── Hub ══ pipe ══ Worker ─┼── session 2 ─┼── engine
    (dropped)   link 3 ──┘                          └── session 3 ─┘

A link outlives its socket for `resume_s`: its session plays on, and a client that shows the resume token takes it over.
"""

import asyncio
import contextlib
import hmac
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from gigmate.live.server.answers import Refusal, draining
from gigmate.live.server.link import Closed, Link
from gigmate.live.server.metrics import Metrics
from gigmate.live.server.settings import ServeSettings
from gigmate.live.server.supervisor import Supervisor, WorkerLike


class Hub:
    """All sessions of a server, and the worker that it starts again when it is lost.

    Args:
        make_worker: a new worker, not started.
        settings: capacity and times.
        metrics: figures to keep.
    """

    def __init__(self, make_worker: Callable[[], WorkerLike], settings: ServeSettings, metrics: Metrics) -> None:
        self.settings, self._metrics = settings, metrics
        self._supervisor = Supervisor(make_worker, self._deliver, self._lose_all)
        self._links: dict[int, Link] = {}
        self._parked: dict[int, asyncio.TimerHandle] = {}
        self._numbers = itertools.count(1)
        self._num_seats = 0
        self.is_draining = False

    async def start(self) -> None:
        """Start the worker.

        Raises:
            GigmateError: it can't start (the checkpoint is refused, no device, ...).
        """
        await self._supervisor.start()

    async def stop(self) -> None:
        """End all sessions and the worker."""
        for link in list(self._links.values()):
            link.close(1001, "the server stops")
        await self._supervisor.stop()

    def _lose_all(self) -> None:
        self._metrics.worker_restarts.inc()
        for link in list(self._links.values()):
            link.close(1012, "the server's engine restarts")
            self._forget(link)

    def _deliver(self, number: int, payload: bytes | str) -> None:
        link = self._links.get(number)
        if link is None:
            return
        if isinstance(payload, bytes):
            link.put(payload)
            return
        message = json.loads(payload)
        if message["type"] == "close":
            link.close(message["code"], message["reason"])
            self._forget(link)
            return
        if message["type"] == "stats":
            self._metrics.late_frames.inc(max(0, message.get("late_frames", 0) - link.num_late))
            link.num_late = message.get("late_frames", 0)
            if (step_p95_ms := message.get("step_p95_ms")) is not None:
                self._metrics.step_p95.observe(step_p95_ms)
        link.put(payload)

    @property
    def is_alive(self) -> bool:
        """Whether the worker plays."""
        return self._supervisor.is_alive

    @property
    def capacity(self) -> int:
        """Places: as many as were set, else as many as the worker has found that it holds."""
        return self._supervisor.capacity if self.settings.capacity is None else self.settings.capacity

    @property
    def num_taken(self) -> int:
        """Places that are taken: by sessions, with or without a socket, and by those that haven't said hello yet."""
        return len(self._links) + self._num_seats

    def obstacle(self) -> Refusal | None:
        """Why a new session wouldn't be taken now; None: it would."""
        if self.is_draining:
            return draining()
        if not self.is_alive:
            return Refusal(503, "not_ready", "the engine is starting; try again in a moment")
        if self.num_taken >= self.capacity:
            return Refusal(503, "full", f"all {self.capacity} places are taken")
        return None

    @contextlib.contextmanager
    def seat(self) -> Iterator[None]:
        """A place for a client that may say hello; there are more of them by the sessions that may be resumed.

        Raises:
            Refusal: see `obstacle`.
        """
        refusal = self.obstacle()
        if refusal is not None and (refusal.code != "full" or self._num_seats >= len(self._parked)):
            raise refusal
        self._num_seats += 1
        try:
            yield
        finally:
            self._num_seats -= 1
            self._count()

    def open(self, hello: str) -> Link:
        """A new session; its first message will be the welcome.

        Raises:
            Closed: 1013, the place was one for a session that is resumed.
        """
        if len(self._links) >= self.capacity:
            raise Closed(1013, "full")
        link = Link(next(self._numbers), self.settings.backlog_s)
        self._links[link.number] = link
        self._metrics.opened.inc()
        self._count()
        self._tell(link, {"type": "open", "hello": json.loads(hello), "resume": link.token})
        return link

    def resume(self, token: str) -> Link:
        """The session of a resume token, which gets a new one.

        Raises:
            Closed: 4401 there is none, 4409 another socket has it.
        """
        found = [link for link in self._links.values() if hmac.compare_digest(link.token.encode(), token.encode())]
        if not found:
            raise Closed(4401, "no session has that resume token")
        (link,) = found
        if link.is_attached:
            raise Closed(4409, "the session is in use")
        self._parked.pop(link.number).cancel()
        link.is_attached, link.end = True, None
        self._metrics.resumed.inc()
        self._tell(link, {"type": "resume"})
        return link

    def send(self, link: Link, payload: bytes | str) -> None:
        """A client's message, for its session."""
        if link.number in self._links:
            self._supervisor.send(link.number, payload)

    def park(self, link: Link) -> None:
        """The client is gone, perhaps not for good."""
        if link.number not in self._links:
            return
        link.is_attached = False
        loop = asyncio.get_running_loop()
        self._parked[link.number] = loop.call_later(self.settings.resume_s, self.close, link)

    def close(self, link: Link) -> None:
        """The session is over; its place is free."""
        if link.number in self._links:
            self._tell(link, {"type": "close"})
            self._forget(link)

    async def drain(self) -> None:
        """Take no new session, tell those that play, and wait until they have ended or `drain_s` is over."""
        self.is_draining = True
        for link in list(self._links.values()):
            link.put(json.dumps({"type": "goodbye", "reason": "draining"}))
            if not link.is_attached:
                self.close(link)
        until_s = time.monotonic() + self.settings.drain_s
        while self._links and time.monotonic() < until_s:
            await asyncio.sleep(0.05)
        for link in list(self._links.values()):
            link.close(1001, "draining")

    def _tell(self, link: Link, message: dict[str, Any]) -> None:
        self._supervisor.send(link.number, json.dumps(message))

    def _forget(self, link: Link) -> None:
        self._links.pop(link.number, None)
        if (timer := self._parked.pop(link.number, None)) is not None:
            timer.cancel()
        self._count()

    def _count(self) -> None:
        self._metrics.sessions.set(self.num_taken)
