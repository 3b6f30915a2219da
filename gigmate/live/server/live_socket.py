"""`WS /v1/live`: from the handshake to the last message. What the messages are, `gigmate/live/PROTOCOL.md` says.

judge ── accept ── hello in 5 s ──┬── client ──> session, each message judged, counted, at a limited rate
                                  └── session ──> client, in order, from a queue that holds 2 s
"""

import asyncio
import contextlib
import logging
import time
from typing import Any

from starlette.types import Receive, Scope, Send

from gigmate.live.messages import Error, Goodbye, Hello
from gigmate.live.protocol import ProtocolError, decode_audio, encode_text, parse_client_text
from gigmate.live.server.answers import Refusal
from gigmate.live.server.guard import TOKEN_PROTOCOL, refuse_socket
from gigmate.live.server.hub import Hub
from gigmate.live.server.link import Closed, Link
from gigmate.live.server.metrics import Metrics
from gigmate.live.server.rate import Bucket, PerAddress

log = logging.getLogger(__name__)

SUBPROTOCOL = "gigmate.v1"
_MAX_EMPTY = 100
_MAX_REASON_BYTES = 123
_OF_THE_TRANSPORT = (1002, 1007, 1009, 4408)
_MAY_COME_BACK = (1005, 1006, 4408)


class LiveSocket:
    """The ASGI application of the route.

    Args:
        hub: sessions.
        metrics: figures to keep.
    """

    def __init__(self, hub: Hub, metrics: Metrics) -> None:
        self._hub, self._metrics = hub, metrics
        per_s = hub.settings.connects_per_s
        self._connects = PerAddress(per_s, max(1.0, per_s))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
        with contextlib.ExitStack() as seat:
            try:
                self._judge(scope)
                seat.enter_context(self._hub.seat())
                if not self._connects.take((scope["client"] or ("",))[0]):
                    raise Refusal(429, "rate", "too many connections from one address")
            except Refusal as refusal:
                self._metrics.refused.labels(refusal.code).inc()
                await self._refuse(refusal, scope, receive, send)
                return
            await _accept(receive, send, subprotocol)
            await _Connection(self._hub, self._metrics, receive, send).run(seat)

    def _judge(self, scope: Scope) -> None:
        offers = [offer for offer in scope["subprotocols"] if not offer.startswith(TOKEN_PROTOCOL)]
        if offers and SUBPROTOCOL not in offers:
            raise Refusal(426, "subprotocol", f"offer the subprotocol {SUBPROTOCOL}, or none")
        if not scope["state"]["has_token"]:
            raise Refusal(401, "token", "give the server's token")

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        is_browser = any(name.lower() == b"origin" for name, _ in scope["headers"])
        if not is_browser or refusal.status == 426:
            await refuse_socket(refusal, scope["state"]["request_id"], receive, send)
            return
        # a browser can't read the status of a refused handshake, only the code of a close
        await _accept(receive, send, SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None)
        await _close(send, 1008 if refusal.status in (401, 429) else 1013, refusal.code)


