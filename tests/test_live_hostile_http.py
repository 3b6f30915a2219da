"""HTTP from strangers, to a real server in a process of its own: each bad request its code, no harm to others."""

import contextlib
import json
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from reporting import Report
from server_fakes import RunningServer, form, running_server, song_bytes

LIMIT = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(
        tmp_path_factory.mktemp("server"), max_upload_bytes=LIMIT, max_seconds=20.0, slow_s=1.0, predict_queue=2
    ) as running:
        yield running


def error_code(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    """Status and code, after a look at the shape that all errors have."""
    status, headers, body = answer
    error = json.loads(body)["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert error["request_id"] in (headers.get("x-request-id"), "unread")
    assert str(Path(__file__).parent.parent) not in body.decode()
    return status, error["code"]


def raw(server: RunningServer, data: bytes, timeout_s: float = 10.0) -> bytes:
    """What comes back for these bytes until the server closes or answers whole."""
    with socket.create_connection(("127.0.0.1", server.port), timeout_s) as connection:
        connection.sendall(data)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(1 << 16):
                received += part
                if b"\r\n\r\n" in received and received.rstrip().endswith((b"}", b"]")):
                    break
        return received


def post(server: RunningServer, body: bytes, headers: dict[str, str], query: str = "") -> Any:
    return server.request("POST", f"/predict{query}", body, headers)


def test_a_song_comes_back_as_wav(server: RunningServer) -> None:
    song = song_bytes(2.0)
    status, headers, wave = post(server, *form(song))
    assert (status, headers["content-type"]) == (200, "audio/wav")
    assert wave == song  # the fake player answers with what it heard
    assert [path.name for path in server.folder.glob("gigmate-*")] == []


def test_the_page_and_its_files_are_served(server: RunningServer) -> None:
    status, headers, page = server.request("GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    names = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.decode()))
    assert names
    for name in names:
        assert server.request("GET", name)[0] == 200, name
    assert server.request("GET", "/sw.js")[1]["content-type"].startswith("text/javascript")


def test_the_interface_is_described(server: RunningServer) -> None:
    described = {path for path, _, _ in operations(server)}
    assert described == {"/predict", "/practice.wav", "/health", "/ready", "/metrics"}
    page = server.request("GET", "/docs")[2].decode()
    assert all(path in page for path in described)
    assert "http://" + f"127.0.0.1:{server.port}/predict" in page


BODIES = {
    "no boundary": (b"x", {"Content-Type": "multipart/form-data"}, 400, "malformed"),
    "other type": (b"{}", {"Content-Type": "application/json"}, 415, "content_type"),
    "no type": (b"x", {}, 415, "content_type"),
    "compressed": (form(b"x")[0], {**form(b"x")[1], "Content-Encoding": "gzip"}, 415, "encoding"),
    "empty body": (b"", form(b"")[1], 400, "malformed"),
    "not multipart": (b"\0" * 1000, form(b"")[1], 400, "malformed"),
    "cut": (form(song_bytes())[0][:-20], form(b"")[1], 400, "malformed"),
    "other field": (*form(b"x", name="song"), 422, "field"),
    "two files": (form(b"x")[0][:-10] + b"\r\n" + form(b"x")[0], form(b"")[1], 422, "two_files"),
    "no part": (b"--edge--\r\n", form(b"")[1], 422, "no_file"),
    "10000 parts": (b"--edge\r\n\r\nx\r\n" * 10_000 + b"--edge--\r\n", form(b"")[1], 422, "field"),
    "long name": (*form(b"x", name="n" * 500_000), 400, "malformed"),
    "markup in the name": (*form(b"x", name="<img onerror=alert(1)>"), 422, "field"),
    "empty file": (*form(b""), 422, "empty"),
    "text": (*form(b"this is no audio at all" * 100), 415, "unrecognised"),
    "too long": (*form(song_bytes(21.0)), 413, "too_long"),
    "too large": (*form(b"\0" * (LIMIT + 1)), 413, "too_large"),
    "cut song": (*form(song_bytes()[:20_000]), 422, "truncated"),
}


@pytest.mark.parametrize("name", BODIES)
def test_bad_bodies_have_their_code(server: RunningServer, name: str) -> None:
    body, headers, status, code = BODIES[name]
    answer = post(server, body, headers)
    assert error_code(answer) == (status, code)
    assert b"onerror" not in answer[2]


QUERIES = (
    *("instrument=tuba", "seed=-1", "seed=1.5", "seed=4294967296", "seed=" + "9" * 5_000, "seed=1&seed=1"),
    *("seconds=0", "seconds=nan", "seconds=1e999", "lookahead_s=-11", "guidance_scale=inf", "mix=maybe", "extra=1"),
)


@pytest.mark.parametrize("query", QUERIES)
def test_fields_obey_their_ranges(server: RunningServer, query: str) -> None:
    assert error_code(post(server, *form(song_bytes()), f"?{query}"))[0] == 422


HEADS = {
    "length is a word": (b"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: abc\r\n\r\n", b"400"),
    "length is negative": (b"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n", b"400"),
    "two lengths": (
        b"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"400",
    ),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", b"400"),
    "two hosts": (b"GET /health HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n", b"400"),
    "other host": (b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
    "huge cookie": (b"GET /health HTTP/1.1\r\nHost: {host}\r\nCookie: " + b"x" * 1_000_000 + b"\r\n\r\n", b"431"),
    "many headers": (b"GET /health HTTP/1.1\r\nHost: {host}\r\n" + (b"X: " + b"y" * 8_192 + b"\r\n") * 100, b"431"),
    "huge length": (b"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1073741824\r\n"
                    b"Content-Type: multipart/form-data; boundary=edge\r\n\r\n", b"413"),
    "bad chunk": (b"POST /predict HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n"
                  b"Content-Type: multipart/form-data; boundary=edge\r\n\r\nzz\r\n", b"400"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_bad_heads_have_their_status(server: RunningServer, name: str) -> None:
    data, status = HEADS[name]
    answer = raw(server, data.replace(b"{host}", b"127.0.0.1:%d" % server.port))
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert b'"error"' in answer


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"", "nothing"),
        (b"GET /health HTTP/1.1\r\nHost: 127", "half a head"),
        (
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
            b"Content-Length: 1000\r\n\r\n--edge",
            "half a body",
        ),
    ],
)
def test_slow_clients_are_told(server: RunningServer, start: bytes, name: str) -> None:
    start_s = time.monotonic()
    answer = raw(server, start.replace(b"%d", str(server.port).encode()))
    assert answer.startswith(b"HTTP/1.1 408"), (name, answer)
    assert time.monotonic() - start_s >= 0.9


def test_paths_lead_nowhere_else(server: RunningServer) -> None:
    for path in (
        "/static/../app.py",
        "/static/..%2f..%2fapp.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/",
        "/x",
    ):
        assert error_code(server.request("GET", path)) == (404, "not_found"), path
    status, headers, _ = server.request("DELETE", "/predict")
    assert (status, headers["allow"]) == (405, "POST")


def test_ten_thousand_ranges_cost_nothing(server: RunningServer) -> None:
    """Beside a plain request, in turns; the limit is that of a quiet machine on top of it."""

    def took_s(right: int, **headers: str) -> float:
        start_s = time.monotonic()
        assert server.request("GET", "/openapi.json", headers=headers)[0] == right
        return time.monotonic() - start_s

    for num_ranges, right in ((10_000, 431), (2_000, 200)):
        ranges = "bytes=" + ",".join(f"{n}-{n}" for n in range(num_ranges))
        pairs = [(took_s(200), took_s(right, Range=ranges)) for _ in range(9)]
        plain_s, many_s = (statistics.median(times_s) for times_s in zip(*pairs, strict=True))
        assert many_s <= 10 * plain_s + 0.05


@pytest.mark.slow
def test_a_full_queue_says_so_and_frees_itself(server: RunningServer) -> None:
    body, headers = form(song_bytes())
    answers: list[int] = []

    def slow() -> None:
        answers.append(post(server, body, headers, "?seed=100")[0])

    waiting = [threading.Thread(target=slow) for _ in range(2)]
    for thread in waiting:
        thread.start()
    while server.figure("gigmate_predict_tasks") < 2:
        time.sleep(0.01)
    busy = post(server, body, headers)
    assert error_code(busy) == (503, "busy")
    assert int(busy[1]["retry-after"]) > 0
    assert server.request("GET", "/health")[0] == 200
    for thread in waiting:
        thread.join()
    assert answers == [200, 200]
    assert post(server, body, headers)[0] == 200


@pytest.mark.slow
def test_who_leaves_stops_the_work(server: RunningServer, report: Report) -> None:
    body, headers = form(song_bytes())
    lines = {**headers, "Host": f"127.0.0.1:{server.port}", "Content-Length": str(len(body))}
    head = "POST /predict?seed=100000 HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    steps = server.folder / "steps.txt"
    steps.unlink(missing_ok=True)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + b"\r\n" + body)
        while not steps.exists():
            time.sleep(0.01)
    start_s = time.monotonic()
    assert post(server, body, headers)[0] == 200  # one process: it could only answer when the other was stopped
    report("http_stopped_after_leaving", round(time.monotonic() - start_s, 2), "s")
    assert [path.name for path in server.folder.glob("gigmate-*")] == []


def test_a_crash_of_the_job_is_told_and_mended(server: RunningServer) -> None:
    body, headers = form(song_bytes())
    assert error_code(post(server, body, headers, "?seed=666")) == (503, "worker_lost")
    assert post(server, body, headers)[0] == 200


def health_p99_ms(server: RunningServer, is_over: Callable[[int], bool]) -> float:
    """Of requests one after the other; `is_over` is told how many there were."""
    times_s: list[float] = []
    while not times_s or not is_over(len(times_s)):
        start_s = time.monotonic()
        assert server.request("GET", "/health")[0] == 200
        times_s.append(time.monotonic() - start_s)
        time.sleep(0.005)
    return 1e3 * sorted(times_s)[int(0.99 * (len(times_s) - 1))]


@pytest.mark.parametrize("is_honest", [True, False])
def test_a_body_is_counted_while_it_streams(server: RunningServer, report: Report, is_honest: bool) -> None:
    """1 GiB is offered, in chunks or behind a length that says so; the server reads its limit and no more."""
    lines = f"Host: 127.0.0.1:{server.port}\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
    length = "Transfer-Encoding: chunked" if is_honest else f"Content-Length: {LIMIT - 1}"
    start = b'--edge\r\nContent-Disposition: form-data; name="request"; filename="a"\r\n\r\n'
    block = b"\0" * (1 << 16)
    chunk = b"%x\r\n%s\r\n" % (len(block), block)
    idle_ms = health_p99_ms(server, lambda number: number == 50)
    before, done = server.rss_bytes, threading.Event()
    beside_ms: list[float] = []
    probe = threading.Thread(target=lambda: beside_ms.append(health_p99_ms(server, lambda _: done.is_set())))
    probe.start()
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\n{lines}{length}\r\n\r\n".encode())
        connection.sendall(b"%x\r\n%s\r\n" % (len(start), start) if is_honest else start)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 1 << 30:
                connection.sendall(chunk if is_honest else block)
                sent += len(block)
        with contextlib.suppress(OSError):
            answer = connection.recv(1 << 16)
    done.set()
    probe.join()
    assert answer == b"" or answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))
    refused = re.findall(r"refused after (\d+) bytes", server.log.read_text())
    read = int(refused[-1]) if is_honest else 0
    report("p17_read_over_limit", max(0, read - LIMIT), "B")
    report("p17_rss_growth", (server.rss_bytes - before) >> 20, "MiB")
    report("p17_health_p99", round(beside_ms[0], 1), "ms")
    report("p17_health_p99_idle", round(idle_ms, 1), "ms")
    assert beside_ms[0] <= 2 * idle_ms + 100
    assert read <= LIMIT + (1 << 16)
    assert sent < 1 << 26  # what the buffers on the way take
    assert server.rss_bytes - before <= 32 << 20


