"""The server while it serves: uvicorn with our limits, signals, and an end in order."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator

import uvicorn

from gigmate.live.server.app import build_app
from gigmate.live.server.hub import Hub
from gigmate.live.server.jobs import Jobs
from gigmate.live.server.settings import ServeSettings
from gigmate.live.server.supervisor import WorkerLike
from gigmate.live.server.transport import SocketProtocol, http_protocol

MAX_MESSAGE_BYTES = 1 << 16
_PING_S = 0.5
_HEAD_BYTES = 64 << 10
_LAST_S = 0.1  # to send what has been said


def run_server(
    settings: ServeSettings,
    listener: socket.socket,
    make_worker: Callable[[], WorkerLike],
    predictions: Jobs,
    practice: Jobs,
) -> None:
    """Serve on a bound socket until a signal ends it.

    Raises:
        GigmateError: the worker can't start.
        KeyboardInterrupt: it was Ctrl-C.
    """
    app = build_app(settings, make_worker, predictions, practice)
    config = uvicorn.Config(
        app,
        http=http_protocol(settings.slow_s),
        ws=SocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=settings.backlog_s,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        timeout_graceful_shutdown=1,
    )
    server = Server(config, app.state.hub)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    name = f"[{settings.host}]" if ":" in settings.host else settings.host

    async def start() -> None:
        try:
            await app.state.hub.start()
        except BaseException:
            server.should_exit = True
            raise
        sys.stdout.write(f"GigMate plays at http://{name}:{settings.port}/\n")
        sys.stdout.flush()
        await predictions.start()

    async def main() -> None:
        async with app.router.lifespan_context(app):
            starting = asyncio.create_task(start())  # meanwhile /ready says that it isn't
            await server.serve(sockets=[listener])
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting

    asyncio.run(main())
    if server.signal == signal.SIGINT:
        raise KeyboardInterrupt


class Server(uvicorn.Server):
    """uvicorn's server, which lets the sessions end before it does and leaves the exit code to us."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub
        self.signal: int | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The first signal drains, the second one ends at once; uvicorn would raise them again in the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        self.signal = self.signal or number

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, with the listeners still answering that there is no place, then as uvicorn does.

        Requests have what the sessions leave of `drain_s` to be answered.
        """
        until_s = time.monotonic() + self._hub.settings.drain_s
        if self.signal != signal.SIGINT:
            draining = asyncio.create_task(self._hub.drain())
            while not draining.done() and not self.force_exit:
                await asyncio.sleep(0.05)
            draining.cancel()
            # a number of seconds, which needn't be whole
            self.config.timeout_graceful_shutdown = max(  # pyright: ignore[reportAttributeAccessIssue]
                _LAST_S, until_s - time.monotonic()
            )
        await self._hub.stop()
        await super().shutdown(sockets)
