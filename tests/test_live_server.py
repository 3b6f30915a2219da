"""The server's parts by themselves: who may ask, how often, what waits for a client, and how it starts."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from reporting import Report
from server_fakes import CAPACITY, FakeWorker, hello
from starlette.responses import PlainTextResponse

from gigmate.errors import InputError, MachineError, UsageError
from gigmate.live.server.answers import Refusal, refusal_of
from gigmate.live.server.guard import Guard
from gigmate.live.server.hub import Hub
from gigmate.live.server.link import Closed, Link
from gigmate.live.server.metrics import Metrics
from gigmate.live.server.predict import Instrument
from gigmate.live.server.rate import Bucket, PerAddress
from gigmate.live.server.run import bound
from gigmate.live.server.settings import ServeSettings, is_loopback, is_token
from gigmate.music.instruments import INSTRUMENTS

LOCAL = ServeSettings(port=8765)
TOKEN = "a-token-of-enough-letters"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def ask(settings: ServeSettings, method: str = "POST", path: str = "/predict", **headers: str | list[str]) -> int:
    """The guard's answer to a request, 200 if it lets it through; underscores in names stand for dashes."""
    raw = [
        (name.replace("_", "-").encode(), text.encode("latin-1"))
        for name, value in headers.items()
        for text in ([value] if isinstance(value, str) else value)
    ]
    statuses: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            statuses.append(message["status"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b""}
    app = PlainTextResponse("let through")
    asyncio.run(Guard(app, settings, lambda _: None)(scope, receive, send))  # pyright: ignore[reportArgumentType]
    return statuses[0]


STRANGERS = {
    "null": {"origin": "null"},
    "other": {"origin": "http://evil.example"},
    "prefix": {"origin": "http://localhost:8765.evil.example"},
    "suffix": {"origin": "http://evil-localhost:8765"},
    "user": {"origin": "http://localhost:8765@evil.example"},
    "port": {"origin": "http://localhost:8766"},
    "no port": {"origin": "http://localhost"},
    "scheme": {"origin": "https://localhost:8765"},
    "file": {"origin": "file://localhost:8765"},
    "idn": {"origin": "http://lócalhost:8765"},
    "path": {"origin": "http://localhost:8765/"},
    "empty": {"origin": ""},
    "no scheme": {"origin": "localhost:8765"},
    "twice": {"origin": ["http://localhost:8765", "http://localhost:8765"]},
    "missing in a browser": {"sec_fetch_site": "cross-site"},
}


def test_strangers_pages_are_refused(report: Report) -> None:
    accepted = [
        name
        for name, headers in STRANGERS.items()
        if ask(LOCAL, host="localhost:8765", **headers) != 403  # pyright: ignore
    ]
    report("p19_origins_wrongly_accepted", len(accepted), f"of {len(STRANGERS)}")
    assert accepted == []


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"])
def test_our_pages_and_programs_may(host: str) -> None:
    assert ask(LOCAL, host=host) == 200
    assert ask(LOCAL, host=host, origin=f"http://{host.lower()}") == 200
    assert ask(LOCAL, "GET", "/", host=host, sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "localhost", "localhost:8766", "127.0.0.1.evil.example:8765", ""]
)
def test_other_names_are_refused(host: str) -> None:
    """A name that a stranger's DNS turns to 127.0.0.1 is still the stranger's name."""
    assert ask(LOCAL, "GET", "/health", host=host) == 421
    assert ask(LOCAL, "GET", "/health", host=["localhost:8765", host]) == 421


def test_names_and_origins_can_be_added() -> None:
    wide = replace(LOCAL, hosts=("band.example",), origins=("https://band.example",))
    assert ask(wide, host="band.example", origin="https://band.example") == 200
    assert ask(LOCAL, host="band.example") == 421


