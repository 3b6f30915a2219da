"""The bytes of `WS /v1/live`: text messages as strict JSON, audio behind a header of 24 bytes.

Standard library alone; `gigmate/live/PROTOCOL.md` is what it does, `tests/data/live_protocol` holds its golden bytes.
"""

import json
import math
import struct
import types
import typing
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from gigmate.live.messages import (
    CLIENT_MESSAGES,
    RATES,
    SERVER_MESSAGES,
    ClientMessage,
    Hello,
    ServerMessage,
)

VERSION = 1
MAX_MESSAGE_BYTES = 65_536
MAX_FRAMES = 4
"""Most codec frames of audio in one message."""

FRAMES_PER_S = 50
HEADER = struct.Struct("<BBBBIQII")
MIX, STEM = 1, 2
PCM16, FLOAT32 = 0, 1
LAID_OUT, AFTER_GAP = 1, 2
SAMPLE_BYTES = {PCM16: 2, FLOAT32: 4}
_MAX_INDEX = 2**53 - 1
_MAX_TEXT = 4096  # characters of a text message: none has more, and what nests that deep can't hurt


class ProtocolError(ValueError):
    """A message that isn't one.

    Args:
        close_code: with which the connection is closed if it can't go on.
        reason: at most 123 bytes of UTF-8.
    """

    def __init__(self, close_code: int, reason: str) -> None:
        self.close_code = close_code
        self.reason = reason.encode(errors="replace")[:123].decode(errors="ignore")
        super().__init__(self.reason)


@dataclass(frozen=True, kw_only=True)
class Audio:
    """A binary message.

    Args:
        kind: `MIX` from the client, `STEM` from the server.
        format: `PCM16` or `FLOAT32`, little endian.
        flags: `LAID_OUT` | `AFTER_GAP`.
        seq: rises by 1 from message to message, per direction.
        sample_index: of the first sample, on the session's sample clock.
        samples: mono.
    """

    kind: int
    format: int
    seq: int
    sample_index: int
    samples: bytes
    flags: int = 0

    @property
    def num_samples(self) -> int:
        """How many there are."""
        return len(self.samples) // SAMPLE_BYTES[self.format]


def encode_audio(audio: Audio) -> bytes:
    """The message as it travels."""
    head = (VERSION, audio.kind, audio.format, audio.flags, audio.seq, audio.sample_index, audio.num_samples, 0)
    return HEADER.pack(*head) + audio.samples


def decode_audio(message: bytes, kind: int = MIX, sample_rate: int = max(RATES)) -> Audio:
    """The audio in a binary message.

    Args:
        message: as it came.
        kind: that it must be.
        sample_rate: of the session; it bounds the length.

    Raises:
        ProtocolError: 1007 for a payload that isn't what its header says, 1009 for one that is too long, 4400, 4410.
    """
    if len(message) > MAX_MESSAGE_BYTES:
        raise ProtocolError(1009, f"{len(message)} bytes, but {MAX_MESSAGE_BYTES} is the most")
    if len(message) < HEADER.size:
        raise ProtocolError(1007, f"{len(message)} bytes, but an audio message begins with {HEADER.size}")
    version, own_kind, form, flags, seq, sample_index, num_samples, reserved = HEADER.unpack_from(message)
    if version != VERSION:
        raise ProtocolError(4400, f"audio of protocol version {version}, this is {VERSION}")
    if own_kind != kind or form not in SAMPLE_BYTES or flags > (LAID_OUT | AFTER_GAP) or reserved:
        raise ProtocolError(1007, f"kind {own_kind}, format {form}, flags {flags}: not an audio header")
    samples = message[HEADER.size :]
    if len(samples) != num_samples * SAMPLE_BYTES[form]:
        raise ProtocolError(1007, f"{len(samples)} bytes of audio, but the header says {num_samples} samples")
    if num_samples > MAX_FRAMES * sample_rate // FRAMES_PER_S:
        raise ProtocolError(1009, f"{num_samples} samples, but {MAX_FRAMES} frames are the most")
    if sample_index > _MAX_INDEX - num_samples:
        raise ProtocolError(4410, f"sample index {sample_index} is beyond any session")
    return Audio(kind=own_kind, format=form, flags=flags, seq=seq, sample_index=sample_index, samples=samples)


