"""What strangers put into an upload: every bad audio file its code, and multipart bodies right and wrong."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import jsonschema
import numpy as np
import pytest
from audio_bytes import encoded, float_wav
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from reporting import Report
from server_fakes import SLOW_SEEDS, RunningServer, form, running_server, song_bytes
from test_audio_bad import CASES

LIMIT = 16 << 20
SEED = 20_261_123
STATUS = {"unrecognised": 415, "bad_subtype": 415, "too_long": 413}
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), max_upload_bytes=LIMIT, max_seconds=20.0) as running:
        yield running


@pytest.fixture(scope="module")
def schema(server: RunningServer) -> dict[str, Any]:
    return json.loads(server.request("GET", "/openapi.json")[2])


@pytest.mark.parametrize(("code", "file"), CASES.values(), ids=list(CASES))
def test_bad_audio_has_its_code(server: RunningServer, code: str, file: bytes) -> None:
    body, headers = form(file)
    status, _, content = server.request("POST", "/predict", body, headers)
    if not code:
        assert status == 200
        return
    error = json.loads(content)["error"]
    assert (status, error["code"]) == (STATUS.get(code, 422), code)
    assert str(server.folder) not in error["message"]


def test_what_is_odd_about_a_song_is_said_in_a_header(server: RunningServer) -> None:
    silence = encoded(np.zeros((2, 24_000), np.float32), 24_000, "FLAC", "PCM_16")
    status, headers, _ = server.request("POST", "/predict", *form(silence))
    assert (status, headers["x-gigmate-notes"].split(":")[0]) == (200, "silent")
    shifted = 0.3 + 0.1 * np.sin(np.arange(24_000) / 9)[None]
    assert "dc: channel 0" in server.request("POST", "/predict", *form(float_wav(shifted)))[1]["x-gigmate-notes"]
    assert "x-gigmate-notes" not in server.request("POST", "/predict", *form(song_bytes()))[1]


def test_every_parameter_has_an_example_that_is_taken(server: RunningServer, schema: dict[str, Any]) -> None:
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            parameters = about.get("parameters", [])
            for parameter in parameters:
                jsonschema.validate(parameter["schema"]["examples"][0], parameter["schema"])
            query = urlencode({p["name"]: p["schema"]["examples"][0] for p in parameters})
            upload = form(song_bytes()) if method == "post" else (None, {})
            assert server.request(method.upper(), f"{path}?{query}", *upload)[0] == 200, f"{path}?{query}"


NAMES = st.sampled_from(
    ["request", "request", "request", "Request", "", "file", "x" * 9_000, "a\r\nb", 'q"q', "\u266b"]
)
FILENAMES = st.sampled_from(
    ['; filename="in.wav"', "; filename=in.wav", "", '; filename="../../etc/x"', "; filename*=utf-8''%00"]
)
CONTENTS = st.one_of(
    st.sampled_from([song_bytes(0.2), song_bytes(0.2)[:60], b"", b"--edge--", b"\r\n--edge\r\n"]),
    st.sampled_from([file for _, file in CASES.values() if len(file) < 100_000]),
    st.binary(max_size=300),
)
LINES = st.lists(
    st.sampled_from(
        [b"Content-Type: audio/wav", b"Content-Type: \xff", b"X: " + b"y" * 5_000, b"nonsense", b": empty"]
    ),
    max_size=3,
)
TYPES = st.sampled_from(
    ["multipart/form-data; boundary=edge"] * 6
    + [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
        "multipart/mixed",
    ]
    + ["application/json", "", "multipart/form-data; boundary=" + "e" * 300, "\xff"]
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    """A body after the schema, or one that is wrong in some place, and its headers."""
    body = b""
    for _ in range(draw(st.sampled_from([1, 1, 1, 1, 0, 2, 9]))):
        name = draw(NAMES).encode()
        disposition = b'Content-Disposition: form-data; name="' + name + b'"' + draw(FILENAMES).encode()
        body += b"--edge\r\n" + b"\r\n".join([disposition, *draw(LINES)]) + b"\r\n\r\n" + draw(CONTENTS) + b"\r\n"
    body += draw(st.sampled_from([b"--edge--\r\n"] * 5 + [b"--edge--", b"--edge", b""]))
    if draw(st.integers(0, 4)) == 0:
        cut = draw(st.integers(0, len(body)))
        body = body[:cut] + draw(st.binary(max_size=4)) + body[cut + draw(st.integers(0, 4)) :]
    headers = {"Content-Type": draw(TYPES)}
    if draw(st.integers(0, 9)) == 0:
        headers["Content-Encoding"] = draw(st.sampled_from(["gzip", "identity", "br", "identity, gzip"]))
    return body, headers


def queries(about: dict[str, Any]) -> st.SearchStrategy[str]:
    """Queries of an operation; a third of the values are right."""
    known = {parameter["name"]: parameter["schema"]["examples"][0] for parameter in about.get("parameters", [])}
    right = st.sampled_from(list(known.items())) if known else st.nothing()
    wrong = st.sampled_from(["", "-1", "1e999", "nan", "null", "[]", "tuba", "\u0663", "\x00", "9" * 400]) | st.text(
        max_size=9
    )
    pair = right | st.tuples(st.sampled_from([*known, "x", "mix[]"]), wrong)
    slow = {str(number) for number in SLOW_SEEDS}
    drawn = st.lists(pair, max_size=3).filter(lambda pairs: not any(str(value) in slow for _, value in pairs))
    return drawn.map(lambda pairs: urlencode([(name, str(value)) for name, value in pairs], errors="replace"))


def judge(schema: dict[str, Any], about: dict[str, Any], answer: Answer) -> str:
    """What is wrong with an answer by the schema; empty: nothing."""
    status, headers, content = answer
    if (response := about["responses"].get(str(status))) is None:
        return f"{status} isn't documented"
    kind = headers.get("content-type", "").split(";")[0]
    if kind not in response["content"]:
        return f"{status} with {kind!r}, documented {list(response['content'])}"
    if kind == "application/json":
        whole = {**response["content"][kind]["schema"], "components": schema["components"]}
        return "; ".join(
            error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(json.loads(content))
        )
    return "" if content else "empty"


def attack(server: RunningServer, schema: dict[str, Any], num_examples: int) -> dict[str, int]:
    """Requests to every operation; how many answers there were by status. Each is documented and as documented."""
    counts: dict[str, int] = {}
    unhealthy = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
    for path, methods in schema["paths"].items():
        for method, about in methods.items():

            @seed(SEED)
            @settings(max_examples=num_examples, deadline=None, suppress_health_check=unhealthy, database=None)
            @given(queries(about), bodies() if method == "post" else st.just((None, {})))
            def one(query: str, upload: tuple[bytes | None, dict[str, str]]) -> None:
                answer = server.request(method.upper(), f"{path}?{query}", *upload)  # noqa: B023 (called here)
                assert answer[0] < 500 or answer[0] == 503
                assert judge(schema, about, answer) == "", (method, path, query, upload)  # noqa: B023
                counts[str(answer[0])] = counts.get(str(answer[0]), 0) + 1

            one()
    return counts


def judged(server: RunningServer, schema: dict[str, Any], report: Report, num_examples: int, lane: str) -> None:
    counts = attack(server, schema, num_examples)
    assert {"200", "400", "415", "422"} <= set(counts), counts  # the generator reaches what it should
    report(f"p23_schema_violations{lane}", 0, f"of {sum(counts.values())} requests, {num_examples} to an operation")


def test_every_answer_is_as_documented(server: RunningServer, schema: dict[str, Any], report: Report) -> None:
    judged(server, schema, report, 100, "")


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_every_answer_is_as_documented_at_length(server: RunningServer, schema: dict[str, Any], report: Report) -> None:
    judged(server, schema, report, 1_000, "_long")