def test_beyond_this_machine_addresses_are_names_enough() -> None:
    wide = replace(LOCAL, host="0.0.0.0", token=TOKEN)
    bearer = f"Bearer {TOKEN}"
    assert ask(wide, host="192.0.2.7:8765", authorization=bearer, origin="http://192.0.2.7:8765") == 200
    assert ask(wide, host="rebound.example:8765", authorization=bearer) == 421
    assert ask(LOCAL, host="192.0.2.7:8765") == 421


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {TOKEN} "},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": "Bearer " + "x" * 10_000},
        {"authorization": [f"Bearer {TOKEN}", f"Bearer {TOKEN}"]},
        {"sec_websocket_protocol": "gigmate.v1, gigmate.token.wrong"},
        {"authorization": "Bearer \xe9"},
    ],
)
def test_without_the_token_nothing_is_answered(headers: dict[str, Any]) -> None:
    closed = replace(LOCAL, token=TOKEN)
    for path in ("/predict", "/metrics", "/docs", "/openapi.json", "/practice.wav", "/v1/live"):
        assert ask(closed, "GET", path, host="localhost:8765", **headers) == 401, path
    for path in ("/", "/static/app.js", "/health", "/ready"):
        assert ask(closed, "GET", path, host="localhost:8765", **headers) == 200, path


def test_the_token_is_taken_from_header_or_subprotocol() -> None:
    closed = replace(LOCAL, token=TOKEN)
    assert ask(closed, host="localhost:8765", authorization=f"Bearer {TOKEN}") == 200
    assert ask(closed, host="localhost:8765", sec_websocket_protocol=f"gigmate.v1, gigmate.token.{TOKEN}") == 200


def test_headers_are_limited() -> None:
    assert ask(LOCAL, host="localhost:8765", cookie="x" * LOCAL.max_head_bytes) == 431


def test_tokens_fit_headers() -> None:
    assert is_token(TOKEN)
    assert not any(is_token(text) for text in ("", "short", "with spaces in it ", "a,b" * 10, "x" * 257, "é" * 20))


def test_loopback_is_this_machine_alone() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.0.2.7", "localhost.evil", ""))


def test_bucket_lets_a_rate_pass() -> None:
    clock = Clock()
    bucket = Bucket(per_s=10, burst=3, clock=clock)
    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]
    clock.now_s = 0.1
    assert [bucket.take() for _ in range(2)] == [True, False]
    clock.now_s = 100.0
    assert sum(bucket.take() for _ in range(10)) == 3


def test_addresses_are_counted_apart() -> None:
    rates = PerAddress(per_s=1, burst=1, clock=Clock())
    assert [rates.take(address) for address in ("a", "b", "a")] == [True, True, False]


def test_the_api_offers_what_the_model_knows() -> None:
    assert get_args(Instrument) == INSTRUMENTS


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("too_long", "x", "/secret/path"), 413),
        (InputError("unrecognised", "x"), 415),
        (InputError("bad_subtype", "x"), 415),
        (InputError("truncated", "x"), 422),
        (UsageError("lookahead", "x"), 422),
        (MachineError("memory", "x"), 503),
    ],
)
def test_our_errors_have_a_status(error: Any, status: int) -> None:
    refusal = refusal_of(error)
    assert (refusal.status, refusal.code) == (status, error.code)
    assert "/secret" not in refusal.message


def in_hub(act: Callable[[Hub], Awaitable[None]], make_worker: Callable[[], Any] = FakeWorker, **changes: Any) -> None:
    """Run `act` with a hub of two places."""

    async def run() -> None:
        hub = Hub(make_worker, ServeSettings(**{"capacity": 2, **changes}), Metrics())
        await hub.start()
        try:
            async with asyncio.timeout(30):
                await act(hub)
        finally:
            await hub.stop()

    asyncio.run(run())


async def welcomed(hub: Hub) -> tuple[Link, dict[str, Any]]:
    link = hub.open(hello())
    return link, json.loads(await link.get())


def test_there_are_as_many_places_as_the_worker_has_found_that_it_holds() -> None:
    async def act(hub: Hub) -> None:
        assert hub.capacity == CAPACITY
        with contextlib.ExitStack() as seats:
            for _ in range(CAPACITY):
                seats.enter_context(hub.seat())
            with pytest.raises(Refusal, match=f"all {CAPACITY} places are taken"):
                seats.enter_context(hub.seat())

    in_hub(act, capacity=None)
    assert Hub(FakeWorker, ServeSettings(), Metrics()).obstacle() is not None  # no worker yet: no places either


def test_places_are_counted_from_hello_to_close() -> None:
    async def act(hub: Hub) -> None:
        with hub.seat(), hub.seat(), pytest.raises(Refusal, match="places are taken"), hub.seat():
            pass
        links = [hub.open(hello()) for _ in range(2)]
        with pytest.raises(Refusal, match="places are taken"), hub.seat():
            pass
        hub.close(links[0])
        with hub.seat():
            assert hub.num_taken == 2
        assert hub.num_taken == 1

    in_hub(act)