def operations(server: RunningServer) -> list[tuple[str, str, dict[str, Any]]]:
    schema = json.loads(server.request("GET", "/openapi.json")[2])
    return [(path, method, about) for path, methods in schema["paths"].items() for method, about in methods.items()]


VALUES = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["drums", "bass", "true", "false", "", "null", "[]", "{}", "1e5", "0x1", "nan", "٣", "%00"]),
    st.text(max_size=20),
)
SLOW_AND_LARGE = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
SCHEMA_SEED = 20_261_122


def attack(server: RunningServer, num_examples: int) -> tuple[int, int]:
    """Requests drawn from the schema, right and wrong: 5xx that aren't 503, and statuses that aren't documented."""
    known = operations(server)
    faults: list[tuple[str, str, int]] = []
    strange: list[tuple[str, str, int]] = []

    @seed(SCHEMA_SEED)
    @settings(max_examples=num_examples, deadline=None, suppress_health_check=SLOW_AND_LARGE, database=None)
    @given(st.data())
    def one(data: st.DataObject) -> None:
        from urllib.parse import urlencode

        path, method, about = data.draw(st.sampled_from(known))
        method = data.draw(st.sampled_from([method.upper()] * 8 + ["PUT", "PATCH", "OPTIONS", "HEAD"]))
        names = [parameter["name"] for parameter in about.get("parameters", [])]
        drawn = data.draw(st.lists(st.tuples(st.sampled_from([*names, "x"]), VALUES), max_size=4))
        query = urlencode([(name, value) for name, value in drawn], errors="replace")
        body, headers = data.draw(
            st.sampled_from([form(song_bytes(0.2)), form(b"x"), (b"x", {}), (b"", {}), (b"{}", {"Content-Type": "a"})])
        )
        if method not in ("POST", "PUT", "PATCH"):
            body, headers = b"", {}
        if "seed" in query and path == "/predict":
            headers = {**headers, "Content-Length": str(len(body))}
        status = server.request(method, f"{path}?{query}", body or None, headers)[0]
        if status >= 500 and status != 503:
            faults.append((method, f"{path}?{query}", status))
        if method.lower() in ("get", "post") and str(status) not in about["responses"] and status != 405:
            strange.append((method, f"{path}?{query}", status))

    one()
    assert faults == []
    assert strange == []
    return len(faults), len(strange)


def test_no_input_is_a_fault_of_ours(server: RunningServer, report: Report) -> None:
    faults, strange = attack(server, 60)
    report("p23_http_5xx", faults, "of 60 requests drawn from the schema")
    report("p23_http_undocumented", strange, "of 60")


@pytest.mark.slow
def test_no_input_is_a_fault_of_ours_at_length(server: RunningServer, report: Report) -> None:
    faults, strange = attack(server, 1_000)
    report("p23_http_5xx_long", faults, "of 1000 requests drawn from the schema")
    report("p23_http_undocumented_long", strange, "of 1000")
