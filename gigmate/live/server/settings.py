"""What a server is told and the limits it keeps."""

import ipaddress
from dataclasses import dataclass

TOKEN_LENGTHS = range(16, 257)
_TOKEN_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True)
class ServeSettings:
    """One server's settings; `port` is the one that is bound.

    Args:
        host: address to listen on.
        port: TCP port.
        capacity: live sessions at once; None: as many as the machine holds, measured before anybody is let in.
        token: what a client must show; None: nothing (loopback only).
        hosts: further names (`name` or `name:port`) under which browsers may reach the server.
        origins: further origins (`https://name`) whose pages may.
        drain_s: how long sessions may play on after SIGTERM.
        max_upload_bytes: of one request body.
        max_seconds: of an uploaded song, and of an answer.
        predict_queue: predictions that wait or run at once.
        connects_per_s: new live connections per address, after a burst of a second's worth.
        hello_s: from accept to hello.
        audio_gap_s: without audio.
        backlog_s: of messages that a client hasn't read.
        resume_s: how long a dropped client's session is kept.
        slow_s: for a request's head; after so long a body must come at `min_bytes_per_s`.
        min_bytes_per_s: mean rate of a body after `slow_s`.
        max_head_bytes: all headers of a request.
        messages_per_s: from one live client, 4 per codec frame.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    capacity: int | None = None
    token: str | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    drain_s: float = 10.0
    max_upload_bytes: int = 64 << 20
    max_seconds: float = 600.0
    predict_queue: int = 4
    connects_per_s: float = 10.0
    hello_s: float = 5.0
    audio_gap_s: float = 10.0
    backlog_s: float = 2.0
    resume_s: float = 10.0
    slow_s: float = 10.0
    min_bytes_per_s: int = 10_000
    max_head_bytes: int = 32 << 10
    messages_per_s: float = 200.0

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_token(text: str) -> bool:
    """Whether `text` can be a token: long enough to be one, and fit for a header and a subprotocol as it stands."""
    return len(text) in TOKEN_LENGTHS and set(text) <= _TOKEN_CHARACTERS
