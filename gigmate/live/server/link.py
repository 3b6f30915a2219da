"""One session as the server sees it: what waits to be sent to its client, and how it ends."""

import asyncio
import secrets
import time
from collections import deque


class Closed(Exception):  # noqa: N818 (a way for a session to end, no fault)
    """A session is over: its socket closes with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Link:
    """One session as the server sees it: what waits to be sent to its client.

    Args:
        number: the session's id in the worker.
        backlog_s: age that a waiting message may reach.
    """

    def __init__(self, number: int, backlog_s: float) -> None:
        self.number, self.backlog_s = number, backlog_s
        self.token = secrets.token_urlsafe(24)
        self.is_attached = True
        self.num_late = 0
        self.end: Closed | None = None
        self._waiting: deque[tuple[float, bytes | str]] = deque()
        self._has_news = asyncio.Event()

    def put(self, payload: bytes | str) -> None:
        """A message for the client; while it is away, or doesn't read, only the newest are kept."""
        now_s = time.monotonic()
        self._waiting.append((now_s, payload))
        if now_s - self._waiting[0][0] > self.backlog_s:
            if self.is_attached:
                self.close(4408, "not reading")
            while now_s - self._waiting[0][0] > self.backlog_s:
                self._waiting.popleft()
        self._has_news.set()

    def close(self, code: int, reason: str) -> None:
        """Have the socket closed, after what waits if that can be sent."""
        self.end = self.end or Closed(code, reason)
        self._has_news.set()

    async def get(self) -> bytes | str:
        """The next message for the client.

        Raises:
            Closed: the session is over for this socket.
        """
        while True:
            if self.end is not None and (self.end.code == 4408 or not self._waiting):
                raise self.end
            if self._waiting:
                return self._waiting.popleft()[1]
            self._has_news.clear()
            await self._has_news.wait()
