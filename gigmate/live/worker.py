"""The worker's process as the server sees it: sessions' messages in, sessions' messages out, and its life.

The server's event loop never runs the model: one step of it would hold up every other client.
"""

import asyncio
import contextlib
import json
import logging
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from gigmate.errors import GigmateError, MachineError
from gigmate.live.frames import EngineFacts
from gigmate.live.wire import HEADER, Kind, pack, unpack

log = logging.getLogger(__name__)

START_TIMEOUT_S = 120.0
"""Longer than loading and warming up take on a slow machine."""

SILENCE_S = 10.0
"""After so long without even a beat the worker hangs: many times what the slowest machine has been seen to take."""

MAX_WAITING_BYTES = 1 << 20
"""Of messages that the worker hasn't read: five seconds of two sessions' audio. What comes on top is dropped."""

_CLOSE_S = 2.0


class WorkerLost(Exception):  # noqa: N818 (it is told to every session, as a state of the server)
    """The process is gone or hangs, and with it all its sessions."""


class WorkerFailed(GigmateError):  # noqa: N818
    """The process couldn't begin to play; the error is the one that it met, with its exit code."""

    exit_code = 5

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["code"], error["what"], error["where"], error["remedy"])
        self.exit_code = error["exit_code"]


def worker_command(player: Mapping[str, Any], capacity: int | None, records: str | None = None) -> list[str]:
    """The command that runs a worker.

    Args:
        player: what to load: `ckpt` (None: the weights that ship), `codec` (None: the checkpoint's) and `device`, as in
            the settings.
        capacity: sessions at once; None: as many as the machine holds.
        records: folder for the sessions that are recorded; None: none can be.
    """
    about = {**player, "capacity": capacity, "records": records}
    return [sys.executable, "-m", "gigmate.live.worker_main", json.dumps(about)]


class Worker:
    """A process that plays; for one event loop.

    Args:
        command: what to run; the descriptor of its end of the socket pair is appended.
        start_timeout_s: until it must be ready.
        silence_s: for which it may say nothing from then on.
    """

    def __init__(
        self, command: Sequence[str], start_timeout_s: float = START_TIMEOUT_S, silence_s: float = SILENCE_S
    ) -> None:
        self._command, self._start_timeout_s, self._silence_s = tuple(command), start_timeout_s, silence_s
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.facts: EngineFacts | None = None
        """What its engine can do; known once it is ready."""
        self.num_dropped = 0
        """Binary messages that it was too slow to take."""

    @property
    def capacity(self) -> int:
        """Sessions that it takes at once; 0 until it is ready."""
        return 0 if self.facts is None else self.facts.capacity

    @property
    def is_alive(self) -> bool:
        """Whether it is ready and runs, as far as is known."""
        is_running = self._process is not None and self._process.returncode is None
        return is_running and self.facts is not None and self._reader is not None and not self._reader.at_eof()

    async def start(self) -> None:
        """Start the process and wait until it is warm.

        Raises:
            GigmateError: it can't play (a checkpoint is refused, no device, ...), or takes too long.
            WorkerLost: it died.
        """
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as on_error, theirs:
            on_error.callback(ours.close)
            self._process = await asyncio.create_subprocess_exec(
                *self._command, str(theirs.fileno()), pass_fds=(theirs.fileno(),), stdin=asyncio.subprocess.DEVNULL
            )
            on_error.pop_all()
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            async with asyncio.timeout(self._start_timeout_s):
                kind, _, body = await self._read()
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self.stop()
            if isinstance(error, TimeoutError):
                what = f"the engine wasn't ready after {self._start_timeout_s:.0f} s"
                raise MachineError("worker", what, "", "look whether the machine is busy") from error
            raise
        if kind != Kind.READY:
            await self.stop()
            raise WorkerFailed(json.loads(body))
        facts = json.loads(body)
        self.facts = EngineFacts(**{**facts, "instruments": tuple(facts["instruments"])})

    def send(self, session_id: int, payload: bytes | str) -> None:
        """Hand a message to a session; never waits. To a worker that is lost nothing is sent."""
        if self._writer is None or self._writer.is_closing():
            return
        if isinstance(payload, bytes) and self._writer.transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            self.num_dropped += 1
            return
        self._writer.write(pack(session_id, payload))

    async def receive(self) -> tuple[int, bytes | str]:
        """The next message of a session, with the session's id.

        Raises:
            WorkerLost: the process is gone, or hangs; what is left of it `stop` ends.
        """
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    kind, session_id, body = await self._read()
            except TimeoutError as error:
                raise WorkerLost(f"the worker hangs: it said nothing for {self._silence_s:g} s") from error
            if kind != Kind.ALIVE:
                return session_id, unpack(kind, body)

    async def stop(self, drain_s: float = 0.0) -> None:
        """Hang up: it closes its sessions' recordings and ends, or is killed `drain_s` and a moment later."""
        process, writer = self._process, self._writer
        if process is None:
            return
        if writer is not None and not writer.is_closing():
            writer.close()
        try:
            async with asyncio.timeout(drain_s + _CLOSE_S):
                await process.wait()
        except TimeoutError:
            log.warning("the worker didn't end in time and is killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        finally:
            self.facts = None

    async def _read(self) -> tuple[Kind, int, bytes]:
        if self._reader is None:
            raise WorkerLost("the worker was never started")
        try:
            kind, session_id, length = HEADER.unpack(await self._reader.readexactly(HEADER.size))
            return Kind(kind), session_id, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise WorkerLost("the worker's process is gone") from error
