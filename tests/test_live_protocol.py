"""The live protocol: golden bytes that the page reads too, strict text, and no input that raises anything else."""

import contextlib
import json
import re
import struct
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigmate.live import messages
from gigmate.live.messages import CLIENT_MESSAGES, RATES, SERVER_MESSAGES, Hello, Nudge
from gigmate.live.protocol import (
    FLOAT32,
    MAX_FRAMES,
    MAX_MESSAGE_BYTES,
    MIX,
    STEM,
    Audio,
    ProtocolError,
    decode_audio,
    encode_audio,
    encode_text,
    parse_client_text,
    parse_server_text,
)

GOLDEN = json.loads((Path(__file__).parent / "data" / "live_protocol" / "golden.json").read_text())
DOCUMENT = Path(messages.__file__).parent / "PROTOCOL.md"
HELLO = {"type": "hello", "version": 1, "sample_rate": 48_000, "instrument": "drums"}
EXAMPLES = {
    "sample_rate": 48_000,
    "instrument": "bass",
    "format": "float32",
    "beats": "tempo",
    "bpm": 120.0,
    "resume": "token",
    "source": "tap",
    "mode": "bars",
    "reason": "why",
    "code": "code",
    "message": "a sentence",
    "instruments": ("drums", "bass"),
    "lookahead_range_ms": (-1000.0, -20.0),
    "lookahead_ms": -240,
    "lay_out": True,
    "solo": False,
    "record": True,
    "version": 1,
    "beats_per_bar": 3,
}


def example(kind: type[Any]) -> Any:
    """A message with every field set to something that isn't its default."""
    values = {field.name: EXAMPLES.get(field.name, 1) for field in fields(kind)}
    if kind is Nudge:
        values["beats"] = -0.25
    return kind(**values)


@pytest.mark.parametrize("case", GOLDEN["audio"], ids=lambda case: case["hex"][:8])
def test_audio_has_the_golden_bytes(case: dict[str, Any]) -> None:
    is_float, count = case["format"] == FLOAT32, len(case["samples"])
    numbers = case["samples"] if is_float else [round(32_768 * sample) for sample in case["samples"]]
    samples = struct.pack(f"<{count}{'f' if is_float else 'h'}", *numbers)
    named = {name: case[name] for name in ("kind", "format", "flags", "seq", "sample_index")}
    audio = Audio(**named, samples=samples)
    assert encode_audio(audio).hex() == case["hex"]
    assert decode_audio(bytes.fromhex(case["hex"]), case["kind"]) == audio
    assert audio.num_samples == count


@pytest.mark.parametrize("case", GOLDEN["not_audio"], ids=lambda case: case["why"])
def test_what_is_no_audio_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match=r".") as caught:
        decode_audio(bytes.fromhex(case["hex"]))
    assert caught.value.close_code == (4400 if case["why"] == "version" else 1007)


def test_audio_has_limits() -> None:
    most = MAX_FRAMES * max(RATES) // 50
    ok = Audio(kind=MIX, format=FLOAT32, seq=0, sample_index=0, samples=bytes(4 * most))
    assert decode_audio(encode_audio(ok)) == ok
    long = Audio(kind=MIX, format=FLOAT32, seq=0, sample_index=0, samples=bytes(4 * most + 4))
    for message in (encode_audio(long), bytes(MAX_MESSAGE_BYTES + 1)):
        with pytest.raises(ProtocolError, match=r"(is|are) the most") as caught:
            decode_audio(message)
        assert caught.value.close_code == 1009
    four_frames = Audio(kind=MIX, format=FLOAT32, seq=0, sample_index=0, samples=bytes(4 * 4 * 480))
    assert decode_audio(encode_audio(four_frames), sample_rate=24_000) == four_frames
    with pytest.raises(ProtocolError, match="4 frames are the most"):
        decode_audio(encode_audio(four_frames), sample_rate=22_050)
    far = Audio(kind=MIX, format=FLOAT32, seq=0, sample_index=2**63, samples=b"")
    with pytest.raises(ProtocolError, match="beyond any session") as caught:
        decode_audio(encode_audio(far))
    assert caught.value.close_code == 4410


@pytest.mark.parametrize("kind", CLIENT_MESSAGES, ids=lambda kind: kind.TYPE)
def test_what_a_client_says_comes_back_as_it_was(kind: type[Any]) -> None:
    assert parse_client_text(encode_text(example(kind))) == example(kind)


@pytest.mark.parametrize("kind", SERVER_MESSAGES, ids=lambda kind: kind.TYPE)
def test_what_a_server_says_comes_back_as_it_was(kind: type[Any]) -> None:
    assert parse_server_text(encode_text(example(kind))) == example(kind)


