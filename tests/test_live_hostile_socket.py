"""The live socket under strangers, to a real server in a process of its own with an engine that echoes."""

import asyncio
import base64
import json
import os
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reporting import Report
from server_fakes import HEADER, STEM, RunningServer, audio, hello, running_server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

CAPACITY = 4
AUDIO_GAP_S = 3.0  # a busy machine may hold a test's client up for a second
LIMIT_S = 60.0  # for what ends by itself: how soon is reported, not asserted
SILENCE = np.zeros(480, np.int16)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(
        tmp_path_factory.mktemp("live"), capacity=CAPACITY, hello_s=1.0, audio_gap_s=AUDIO_GAP_S, resume_s=0.5
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def _slots_are_freed(server: RunningServer) -> Iterator[None]:
    """However a test's clients left: soon every slot is free."""
    yield
    until_s = time.monotonic() + LIMIT_S
    while server.figure("gigmate_sessions"):
        assert time.monotonic() < until_s, "a slot is stuck"
        time.sleep(0.05)
    assert server.figure("gigmate_closed_total") >= 0
    assert 'code="1011"' not in server.request("GET", "/metrics")[2].decode()


def run(work: Awaitable[Any]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(60):
            return await work

    return asyncio.run(limited())


def p99_ms(times_s: list[float]) -> float:
    return 1e3 * sorted(times_s)[int(0.99 * (len(times_s) - 1))]


@asynccontextmanager
async def joined(server: RunningServer, **changes: Any) -> AsyncIterator[tuple[ClientConnection, dict[str, Any]]]:
    """A connection that was welcomed, and the welcome."""
    async with connect(server.live_url, compression=None, proxy=None) as client:
        await client.send(hello(**changes))
        welcome = json.loads(await client.recv())
        assert welcome["type"] == "welcome", welcome
        yield client, welcome


async def close_code(client: ClientConnection) -> int:
    """The code with which the server closes, after whatever it says before."""
    try:
        async with asyncio.timeout(LIMIT_S):
            while True:
                await client.recv()
    except ConnectionClosed:
        pass
    assert client.close_code is not None
    return client.close_code


async def code_after(server: RunningServer, *messages: str | bytes, is_joined: bool = False) -> int:
    async with connect(server.live_url, compression=None, proxy=None) as client:
        if is_joined:
            await client.send(hello())
            await client.recv()
        with suppress(ConnectionClosed):
            for message in messages:
                await client.send(message)
        return await close_code(client)


def masked(opcode: int, payload: bytes, first: int = 0x80, is_masked: bool = True) -> bytes:
    """A frame of a client; `first` has its FIN and reserved bits."""
    bit = 0x80 if is_masked else 0
    if len(payload) < 126:
        head = struct.pack(">BB", first | opcode, bit | len(payload))
    elif len(payload) < 1 << 16:
        head = struct.pack(">BBH", first | opcode, bit | 126, len(payload))
    else:
        head = struct.pack(">BBQ", first | opcode, bit | 127, len(payload))
    return head + (bytes(4) if is_masked else b"") + payload


class RawSocket:
    """A WebSocket without a library: it may send what it likes, and needn't read."""

    def __init__(self, server: RunningServer) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.connection = socket.create_connection(("127.0.0.1", server.port), 10)
        head = f"GET /v1/live HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
        self.connection.sendall(
            f"{head}Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self.connection.recv(1)
        assert answer.startswith(b"HTTP/1.1 101"), answer

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def close_code(self, timeout_s: float = 8.0) -> int:
        """The code of the close frame that ends what is there to read; 0 if there is none."""
        self.connection.settimeout(timeout_s)
        received = b""
        with self.connection, suppress(ConnectionResetError):
            while part := self.connection.recv(1 << 16):
                received += part
        while len(received) >= 2:
            size, start = received[1] & 127, 2
            if size == 126:
                size, start = struct.unpack(">H", received[2:4])[0], 4
            if received[0] & 15 == 8:
                return struct.unpack(">H", received[start : start + 2])[0]
            received = received[start + size :]
        return 0


def test_what_is_sent_comes_back_to_its_sender(server: RunningServer) -> None:
    async def play() -> None:
        async with joined(server) as (client, _):
            for seq in range(20):
                await client.send(audio(seq, SILENCE + seq))
                echo = await client.recv()
                assert isinstance(echo, bytes)
                assert HEADER.unpack(echo[:24])[1] == STEM
                assert echo[24:] == (SILENCE + seq).tobytes()

    run(play())


async def leave_and_join(server: RunningServer, canary: int, num_rounds: int) -> int:
    """Rounds of a session that sends its own number; how many frames weren't of it."""
    foreign = 0
    draw = random.Random(canary)
    for _ in range(num_rounds):
        async with AsyncExitStack() as stack:
            client = await place(server, stack)
            for seq in range(draw.randint(1, 5)):
                await client.send(audio(seq, SILENCE + canary))
                echo = await client.recv()
                assert isinstance(echo, bytes)
                foreign += echo[24:] != (SILENCE + canary).tobytes()
    return foreign


async def place(server: RunningServer, stack: AsyncExitStack) -> ClientConnection:
    """A welcomed connection. Asks again while the server is full: one that has just left may still have its place."""
    while True:
        try:
            client, _ = await stack.enter_async_context(joined(server))
        except InvalidStatus as refused:
            if refused.response.status_code != 503:
                raise
            await asyncio.sleep(0.01)
        else:
            return client


@pytest.mark.slow
def test_no_byte_reaches_another(server: RunningServer, report: Report) -> None:
    num_rounds = 50

    async def play() -> list[int]:
        return await asyncio.gather(*(leave_and_join(server, canary, num_rounds) for canary in range(1, CAPACITY + 1)))

    foreign = sum(run(play()))
    report("p21_foreign_frames", foreign, f"in {CAPACITY * num_rounds} joins of {CAPACITY} sessions")
    assert foreign == 0


def test_a_full_server_says_so_at_once(server: RunningServer, report: Report) -> None:
    """The places are taken; 50 more knock together: programs get 503, pages a close with 1013.

    How long 50 clients in one process take is their machine's affair too: what they take to hear from an idle server
    that there is nothing at another path stands beside it.
    """
    num_more = 50
    origin = f"http://127.0.0.1:{server.port}"
    reasons: set[tuple[str, str]] = set()

    async def knock(is_page: bool, url: str = server.live_url) -> tuple[int, float]:
        start_s = time.monotonic()
        try:
            async with connect(
                url,
                compression=None,
                proxy=None,
                origin=origin if is_page else None,  # pyright: ignore
            ) as client:
                code = await close_code(client)
        except InvalidStatus as refused:
            code = refused.response.status_code
            if url == server.live_url:
                reason = json.loads(refused.response.body or b"")["error"]["code"]
                reasons.add((reason, refused.response.headers["Retry-After"]))
        return code, time.monotonic() - start_s

    async def idle() -> list[float]:
        answers = [
            await asyncio.gather(*(knock(is_page, f"{server.live_url}/none") for _ in range(num_more // 2)))
            for is_page in (False, True)
        ]
        return [time_s for together in answers for _, time_s in together]

    async def crowd() -> tuple[list[int], list[float]]:
        codes, times_s = [], []
        clients = [await connect(server.live_url, compression=None, proxy=None) for _ in range(CAPACITY)]
        for client in clients:
            await client.send(hello())
            await client.recv()
        assert server.request("GET", "/ready")[0] == 503
        for is_page in (False, True):
            for code, time_s in await asyncio.gather(*(knock(is_page) for _ in range(num_more // 2))):
                codes.append(code)
                times_s.append(time_s)
        for client in clients:
            await client.send(audio(0, SILENCE))
            assert isinstance(await client.recv(), bytes)
            await client.close()
        return codes, times_s

    idle_ms = p99_ms(run(idle()))
    codes, times_s = run(crowd())
    full_ms = p99_ms(times_s)
    report("p20_refused", sum(code in (503, 1013) for code in codes), f"of {num_more}")
    report("p20_refusal_p99", round(full_ms, 1), "ms (50 clients in one Python process)")
    report("p20_refusal_p99_idle", round(idle_ms, 1), "ms, of an idle server at a path where nothing is")
    assert reasons == {("full", "5")}
    assert codes == [503] * (num_more // 2) + [1013] * (num_more // 2)
    assert full_ms <= 2 * idle_ms + 100


def test_messages_are_limited(server: RunningServer, report: Report) -> None:
    before = server.rss_bytes
    codes = {
        "65537 B": run(code_after(server, b"\0" * 65_537, is_joined=True)),
        "16 MiB": run(code_after(server, b"\0" * (16 << 20), is_joined=True)),
        "1 MB hello": run(code_after(server, "x" * 1_000_000)),
    }
    bomb = RawSocket(server)
    bomb.send(masked(1, hello().encode()))
    bomb.send(masked(2, b"\x4a\x4c\x1c\x05\xa3`\x14\x0cw\x00\x00" * 1_000, first=0xC0))  # "compressed": RSV1
    codes["deflate"] = bomb.close_code()
    for name, part in (("10000 fragments", b"x"), ("10000 empty fragments", b"")):
        fragments = RawSocket(server)
        fragments.send(masked(1, hello().encode()))
        fragments.send(masked(2, b"x", first=0))
        with suppress(OSError):
            for _ in range(10_000):
                fragments.send(masked(0, part, first=0))
        codes[name] = fragments.close_code()
    report("p18_rss_growth", round((server.rss_bytes - before) / 2**20, 1), "MiB")
    assert codes.pop("deflate") == 1002
    assert set(codes.values()) == {1009}, codes
    assert server.rss_bytes - before <= 2 << 20


FRAMES = {
    "unmasked": (masked(1, b"{}", is_masked=False), 1002),
    "opcode": (masked(3, b"{}"), 1002),
    "reserved bits": (masked(1, b"{}", first=0xF0), 1002),
    "not UTF-8": (masked(1, b"\xff\xfe"), 1007),
    "close 1005": (masked(8, struct.pack(">H", 1005)), 1002),
    "close 999": (masked(8, struct.pack(">H", 999)), 1002),
    "long ping": (masked(9, b"x" * 126), 1002),
    "continuation of nothing": (masked(0, b"x"), 1002),
}


@pytest.mark.parametrize("name", FRAMES)
def test_bad_frames_have_their_code(server: RunningServer, name: str) -> None:
    data, code = FRAMES[name]
    client = RawSocket(server)
    client.send(data)
    assert client.close_code() == code


HELLOS: dict[str, tuple[str | bytes, int]] = {
    "binary": (audio(0, SILENCE), 1003),
    "no JSON": ("hello", 4400),
    "NaN": (hello().replace('"temperature": 1.0', '"temperature": NaN'), 4400),
    "deep": ("[" * 2_000 + "]" * 2_000, 4400),
    "list": ("[]", 4400),
    "other message": ('{"type": "ping", "id": 1, "sent_ms": 0, "rtt_ms": null}', 4400),
    "version": (hello(version=2), 4400),
    "unknown key": (hello(extra=1), 4400),
    "wrong type": (hello(seed="0"), 4400),
    "out of range": (hello(temperature=99), 4400),
    "10^5 deep": ("[" * 100_000 + "]" * 100_000, 1009),
    "rate": (hello(sample_rate=44_101), 4422),
    "format": (hello(format="mulaw"), 4422),
    "9 channels": (hello(channels=9), 4400),  # it is always one: there is no such field
    "resume token": (hello(resume="guessed"), 4401),
}


@pytest.mark.parametrize("name", HELLOS)
def test_bad_hellos_have_their_code(server: RunningServer, name: str) -> None:
    message, code = HELLOS[name]
    assert run(code_after(server, message)) == code


def test_who_says_nothing_goes_at_the_limit(server: RunningServer, report: Report) -> None:
    for name, limit_s in (("hello", 1.0), ("audio", AUDIO_GAP_S)):
        start_s = time.monotonic()
        assert run(code_after(server, is_joined=name == "audio")) == 4408
        off_s = time.monotonic() - start_s - limit_s
        report(f"p1_idle_{name}_off", round(off_s, 2), "s")
        assert off_s >= -0.1


def test_bad_audio_ends_the_session(server: RunningServer) -> None:
    good = audio(0, SILENCE)
    assert run(code_after(server, good + b"\0", is_joined=True)) == 1007
    assert run(code_after(server, *[b""] * 100, is_joined=True)) == 1008
    assert run(code_after(server, *[audio(seq, SILENCE) for seq in range(2_000)], is_joined=True)) == 1008


def test_a_bad_control_is_answered_and_the_session_goes_on(server: RunningServer) -> None:
    async def play() -> None:
        async with joined(server) as (client, _):
            for bad in ("nonsense", '{"type": "teleport"}', '{"type": "control", "density": 7}', hello()):
                await client.send(bad)
                assert json.loads(await client.recv())["type"] == "error", bad
            await client.send(audio(0, SILENCE))
            assert isinstance(await client.recv(), bytes)

    run(play())
    assert server.figure("gigmate_bad_messages_total") >= 3


def test_the_worker_may_end_a_session(server: RunningServer) -> None:
    assert run(code_after(server, '{"type": "control", "instrument": "other"}', is_joined=True)) == 4410


def test_who_stops_reading_is_closed(server: RunningServer, report: Report) -> None:
    """Audio is sent on, as a player would; nothing is read, so pings stay unanswered whatever the buffers hold."""
    client = RawSocket(server)
    client.send(masked(1, hello().encode()))
    start_s, seq, before = time.monotonic(), 0, server.rss_bytes
    closed = server.figure("gigmate_closed_total")
    while server.figure("gigmate_closed_total") == closed:
        assert time.monotonic() - start_s < LIMIT_S
        with suppress(OSError):
            client.send(masked(2, audio(seq, SILENCE)))
        seq += 1
        time.sleep(0.02)
    report("p1_slow_reader_closed_after", round(time.monotonic() - start_s, 2), "s")
    report("p1_slow_reader_rss", round((server.rss_bytes - before) / 2**20, 1), "MiB")
    assert client.close_code() == 4408


@pytest.mark.slow
def test_aborted_connections_leave_nothing(server: RunningServer) -> None:
    async def come_and_go(number: int) -> None:
        try:
            client = await connect(server.live_url, compression=None, proxy=None)
        except InvalidStatus:
            return
        if number % 3:
            with suppress(ConnectionClosed):  # places of those who were cut are kept for a while: 1013
                await client.send(hello())
                await client.recv()
        if number % 2:
            client.transport.abort()
        else:
            await client.close()

    async def crowd() -> None:
        for start in range(0, 200, CAPACITY):
            await asyncio.gather(*(come_and_go(number) for number in range(start, start + CAPACITY)))

    run(crowd())  # the fixture looks for slots that are stuck


def test_a_cut_client_comes_back(server: RunningServer, report: Report) -> None:
    num_cuts = 20

    async def play() -> int:
        num_resumed, token, session = 0, None, None
        for cut in range(num_cuts + 1):
            client = await connect(server.live_url, compression=None, proxy=None)
            await client.send(hello(resume=token))
            welcome = json.loads(await client.recv())
            while welcome["type"] != "welcome":
                welcome = json.loads(await client.recv())
            num_resumed += welcome["session"] == session
            token, session = welcome["resume"], welcome["session"]
            await client.send(audio(cut, SILENCE))
            if cut == 0:
                assert await code_after(server, hello(resume=token)) == 4409
            if cut < num_cuts:
                client.transport.abort()
                while server.figure("gigmate_closed_total") < 1:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
            else:
                await client.close()
        assert await code_after(server, hello(resume=token)) == 4401  # it was left for good
        return num_resumed

    resumed = run(play())
    report("p1_resumed", resumed, f"of {num_cuts} cuts")
    assert resumed == num_cuts


def test_a_lost_worker_is_told_and_replaced(server: RunningServer, report: Report) -> None:
    worst_s = 0.0
    for _ in range(10):
        assert run(code_after(server, '{"type": "control", "instrument": "lead"}', is_joined=True)) == 1012
        start_s = time.monotonic()
        server.wait_ready()
        worst_s = max(worst_s, time.monotonic() - start_s)
    report("p1_worker_back_after", round(worst_s, 2), "s")
    assert server.figure("gigmate_worker_restarts_total") >= 10


def status_of(server: RunningServer, **arguments: Any) -> int:
    async def knock() -> int:
        try:
            async with connect(server.live_url, compression=None, proxy=None, **arguments):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    return run(knock())


def test_handshakes_of_strangers_are_refused(server: RunningServer) -> None:
    own = f"http://127.0.0.1:{server.port}"
    assert status_of(server, origin=own) == 101
    assert status_of(server, subprotocols=["gigmate.v1"]) == 101
    for origin in ("http://evil.example", "null", f"{own}.evil.example", f"http://localhost.evil:{server.port}"):
        assert status_of(server, origin=origin) == 403, origin
    assert status_of(server, origin=own.replace("http", "https")) == 403
    assert status_of(server, subprotocols=["chat"]) == 426
    assert status_of(server, additional_headers={"Cookie": "x" * 40_000}) == 431


def test_an_address_that_connects_too_often_is_told(tmp_path: Path) -> None:
    """A burst of a second's worth is let in; then programs get 429, pages a close with 1008."""
    with running_server(tmp_path, connects_per_s=2.0) as server:
        assert [status_of(server) for _ in range(3)].count(101) >= 2
        origin = f"http://127.0.0.1:{server.port}"

        async def burst() -> list[int]:
            async def page() -> int:
                async with connect(server.live_url, compression=None, proxy=None, origin=origin) as client:  # pyright: ignore
                    with suppress(ConnectionClosed):
                        await client.send("no hello")
                    return await close_code(client)

            async def program() -> int:
                try:
                    async with connect(server.live_url, compression=None, proxy=None):
                        return 101
                except InvalidStatus as refused:
                    return refused.response.status_code

            return await asyncio.gather(*(page() if number % 2 else program() for number in range(20)))

        codes = run(burst())
        assert {429, 1008} <= set(codes)
        assert sum(code in (429, 1008) for code in codes) >= 14
        assert server.figure("gigmate_refused_total") >= 14


GRAMMAR = (
    '{"type": "control", "density": %s}',
    '{"type": "control", "instrument": "%s"}',
    '{"type": "tap", "sample_index": %s}',
    '{"type": "ping", "id": %s, "sent_ms": 0, "rtt_ms": null}',
    '{"type": "nudge", "beats": %s}',
    '{"type": "%s"}',
    "%s",
)
WORDS = ("0", "-1", "1e999", "NaN", "null", '"x"', "[]", "{}", "true", "9" * 400, "drums", "\u0000", "\U0001f3b8", '"')


def mangled(draw: random.Random) -> str | bytes:
    """A message after the protocol's grammar, or audio with some of its bytes changed."""
    if draw.random() < 0.6:
        template = draw.choice(GRAMMAR)
        return template % draw.choice(WORDS)
    content = bytearray(audio(draw.randrange(1 << 32), SILENCE[: draw.randrange(1, 480)]))
    for _ in range(draw.randrange(4)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content[: draw.choice((len(content), draw.randrange(len(content) + 1)))])


async def fuzz(server: RunningServer, num_messages: int, seed: int) -> list[int]:
    """Send mangled messages, on a new connection whenever one is closed; the codes of those closes."""
    draw, codes, sent = random.Random(seed), [], 0
    while sent < num_messages:
        async with connect(server.live_url, compression=None, proxy=None, max_queue=None) as client:
            try:
                if draw.random() < 0.9:
                    await client.send(hello())
                while sent < num_messages:
                    sent += 1
                    await client.send(mangled(draw))
                    if sent % 20 == 0:
                        await asyncio.sleep(0.1)  # under the limit of messages per second
            except ConnectionClosed:
                pass
            await client.close()
            codes.append(client.close_code or 0)
    return codes


async def healthy(server: RunningServer, done: asyncio.Event) -> tuple[int, int]:
    """A session that plays in time beside; frames sent, and frames that came back later than 100 ms."""
    late = seq = 0
    async with joined(server) as (client, _):
        start_s = time.monotonic()
        while not done.is_set():
            await asyncio.sleep(max(0.0, start_s + 0.02 * seq - time.monotonic()))
            sent_s = time.monotonic()
            await client.send(audio(seq, SILENCE))
            assert isinstance(await client.recv(), bytes)
            late += time.monotonic() - sent_s > 0.1
            seq += 1
    return seq, late


def attack(server: RunningServer, num_messages: int) -> tuple[list[int], int, int]:
    async def both() -> tuple[list[int], int, int]:
        done = asyncio.Event()
        beside = asyncio.create_task(healthy(server, done))
        codes = await fuzz(server, num_messages, seed=20_261_122)
        done.set()
        return codes, *await beside

    return asyncio.run(both())


def judged(server: RunningServer, report: Report, num_messages: int, lane: str) -> None:
    codes, num_frames, late = attack(server, num_messages)
    report(f"p22_bug_closes{lane}", codes.count(1011), f"in {num_messages} messages, {len(codes)} connections")
    report(f"p22_tracebacks{lane}", server.log.read_text().count("Traceback"))
    report(f"p22_healthy_late{lane}", late, f"of {num_frames} frames")
    assert not set(codes) & {0, 1006, 1011}, codes
    assert "Traceback" not in server.log.read_text()


def test_no_message_is_a_fault_of_ours(server: RunningServer, report: Report) -> None:
    judged(server, report, 300, "")


@pytest.mark.slow
def test_no_message_is_a_fault_of_ours_at_length(server: RunningServer, report: Report) -> None:
    judged(server, report, 10_000, "_long")


@pytest.mark.slow
def test_sigterm_lets_sessions_end(tmp_path: Path, report: Report) -> None:
    async def play(server: RunningServer) -> tuple[int, bool, float]:
        async with joined(server) as (client, _):
            await client.send(audio(0, SILENCE))
            await client.recv()
            server.process.terminate()
            start_s = time.monotonic()
            assert json.loads(await client.recv()) == {"type": "goodbye", "reason": "draining"}
            await client.send(audio(1, SILENCE))
            is_played = isinstance(await client.recv(), bytes)
            assert server.request("GET", "/ready")[0] == 503
            return await close_code(client), is_played, start_s

    with running_server(tmp_path, drain_s=1.0) as server:
        code, is_played, start_s = run(play(server))
        assert server.process.wait(LIMIT_S) == 0
        report("p1_drained_after", round(time.monotonic() - start_s, 2), "s of 1 s")
        assert (code, is_played) == (1001, True)


@pytest.mark.slow
def test_the_token_opens_the_socket(tmp_path: Path) -> None:
    token = "a-token-of-enough-letters"
    with running_server(tmp_path, token=token) as server:
        own = f"http://127.0.0.1:{server.port}"
        bearer = {"Authorization": f"Bearer {token}"}
        assert status_of(server) == 401
        assert status_of(server, additional_headers=bearer) == 101
        assert status_of(server, subprotocols=["gigmate.v1", f"gigmate.token.{token}"]) == 101
        assert status_of(server, subprotocols=["gigmate.v1", "gigmate.token.wrong"]) == 401

        async def page() -> int:
            async with connect(server.live_url, compression=None, proxy=None, origin=own) as client:  # pyright: ignore
                return await close_code(client)

        assert run(page()) == 1008
        for path in ("/metrics", "/docs", "/openapi.json", "/practice.wav", f"/metrics?token={token}"):
            assert server.request("GET", path)[0] == 401, path
        assert server.request("POST", "/predict", b"x")[0] == 401
        assert server.request("GET", "/metrics", headers=bearer)[0] == 200
        assert server.request("GET", "/")[0] == 303
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": own}
        assert server.request("POST", "/token", b"token=wrong", form)[0] == 401
        assert server.request("POST", "/token", b"token=" + b"x" * 5_000, form)[0] == 413
        status, headers, _ = server.request("POST", "/token", f"token={token}".encode(), form)
        kept = headers["set-cookie"].split(";")[0]
        assert (status, token in kept, "HttpOnly" in headers["set-cookie"]) == (303, False, True)
        cookie = {"Cookie": f"theme=dark; {kept}"}
        assert server.request("GET", "/metrics", headers=cookie)[0] == 200
        assert server.request("GET", "/", headers=cookie)[0] == 200
        assert status_of(server, origin=own, additional_headers=cookie) == 101
        assert server.request("GET", "/metrics", headers={"Cookie": f"{kept[:-1]}x"})[0] == 401
        assert token not in server.log.read_text()
