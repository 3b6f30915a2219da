"""Who may ask at all: Host, Origin and token are judged before any route, for HTTP and WebSocket alike.

A page of a stranger can make a visitor's browser talk to 127.0.0.1. What it can't do is choose the `Origin` and `Host`
that the browser sends: so both must be ours. Programs (curl, the reference client) send no Origin; that is no hole, for
a browser always sends one with a WebSocket and a POST, and marks whatever else it sends with `Sec-Fetch-Site`.

Source: OWASP ASVS 4.4.2 (Origin of WebSockets), W3C Fetch Metadata.
"""

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import Callable, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gigmate.live.server.answers import Refusal, draining, error_parts
from gigmate.live.server.settings import ServeSettings

TOKEN_PROTOCOL = "gigmate.token."
"""A browser can't set headers on a WebSocket: a page may offer this subprotocol followed by the token."""

COOKIE = "gigmate"
"""Or its page for the token sets this cookie, which holds a digest of it."""

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_OPEN_PATHS = ("/", "/health", "/ready", "/favicon.ico", "/sw.js", "/token")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob:; img-src 'self' data: blob:; "
        b"worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
)


class Headers:
    """The headers of a request, each at most once where that matters."""

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self.raw = list(raw)

    def all(self, name: bytes) -> list[str]:
        """The values of a header, in order."""
        return [value.decode("latin-1") for key, value in self.raw if key.lower() == name]

    def only(self, name: bytes) -> str | None:
        """The value of a header; None if it isn't there, empty if it is there twice."""
        values = self.all(name)
        return None if not values else values[0] if len(values) == 1 else ""

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(len(key) + len(value) + 4 for key, value in self.raw)


class Guard:
    """ASGI middleware that judges every request and gives it an id.

    Args:
        app: what it stands before.
        settings: names, origins and token.
        count: told the status of every HTTP answer.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, count: Callable[[int], None]) -> None:
        self.app, self.settings, self._count = app, settings, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge, then hand on or refuse."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        headers = Headers(scope["headers"])
        if scope["type"] == "http":
            send = self._marked(scope, send)
        try:
            self._judge(scope, headers)
        except Refusal as refusal:
            if scope["type"] == "websocket":
                await refuse_socket(refusal, request_id, receive, send)
            else:
                await _refuse_http(refusal, request_id, send)
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:  # by uvicorn, of what isn't answered when the server's time is over
            if not scope["state"].get("is_answered"):
                await _refuse_http(draining(), request_id, send)

    def _marked(self, scope: Scope, send: Send) -> Send:
        """`send` that adds the request's id and the headers that keep pages of strangers out."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(message["status"])
                scope["state"]["is_answered"] = True
                own = [(b"x-request-id", scope["state"]["request_id"].encode()), *_SECURITY_HEADERS]
                given = {name.lower() for name, _ in message.get("headers", [])}
                added = [(name, value) for name, value in own if name not in given]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        return marked

    def _judge(self, scope: Scope, headers: Headers) -> None:
        if headers.size > self.settings.max_head_bytes:
            raise Refusal(431, "headers", f"more than {self.settings.max_head_bytes} bytes of headers")
        host = headers.only(b"host") or ""
        if not self.is_host(host):
            raise Refusal(421, "host", "this server isn't known by that name")
        is_socket = scope["type"] == "websocket"
        if not self.is_origin(headers, host, is_safe=not is_socket and scope["method"] in _SAFE_METHODS):
            raise Refusal(403, "origin", "pages of that origin may not use this server")
        has_token = scope["state"]["has_token"] = self.settings.token is None or self.has_token(headers)
        is_open = scope["path"] in _OPEN_PATHS or scope["path"].startswith("/static/")
        # a browser can't read the status of a refused WebSocket: the socket's route accepts and closes with 1008
        is_told_later = is_socket and headers.only(b"origin") is not None
        if not has_token and not is_open and not is_told_later:
            raise Refusal(401, "token", "give the server's token as Authorization: Bearer")

    def is_host(self, host: str) -> bool:
        """Whether a `Host` header names this server."""
        port, name = self.settings.port, host.lower()
        known = {f"{loopback}:{port}" for loopback in _LOOPBACK_NAMES} | {h.lower() for h in self.settings.hosts}
        if port == 80:
            known |= set(_LOOPBACK_NAMES)
        if name in known:
            return True
        # An address can't be rebound by DNS; only names can.
        address, _, given_port = name.rpartition(":")
        return not self.settings.is_local and given_port == str(port) and _is_address(address)

    def is_origin(self, headers: Headers, host: str, *, is_safe: bool) -> bool:
        """Whether a request comes from a page of ours, or from no page at all."""
        origins = headers.all(b"origin")
        if not origins:
            site = headers.only(b"sec-fetch-site")
            is_visit = is_safe and headers.only(b"sec-fetch-mode") == "navigate"
            return site in (None, "same-origin", "none") or is_visit
        if len(origins) > 1:
            return False
        origin = origins[0]
        if origin in self.settings.origins:
            return True
        return origin.startswith("http://") and self.is_host(origin.removeprefix("http://"))

    def has_token(self, headers: Headers) -> bool:
        """Whether the right token is shown, compared in constant time."""
        scheme, _, given = (headers.only(b"authorization") or "").partition(" ")
        shown = [given] if scheme.lower() == "bearer" else []
        for line in headers.all(b"sec-websocket-protocol"):
            offers = [offer.strip() for offer in line.split(",")]
            shown += [offer.removeprefix(TOKEN_PROTOCOL) for offer in offers if offer.startswith(TOKEN_PROTOCOL)]
        token = self.settings.token or ""
        if len(shown) == 1:
            return is_same(shown[0], token)
        cookies = [pair.strip() for line in headers.all(b"cookie") for pair in line.split(";")]
        kept = [pair.removeprefix(f"{COOKIE}=") for pair in cookies if pair.startswith(f"{COOKIE}=")]
        return not shown and len(kept) == 1 and is_same(kept[0], cookie_of(token))


def is_same(given: str, secret: str) -> bool:
    """Whether two texts are equal, in a time that doesn't tell how far."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def cookie_of(token: str) -> str:
    """What a browser keeps in the place of the token."""
    return hmac.new(token.encode(), b"gigmate cookie", "sha256").hexdigest()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _encoded(refusal: Refusal, request_id: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    body, headers = error_parts(refusal, request_id)
    lines = {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
    return body, [(name.lower().encode(), value.encode()) for name, value in lines.items()]


async def _refuse_http(refusal: Refusal, request_id: str, send: Send) -> None:
    body, headers = _encoded(refusal, request_id)
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse_socket(refusal: Refusal, request_id: str, receive: Receive, send: Send) -> None:
    """Answer a WebSocket handshake with an HTTP error."""
    await receive()
    body, headers = _encoded(refusal, request_id)
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
