"""How the server and the worker's process talk: messages of sessions over a socket pair, each with a short header.

    u8 kind | u64 session | u32 length | payload          little endian

A text or a binary message is what a client sent or is to be sent, or a text that the two have agreed on (see
`gigmate.live.worker_main`). The worker's first message, of session 0, says that it is ready, or why it can't be; from
then on it says every `BEAT_S` that it lives, so that one that hangs is told from one that has nothing to say.
Nothing here can run code: both ends read bytes and JSON alone.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum

HEADER = struct.Struct("<BQI")
MAX_PAYLOAD_BYTES = 1 << 20
"""More than any message of a client or the worker has."""

BEAT_S = 1.0
"""How often the worker says that it lives."""


class Kind(IntEnum):
    """What a payload is."""

    TEXT = 1
    BINARY = 2
    READY = 3
    """JSON of `EngineFacts`."""
    FAILED = 4
    """JSON of a `GigmateError`, with its exit code."""
    ALIVE = 5
    """Empty."""


def pack(session_id: int, payload: bytes | str, kind: Kind | None = None) -> bytes:
    """One message; its kind is that of the payload's type unless it is given.

    Raises:
        ValueError: it is too long.
    """
    body = payload.encode() if isinstance(payload, str) else payload
    if len(body) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a message of {len(body)} bytes, but {MAX_PAYLOAD_BYTES} is the most")
    if kind is None:
        kind = Kind.TEXT if isinstance(payload, str) else Kind.BINARY
    return HEADER.pack(kind, session_id, len(body)) + body


def unpack(kind: Kind, body: bytes) -> bytes | str:
    """The payload of a message of that kind."""
    return body if kind == Kind.BINARY else body.decode()


def take_all(received: bytearray) -> Iterator[tuple[int, bytes | str]]:
    """The (session, payload) that `received` holds whole, taken out of it; a part of one stays."""
    at = 0
    while len(received) - at >= HEADER.size:
        kind, session_id, length = HEADER.unpack_from(received, at)
        stop = at + HEADER.size + length
        if len(received) < stop:
            break
        yield session_id, unpack(Kind(kind), bytes(received[at + HEADER.size : stop]))
        at = stop
    del received[:at]
