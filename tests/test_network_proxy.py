"""The network that tests play over: its delays are those it is named for, and it does what it is told."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from gigmate.live.network_proxy import PROFILES, SLOT_S, NetworkProxy, Profile


@pytest.mark.parametrize(
    ("name", "p50_ms", "p99_ms"), [("lan", 3, 17), ("broadband", 24, 178), ("wifi", 40, 232), ("lte", 76, 363)]
)
def test_round_trips_have_the_quantiles_of_their_network(name: str, p50_ms: float, p99_ms: float) -> None:
    trips_ms = [1000 * PROFILES[name].round_trip_s(1, slot * SLOT_S + 0.05) for slot in range(20_000)]
    assert np.percentile(trips_ms, 50) == pytest.approx(p50_ms, rel=0.03)
    assert np.percentile(trips_ms, 99) == pytest.approx(p99_ms, rel=0.08)


def test_stalls_come_as_often_as_they_should() -> None:
    profile = Profile(10, 11, stall_share=0.01, stall_ms=200)
    trips_s = np.array([profile.round_trip_s(1, slot * SLOT_S + 0.05) for slot in range(20_000)])
    assert np.mean(trips_s > 0.2) == pytest.approx(0.01, rel=0.25)


def test_delays_are_the_seeds_and_the_times() -> None:
    wifi = PROFILES["wifi"]
    assert wifi.round_trip_s(1, 3.01) == wifi.round_trip_s(1, 3.09) != wifi.round_trip_s(1, 3.11)
    assert wifi.round_trip_s(1, 3.01) != wifi.round_trip_s(2, 3.01)


def over(job: Callable[[NetworkProxy], Awaitable[None]]) -> None:
    """Run `job` with a proxy before a server that echoes."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server, NetworkProxy(server.sockets[0].getsockname()[1]) as proxy:
            await asyncio.wait_for(job(proxy), 60)

    asyncio.run(run())


def test_all_bytes_arrive_in_order_over_a_jittery_network() -> None:
    sent = bytes(np.random.default_rng(0).integers(0, 256, 500_000, np.uint8))

    async def job(proxy: NetworkProxy) -> None:
        proxy._profile = Profile(5, 50)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(sent)
        writer.write_eof()
        assert await reader.read(-1) == sent
        writer.close()

    over(job)


def test_added_delay_and_frost_are_felt_and_end() -> None:
    async def job(proxy: NetworkProxy) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

        async def round_trip_s() -> float:
            start_s = time.monotonic()
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            return time.monotonic() - start_s

        proxy.add_delay(150)
        assert await round_trip_s() >= 0.149
        proxy.add_delay(-150)
        proxy.freeze()
        writer.write(b"y")
        with pytest.raises(TimeoutError, match=r"^$"):
            await asyncio.wait_for(reader.readexactly(1), 0.1)
        proxy.thaw()
        assert await reader.readexactly(1) == b"y"
        writer.close()

    over(job)


def test_a_cut_breaks_what_there_is_and_not_what_comes() -> None:
    async def job(proxy: NetworkProxy) -> None:
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            proxy.cut()
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError), match=r"reset|0 bytes"):
                await reader.readexactly(1)
            writer.close()
        assert proxy.num_connections == 2

    over(job)