def test_fields_with_a_default_may_be_left_out_and_null() -> None:
    least = parse_client_text(json.dumps(HELLO))
    assert least == Hello(version=1, sample_rate=48_000, instrument="drums")
    assert parse_client_text(json.dumps({**HELLO, "bpm": None})) == least
    assert parse_client_text(json.dumps({**HELLO, "temperature": 1})) == least


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a JSON"),
        ("{", "not a JSON"),
        ("[]", "has a type"),
        ('"hello"', "has a type"),
        ('{"type": 1}', "has a type"),
        ('{"type": "evil"}', "has a type"),
        ('{"type": "welcome"}', "has a type"),
        ("[" * 2000, "not a JSON"),
        ('{"type":"nudge","beats":NaN}', "no number"),
        ('{"type":"nudge","beats":1e999}', "isn't finite"),
        ('{"type":"nudge","beats":0,"beats":1}', "twice"),
        ('{"type":"nudge","beats":"1"}', "must be float, not str"),
        ('{"type":"nudge","beats":true}', "must be float, not bool"),
        ('{"type":"nudge","beats":2}', "must lie in"),
        ('{"type":"nudge"}', "needs beats"),
        ('{"type":"nudge","beats":0,"x":1}', "no field 'x'"),
        ('{"type":"tap","sample_index":1.5}', "must be int"),
        ('{"type":"tap","sample_index":-1}', "must lie in"),
        ('{"type":"tap","sample_index":9007199254740993}', "must lie in"),
        ('{"type":"control","lay_out":1}', "must be bool"),
        ('{"type":"goodbye","reason":"a\\nb"}', "can't be printed"),
        ('{"type":"goodbye","reason":"\\ud800"}', "can't be printed"),
        ('{"type":"control","instrument":"' + "x" * 33 + '"}', "is the most"),
        (json.dumps({**HELLO, "beats": "feeling"}), "must be one of"),
        (json.dumps({**HELLO, "version": 2}), "speaks 1"),
        (json.dumps({**HELLO, "beats": "tempo"}), "need bpm"),
        (json.dumps({**HELLO, "seed": None}), "must be int"),
    ],
)
def test_bad_text_says_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as caught:
        parse_client_text(text)
    assert caught.value.close_code == 4400
    assert len(caught.value.reason.encode()) <= 123


@pytest.mark.parametrize("value", ["[1]", "[1,true]", '[1,"2"]', '"12"', "[1,2,3]", "[1e999,0]", "null"])
def test_bad_lists_are_refused(value: str) -> None:
    welcome = next(text for text in GOLDEN["server_text"] if '"welcome"' in text)
    with pytest.raises(ProtocolError, match=r"list of float|isn't finite"):
        parse_server_text(welcome.replace("[-1000.5,-20.5]", value))


def test_golden_text_is_said_and_understood() -> None:
    for texts, parse, kinds in (
        (GOLDEN["client_text"], parse_client_text, CLIENT_MESSAGES),
        (GOLDEN["server_text"], parse_server_text, SERVER_MESSAGES),
    ):
        assert [type(parse(text)) for text in texts] == list(kinds)
        assert [encode_text(parse(text)) for text in texts] == texts


@pytest.mark.parametrize(("name", "value"), [("sample_rate", 44_101), ("format", "mulaw")])
def test_what_is_not_supported_has_a_code_and_the_list(name: str, value: object) -> None:
    with pytest.raises(ProtocolError, match=rf"{name} is '{value}'.*(96000|float32)$") as caught:
        parse_client_text(json.dumps({**HELLO, name: value}))
    assert caught.value.close_code == 4422


def test_text_that_is_too_long_has_a_code_of_its_own() -> None:
    with pytest.raises(ProtocolError, match="is the most") as caught:
        parse_client_text("x" * 1_000_000)
    assert caught.value.close_code == 1009


def test_numbers_that_are_not_finite_are_never_sent() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_text(Nudge(beats=float("nan")))


SCALARS = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
FIELDS = sorted({field.name for kind in CLIENT_MESSAGES for field in fields(kind)} | {"x"})
TYPES = st.sampled_from([kind.TYPE for kind in CLIENT_MESSAGES])
NEAR_MESSAGES = st.builds(
    lambda kind, values: json.dumps({**(HELLO if kind == "hello" else {}), **values, "type": kind}),
    TYPES,
    st.dictionaries(st.sampled_from(FIELDS), SCALARS | st.lists(SCALARS, max_size=2), max_size=3),
)


@settings(max_examples=2000, deadline=None)
@given(st.text(max_size=50) | NEAR_MESSAGES)
def test_any_text_is_a_message_or_a_protocol_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        message = parse_client_text(text)
        assert parse_client_text(encode_text(message)) == message


@pytest.mark.parametrize("reason", ["x" * 500, "é" * 100, "\ud800"], ids=["long", "wide", "half"])
def test_a_reason_fits_into_a_close_frame(reason: str) -> None:
    assert len(ProtocolError(4400, reason).reason.encode()) <= 123


@settings(max_examples=2000, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_audio_or_a_protocol_error(message: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert encode_audio(decode_audio(message)) == message


def test_the_document_names_every_message_and_close() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for kind in (*CLIENT_MESSAGES, *SERVER_MESSAGES):
        assert f"`{kind.TYPE}`" in text, kind.TYPE
    for code in (1001, 1002, 1003, 1007, 1008, 1009, 1012, 1013, 4400, 4401, 4408, 4409, 4410, 4422):
        assert f"| {code} |" in text, code


def test_the_example_of_the_document_is_the_protocol() -> None:
    said = re.findall(r"^    (->|<-) (.+)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(said) > 10
    refused = []
    for arrow, message in said:
        if not message.startswith("{"):
            head, _, more = message.partition(" + ")
            audio = bytes.fromhex(head) + bytes(int(more.split()[0]))
            assert decode_audio(audio, MIX if arrow == "->" else STEM).num_samples == 960
        elif arrow == "<-":
            answer = parse_server_text(message)
            if isinstance(answer, messages.Error):
                assert answer.message == refused.pop()
        else:
            try:
                parse_client_text(message)
            except ProtocolError as error:
                refused.append(error.reason)
    assert not refused