class _Left(Exception):  # noqa: N818 (no fault)
    """The client is gone, or its connection was closed below us."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Connection:
    """An accepted socket."""

    def __init__(self, hub: Hub, metrics: Metrics, receive: Receive, send: Send) -> None:
        self._hub, self._metrics, self._receive, self._send = hub, metrics, receive, send
        settings = hub.settings
        self._rate = Bucket(settings.messages_per_s, 2 * settings.messages_per_s)
        self._num_empty = 0
        self._is_bye = False

    async def run(self, seat: contextlib.ExitStack) -> None:
        """Serve the client to the end; `seat` is given back when there is a session."""
        link: Link | None = None
        start_s = time.monotonic()
        code, is_ours = 1006, True
        try:
            with seat:
                hello, text = await self._hello()
                link = self._hub.resume(hello.resume) if hello.resume else self._hub.open(text)
            await self._play(link)
        except Closed as end:
            code = end.code
            await self._close(end.code, end.reason)
        except _Left as left:
            code, is_ours = left.code, left.code in _OF_THE_TRANSPORT
        except Exception:
            code = 1011
            log.exception("a bug ends a session")
            await self._close(code, "that is a bug of the server")
        finally:
            if link is not None:
                (self._hub.park if code in _MAY_COME_BACK else self._hub.close)(link)
        # what a client closes with is its own affair: as a label it could be any of thousands
        self._metrics.closed.labels(str(code) if is_ours else "client").inc()
        number, who = "none" if link is None else link.number, "server" if is_ours else "client"
        log.info("session %s: closed by the %s with %d after %.1f s", number, who, code, time.monotonic() - start_s)

    async def _hello(self) -> tuple[Hello, str]:
        limit_s = self._hub.settings.hello_s
        try:
            async with asyncio.timeout(limit_s):
                payload = await self._next()
        except TimeoutError as error:
            raise Closed(4408, f"no hello within {limit_s:g} s") from error
        if isinstance(payload, bytes):
            raise Closed(1003, "the first message is a hello, as text")
        try:
            hello = parse_client_text(payload)
        except ProtocolError as error:
            raise Closed(error.close_code, error.reason) from error
        if not isinstance(hello, Hello):
            raise Closed(4400, "the first message is a hello")
        return hello, payload

    async def _play(self, link: Link) -> None:
        """Pass messages both ways until one way ends."""
        ways = [asyncio.create_task(self._read(link)), asyncio.create_task(self._write(link))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            results = await asyncio.gather(*ways, return_exceptions=True)
        ends = [end for end in results if isinstance(end, Exception)]
        raise next((end for end in ends if not isinstance(end, _Left | Closed)), ends[0])

    async def _write(self, link: Link) -> None:
        while True:
            payload = await link.get()
            self._metrics.messages.labels("out").inc()
            try:
                await self._send({"type": "websocket.send", "bytes" if isinstance(payload, bytes) else "text": payload})
            except OSError as error:  # of uvicorn: the client is gone
                raise _Left(1006) from error

    async def _read(self, link: Link) -> None:
        gap_s = self._hub.settings.audio_gap_s
        heard_s = asyncio.get_running_loop().time()
        while True:
            try:
                async with asyncio.timeout_at(heard_s + gap_s):
                    payload = await self._next()
            except TimeoutError as error:
                raise Closed(4408, f"no audio for {gap_s:g} s") from error
            if not self._rate.take():
                raise Closed(1008, "too many messages")
            if self._is_good(payload, link):
                self._hub.send(link, payload)
            if self._is_bye:
                raise Closed(1000, "goodbye")
            if isinstance(payload, bytes):
                heard_s = asyncio.get_running_loop().time()

    def _is_good(self, payload: bytes | str, link: Link) -> bool:
        """Judge a message; a bad control is answered by an error, bad audio ends the session.

        Raises:
            Closed: bad audio, or too many empty messages.
        """
        if not payload:
            self._num_empty += 1
            if self._num_empty >= _MAX_EMPTY:
                raise Closed(1008, f"{_MAX_EMPTY} empty messages in a row")
            return False
        self._num_empty = 0
        try:
            if isinstance(payload, bytes):
                decode_audio(payload)
                return True
            message = parse_client_text(payload)
            if isinstance(message, Hello):
                raise ProtocolError(4400, "the hello was said already")
        except ProtocolError as error:
            if isinstance(payload, bytes):
                raise Closed(error.close_code, error.reason) from error
            self._metrics.bad_messages.inc()
            link.put(encode_text(Error("schema", error.reason)))
            return False
        self._is_bye = isinstance(message, Goodbye)
        return True

    async def _close(self, code: int, reason: str) -> None:
        with contextlib.suppress(OSError):  # of uvicorn: the client is gone already
            await _close(self._send, code, reason)

    async def _next(self) -> bytes | str:
        """The client's next message.

        Raises:
            _Left: there won't be one.
        """
        message: dict[str, Any] = dict(await self._receive())
        if message["type"] == "websocket.disconnect":
            raise _Left(message.get("code") or 1005)
        self._metrics.messages.labels("in").inc()
        payload = message.get("bytes")
        return payload if payload is not None else message["text"]


async def _accept(receive: Receive, send: Send, subprotocol: str | None) -> None:
    await receive()
    await send({"type": "websocket.accept", "subprotocol": subprotocol})


async def _close(send: Send, code: int, reason: str) -> None:
    short = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
    await send({"type": "websocket.close", "code": code, "reason": short})