def encode_text(message: ClientMessage | ServerMessage) -> str:
    """A message as JSON; values that are None are left out.

    Raises:
        ValueError: a number isn't finite.
    """
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    present = {name: value for name, value in values.items() if value is not None}
    return json.dumps({"type": message.TYPE, **present}, allow_nan=False, separators=(",", ":"))


def parse_client_text(text: str) -> ClientMessage:
    """What a client says.

    Raises:
        ProtocolError: 4400: no JSON, unknown, incomplete, of other types or out of range; 4422: a sample rate or
            format that isn't supported.
    """
    message = _parse(text, {kind.TYPE: kind for kind in CLIENT_MESSAGES})
    if isinstance(message, Hello):
        if message.version != VERSION:
            raise ProtocolError(4400, f"hello of version {message.version}, this server speaks {VERSION}")
        if message.beats == "tempo" and message.bpm is None:
            raise ProtocolError(4400, "hello: beats by tempo need bpm")
    return message


def parse_server_text(text: str) -> ServerMessage:
    """What a server says.

    Raises:
        ProtocolError: 4400, as for clients.
    """
    return _parse(text, {kind.TYPE: kind for kind in SERVER_MESSAGES})


def _parse(text: str, kinds: dict[str, Any]) -> Any:
    if len(text) > _MAX_TEXT:
        raise ProtocolError(1009, f"{len(text)} characters, but {_MAX_TEXT} is the most for a text")
    try:
        values = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(4400, f"not a JSON message: {error}") from error
    if not isinstance(values, dict) or not isinstance(name := values.pop("type", None), str) or name not in kinds:
        raise ProtocolError(4400, f"a message has a type, one of {', '.join(kinds)}")
    known = {field.name: field for field in fields(kinds[name])}
    if unknown := sorted(set(values) - set(known)):
        raise ProtocolError(4400, f"{name} has no field {unknown[0][:40]!r}")
    hints = typing.get_type_hints(kinds[name])
    if missing := [key for key, field in known.items() if key not in values and field.default is MISSING]:
        raise ProtocolError(4400, f"{name} needs {missing[0]}")
    return kinds[name](**{key: _value(f"{name}.{key}", known[key], hints[key], values[key]) for key in values})


def _value(where: str, field: Field[Any], hint: Any, value: Any) -> Any:
    """A field's value, judged."""
    about = field.metadata
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and types.NoneType in options:
        return None
    kind = next(option for option in options if option is not types.NoneType)
    if typing.get_origin(kind) is tuple:
        return _list(where, kind, value)
    value = _widened(kind, value)
    if type(value) is not kind:
        raise ProtocolError(4400, f"{where} must be {kind.__name__}, not {type(value).__name__}")
    if "range" in about and not (about["range"][0] <= value <= about["range"][1]):
        raise ProtocolError(
            4400, f"{where} is {str(value)[:20]}, but must lie in {about['range'][0]}..{about['range'][1]}"
        )
    if "choice" in about and value not in about["choice"]:
        allowed = ", ".join(str(one) for one in about["choice"])
        raise ProtocolError(about["close_code"], f"{where} is {str(value)[:20]!r}, but must be one of {allowed}")
    if "max_length" in about and len(value) > about["max_length"]:
        raise ProtocolError(4400, f"{where} has {len(value)} characters, {about['max_length']} is the most")
    if "max_length" in about and not value.isprintable():  # no line ends for logs, no half surrogates for UTF-8
        raise ProtocolError(4400, f"{where} holds characters that can't be printed")
    return value


def _widened(kind: Any, value: Any) -> Any:
    """A whole number where a float is wanted, as one: JSON doesn't tell 1 from 1.0."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if kind is float and is_whole and abs(value) <= _MAX_INDEX else value


def _list(where: str, kind: Any, value: Any) -> tuple[Any, ...]:
    of, *others = typing.get_args(kind)
    items = [_widened(of, item) for item in value] if isinstance(value, list) else []
    has_length = len(items) <= 64 if others == [...] else len(items) == 1 + len(others)
    if not isinstance(value, list) or not has_length or any(type(item) is not of for item in items):
        raise ProtocolError(4400, f"{where} must be a short list of {of.__name__}")
    return tuple(items)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError("a number isn't finite")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice")
    return values
