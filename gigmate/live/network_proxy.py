"""A TCP proxy with the delays of a network: seeded, in the event loop of whoever tests, no privileges needed.

    client ── proxy ── server        each way: read ── wait for the delay of the moment ── write, in order

TCP loses nothing and keeps the order, so a bad network is felt as delay alone: what was lost comes after a time-out,
and what follows waits for it. The delay of a moment is a function of the seed and the time, whatever the traffic.
"""

import asyncio
import math
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

SLOT_S = 0.1
"""For so long the network stays as it is."""

_READ_BYTES = 16_384
_MAX_WAITING = 256  # reads on their way: beyond, the sender feels it
_P99 = statistics.NormalDist().inv_cdf(0.99)


@dataclass(frozen=True)
class Profile:
    """A kind of network: round trips are lognormal with this median and 99th percentile.

    Args:
        p50_ms: of the round trip.
        p99_ms: likewise.
        stall_share: share of the slots in which everything waits for `stall_ms` more: a loss, and its time-out.
        stall_ms: see there.
    """

    p50_ms: float
    p99_ms: float
    stall_share: float = 0.0
    stall_ms: float = 0.0

    def round_trip_s(self, seed: int, time_s: float) -> float:
        """The round trip of what is sent at a time."""
        chance = random.Random(f"{seed} {math.floor(time_s / SLOT_S)}")
        sigma = math.log(self.p99_ms / self.p50_ms) / _P99
        stall_ms = self.stall_ms if chance.random() < self.stall_share else 0.0
        return (self.p50_ms * math.exp(sigma * chance.gauss(0, 1)) + stall_ms) / 1000


PROFILES = {
    "lan": Profile(3, 17),
    "broadband": Profile(24, 178),
    "wifi": Profile(40, 232),
    "lte": Profile(76, 363),
    "wifi_stalls": Profile(20, 30, stall_share=0.01, stall_ms=200),
}


class NetworkProxy:
    """Stands between clients and a server on 127.0.0.1; an async context manager.

    Args:
        port: of the server.
        profile: of the network; None: as fast as it goes.
        seed: of its delays.
        own_port: where clients connect; 0: any that is free.
        clock: seconds.
    """

    def __init__(
        self,
        port: int,
        profile: Profile | None = None,
        *,
        seed: int = 0,
        own_port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own_port = own_port
        self._target, self._profile, self._seed, self._clock = port, profile, seed, clock
        self._added_s = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.num_connections = 0

    async def __aenter__(self) -> Self:
        self._start_s = self._clock()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._own_port, limit=_READ_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break all connections at once, without a goodbye."""
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        """Let nothing through; the connections stand."""
        self._flows.clear()

    def thaw(self) -> None:
        """Let everything through again."""
        self._flows.set()

    def add_delay(self, round_trip_ms: float) -> None:
        """From now on every round trip takes so much longer; a negative one takes it back."""
        self._added_s += round_trip_ms / 1000

    def _one_way_s(self) -> float:
        now_s = self._clock() - self._start_s
        own_s = self._profile.round_trip_s(self._seed, now_s) if self._profile else 0.0
        return (own_s + self._added_s) / 2

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target, limit=_READ_BYTES)
            ends.add(far_writer)
            self._writers |= ends
            async with asyncio.TaskGroup() as group:
                for source, sink in ((reader, far_writer), (far_reader, writer)):
                    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MAX_WAITING)
                    group.create_task(self._take(source, waiting))
                    group.create_task(self._deliver(waiting, sink))
        except* OSError:
            pass  # cut, or nobody is there
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _take(self, source: asyncio.StreamReader, waiting: "asyncio.Queue[tuple[float, bytes]]") -> None:
        data = b"first"
        while data:
            data = await source.read(_READ_BYTES)
            await waiting.put((self._clock() + self._one_way_s(), data))

    async def _deliver(self, waiting: "asyncio.Queue[tuple[float, bytes]]", sink: asyncio.StreamWriter) -> None:
        data = b"first"
        while data:
            due_s, data = await waiting.get()
            await asyncio.sleep(due_s - self._clock())
            await self._flows.wait()
            sink.write(data)
            await sink.drain()
        sink.write_eof()
