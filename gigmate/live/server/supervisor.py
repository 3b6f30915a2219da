"""Keeps a worker alive: starts it, listens to it, and starts another when it is lost."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

_RESTART_PAUSE_S = 0.2
_MAX_RESTART_PAUSE_S = 5.0


class WorkerLike(Protocol):
    """What the hub needs of `gigmate.live.worker.Worker`: messages to sessions and back; see there."""

    @property
    def is_alive(self) -> bool:
        """Whether the process plays."""
        ...

    @property
    def capacity(self) -> int:
        """Sessions that it takes at once."""
        ...

    async def start(self) -> None:
        """Start the process and wait until it is warm."""
        ...

    async def stop(self, drain_s: float = 0.0) -> None:
        """End the process."""
        ...

    def send(self, session_id: int, payload: bytes | str) -> None:
        """Hand a message to a session."""
        ...

    async def receive(self) -> tuple[int, bytes | str]:
        """The next message of a session; raises when the process is lost."""
        ...


class Supervisor:
    """One worker at a time.

    Args:
        make_worker: a new worker, not started.
        on_message: called with a session's id and its message.
        on_lost: called when the worker is gone, and with it all its sessions.
    """

    def __init__(
        self,
        make_worker: Callable[[], WorkerLike],
        on_message: Callable[[int, bytes | str], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._make_worker, self._on_message, self._on_lost = make_worker, on_message, on_lost
        self._worker: WorkerLike | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the worker plays."""
        return self._worker is not None and self._worker.is_alive

    @property
    def capacity(self) -> int:
        """Sessions that the worker takes at once; 0 while there is none."""
        return 0 if self._worker is None else self._worker.capacity

    async def start(self) -> None:
        """Start the first worker.

        Raises:
            GigmateError: it can't start (the checkpoint is refused, no device, ...).
        """
        worker = self._make_worker()
        await worker.start()
        self._worker = worker
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """End the worker for good."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._worker is not None:
            await self._worker.stop(0.0)

    def send(self, number: int, payload: bytes | str) -> None:
        """A message for a session; nothing while there is no worker."""
        if self.is_alive and self._worker is not None:
            self._worker.send(number, payload)

    async def _watch(self) -> None:
        while True:
            assert self._worker is not None
            await self._listen(self._worker)
            lost, self._worker = self._worker, None
            self._on_lost()
            with contextlib.suppress(Exception):
                await lost.stop(0.0)
            self._worker = await self._another()

    async def _listen(self, worker: WorkerLike) -> None:
        """Hand on what the worker says until it is lost."""
        try:
            while True:
                self._on_message(*await worker.receive())
        except Exception as error:
            log.error("the worker was lost (%s); it is started again", error)

    async def _another(self) -> WorkerLike:
        """A worker that plays, however often that must be tried, at growing distances."""
        pause_s = _RESTART_PAUSE_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_RESTART_PAUSE_S)
            worker = self._make_worker()
            try:
                await worker.start()
            except Exception as error:
                log.error("the worker couldn't be started: %s", error)
            else:
                return worker