def test_a_session_that_was_left_is_resumed_once() -> None:
    async def act(hub: Hub) -> None:
        link, welcome = await welcomed(hub)
        other, _ = await welcomed(hub)
        with pytest.raises(Closed, match="in use"):
            hub.resume(welcome["resume"])
        hub.park(link)
        with hub.seat():  # although all places are taken: one may be resumed
            with pytest.raises(Closed, match="full"):
                hub.open(hello())
            with pytest.raises(Closed, match="no session"):
                hub.resume("guessed")
            assert hub.resume(welcome["resume"]) is link
        with pytest.raises(Closed, match="in use"):
            hub.resume(welcome["resume"])
        assert json.loads(await link.get())["type"] == "welcome"
        assert other.is_attached

    in_hub(act)


def test_a_session_that_nobody_resumes_ends() -> None:
    async def act(hub: Hub) -> None:
        link, welcome = await welcomed(hub)
        hub.park(link)
        while hub.num_taken:
            await asyncio.sleep(0.01)
        with pytest.raises(Closed, match="no session"):
            hub.resume(welcome["resume"])

    in_hub(act, resume_s=0.05)


def test_a_lost_worker_ends_its_sessions_and_is_replaced() -> None:
    made: list[FakeWorker] = []

    def make() -> FakeWorker:
        made.append(FakeWorker())
        return made[-1]

    async def act(hub: Hub) -> None:
        link, _ = await welcomed(hub)
        hub.send(link, json.dumps({"type": "control", "instrument": "lead"}))
        with pytest.raises(Closed, match="restarts") as end:
            await link.get()
        assert end.value.code == 1012
        assert hub.num_taken == 0
        while not hub.is_alive:
            with pytest.raises(Refusal, match="starting"), hub.seat():
                pass
            await asyncio.sleep(0.02)
        again, _ = await welcomed(hub)
        hub.send(again, b"\x01\x01audio")
        assert await again.get() == b"\x01\x02audio"

    in_hub(act, make)
    assert len(made) == 2


def test_draining_takes_nobody_and_says_so() -> None:
    async def act(hub: Hub) -> None:
        link, _ = await welcomed(hub)
        draining = asyncio.create_task(hub.drain())
        assert json.loads(await link.get()) == {"type": "goodbye", "reason": "draining"}
        with pytest.raises(Refusal, match="about to stop"), hub.seat():
            pass
        with pytest.raises(Closed, match="draining") as end:
            await link.get()
        assert end.value.code == 1001
        await draining

    in_hub(act, drain_s=0.05)


def test_a_link_without_a_client_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("gigmate.live.server.link.time.monotonic", clock)

    async def newest() -> bytes | str:
        link = Link(1, backlog_s=2.0)
        link.is_attached = False
        for second in range(6):
            clock.now_s = float(second)
            link.put(bytes([second]))
        assert link.end is None
        return await link.get()

    assert asyncio.run(newest()) == bytes([3])


def test_a_client_that_does_not_read_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("gigmate.live.server.link.time.monotonic", clock)

    async def read() -> None:
        link = Link(1, backlog_s=2.0)
        for second in (0.0, 1.0, 2.1):
            clock.now_s = second
            link.put(b"x")
        await link.get()

    with pytest.raises(Closed, match="not reading") as end:
        asyncio.run(read())
    assert end.value.code == 4408


def test_a_taken_port_is_the_machines_fault() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(MachineError, match="is taken"), bound("127.0.0.1", other.getsockname()[1]):
            pass
    with pytest.raises(MachineError, match=r"isn't an address|can't listen"), bound("192.0.2.1", 0):
        pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["host=0.0.0.0"], 2, "token"),
        (["token=short"], 2, "token"),
        (["port=70000"], 2, "port"),
        (["capacity=0"], 2, "capacity"),
        (["prot=80"], 2, "port"),
        (["port={busy}"], 5, "taken"),
    ],
)
def test_what_cannot_start_says_why(repo: Path, arguments: list[str], code: int, word: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        busy = str(other.getsockname()[1])
        command = [sys.executable, "serve.py", *(argument.format(busy=busy) for argument in arguments)]
        done = subprocess.run(command, cwd=repo, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("error[GM-")
    assert done.stderr.count("\n") == 1
    assert word in done.stderr
    assert "short" not in done.stderr
