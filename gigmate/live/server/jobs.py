"""Work that takes seconds, in a process of its own: the event loop only waits for it.

One child does one task after the other; tasks and answers are lines of JSON, waves are files. What is asked for while
`max_tasks` wait is refused at once. Whoever no longer waits has the task stopped within a step of the model.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from gigmate.errors import printable
from gigmate.live.server.answers import Refusal

log = logging.getLogger(__name__)

CHILD = "gigmate.live.server.job_child"
_MAX_LINE_BYTES = 1 << 20


class Jobs:
    """A child process that does tasks.

    Args:
        config: what the child is told when it starts, primitives; see `job_child.Worker`.
        max_tasks: that wait or run at once.
        command: of the child; for tests.
    """

    def __init__(self, config: dict[str, Any], max_tasks: int, command: Sequence[str] | None = None) -> None:
        self._command = [*(command or (sys.executable, "-m", CHILD)), json.dumps(config)]
        self._max_tasks, self._num_tasks = max_tasks, 0
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._child: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._starting, self._is_over = asyncio.Lock(), False

    @property
    def num_tasks(self) -> int:
        """Tasks that wait or run, those included whose upload is still coming."""
        return self._num_tasks

    async def start(self) -> None:
        """Start the child, if there is none."""
        async with self._starting:
            if self._child is None:
                self._child = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=_MAX_LINE_BYTES,
                    start_new_session=True,  # a Ctrl-C in the terminal is the server's to handle
                )
                self._reader = asyncio.create_task(self._read(self._child))

    async def stop(self) -> None:
        """End the child and whatever waits for it."""
        self._is_over = True
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()
        if self._reader is not None:
            await self._reader

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, to be taken before anything else is done for a request.

        Raises:
            Refusal: 503, all are taken.
        """
        if self._num_tasks >= self._max_tasks:
            raise Refusal(503, "busy", f"{self._max_tasks} requests wait already; try again in a moment")
        self._num_tasks += 1
        try:
            yield
        finally:
            self._num_tasks -= 1

    async def run(self, task: dict[str, Any]) -> dict[str, Any]:
        """Have a task done; when this is cancelled, so is the task.

        Raises:
            Refusal: the task's error, or 503 if the child died.
        """
        await self.start()
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._say({"id": number, "task": task})
            return await answer
        except asyncio.CancelledError:
            self._say({"cancel": number})
            raise
        finally:
            self._waiting.pop(number, None)

    def _say(self, message: dict[str, Any]) -> None:
        if self._child is not None and self._child.stdin is not None and not self._child.stdin.is_closing():
            self._child.stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        """Hand out answers until the child is gone; the next task starts another one."""
        assert child.stdout is not None
        try:
            while line := await child.stdout.readline():
                self._answer(json.loads(line))
        finally:
            self._child = None
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            code = await child.wait()
            log.log(logging.DEBUG if self._is_over else logging.WARNING, "a process for tasks ended (%s)", code)
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Refusal(503, "worker_lost", "the process that does this ended; try again"))

    def _answer(self, message: dict[str, Any]) -> None:
        answer = self._waiting.get(message["id"])
        if answer is None or answer.done():
            return
        if "error" in message:
            error = message["error"]
            if error["status"] == 500:
                log.error("a task failed: %s", printable(error["message"], 2000))
                error["message"] = "that is a bug of the server; its log says more"
            answer.set_exception(Refusal(error["status"], error["code"], error["message"]))
        else:
            answer.set_result(message["result"])
