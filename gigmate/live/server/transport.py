"""uvicorn's two protocols with the limits that it lacks.

HTTP: a request's head has a deadline, an answer that leaves a body unread ends the connection without resetting it, and
errors of the parser have the same JSON and status as all others. WebSocket: the number of a message's fragments is
limited, and a client that hasn't read for too long is closed with 4408 whether or not its buffers take more.
"""

import asyncio
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from gigmate.live.server.answers import Refusal, error_parts

MAX_FRAGMENTS = 64
_LINGER_S = 1.0
_READ_BYTES = 1 << 14
_CODES = {400: "malformed", 408: "slow", 431: "headers"}


def linger(transport: asyncio.Transport) -> None:
    """Close so that the peer can still read what was written: closing with bytes unread would reset the connection."""
    if transport.is_closing():
        return
    transport.pause_reading()
    if transport.can_write_eof():
        transport.write_eof()
    asyncio.get_running_loop().call_later(_LINGER_S, transport.abort)


class HttpProtocol(H11Protocol):
    """HTTP/1.1 with a deadline for the head of every request."""

    slow_s = 10.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        transport.max_size = _READ_BYTES  # pyright: ignore[reportAttributeAccessIssue]  # asyncio reads 256 KiB at once
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.conn.their_state is h11.IDLE and self._head_timer is None:
            self._start_head_timer()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_head_timer()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the WebSocket's protocol."""
        self._stop_head_timer()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """A body that nobody will read any more ends the connection."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            linger(self.transport)

    def send_400_response(self, msg: str) -> None:
        """The answer to what isn't HTTP; `msg` is uvicorn's, the parser knows better."""
        fault = sys.exc_info()[1]
        status = fault.error_status_hint if isinstance(fault, h11.RemoteProtocolError) else 400
        self._refuse(status if status in _CODES else 400, str(fault or msg))

    def _refuse(self, status: int, message: str) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body, headers = error_parts(Refusal(status, _CODES[status], message), "unread")
        own = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
        lines = {**headers, **own}
        head = h11.Response(status_code=status, headers=list(lines.items()), reason=STATUS_PHRASES[status])
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the application was reading the body
            self.cycle.message_event.set()
        linger(self.transport)

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.slow_s, self._on_slow_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_slow_head(self) -> None:
        if not self.transport.is_closing():
            self._refuse(408, f"the request's head took more than {self.slow_s:g} s")


class SocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket whose client must go on reading.

    Pings are answered when everything sent before them has been read, through whatever buffers there are on the way:
    the age of an unanswered ping is the age of the reader's backlog.
    """

    num_fragments = 0

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=1 << 15)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol; a handshake that only this parser can't read (a very long header) is answered too."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.handshake_initiated = self.close_sent = True
            body, headers = error_parts(Refusal(431, _CODES[431], str(self.conn.handshake_exc)), "unread")
            lines = {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            self.transport.write(f"HTTP/1.1 431 {STATUS_PHRASES[431].decode()}\r\n{head}\r\n".encode() + body)
            linger(self.transport)

    def handle_cont(self, event: Frame) -> None:
        """Count the fragments: empty ones would grow a message for ever without making it larger."""
        self.num_fragments += 1
        if self.num_fragments > MAX_FRAGMENTS:
            self.end(1009, "too many fragments")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """A whole message is there."""
        self.num_fragments = 0
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            self.end(1007, "not UTF-8")
            return
        super().send_receive_event_to_app()

    def keepalive_timeout(self) -> None:
        """The reader's backlog is too old."""
        self.pong_timer = None
        self.end(4408, "not reading")

    def handle_parser_exception(self) -> None:
        """The peer broke the protocol: `conn` has made the close frame already."""
        sent = self.conn.close_sent
        self._leave(sent.code if sent else 1002, sent.reason if sent else "")

    async def send(self, message: Any) -> None:
        """See ASGI; to write after the end is no error of the application's, which can't know yet."""
        await self.writable.wait()
        if self.close_sent:
            raise ClientDisconnected
        await super().send(message)
        self.handshake_complete |= self.close_sent  # a refusal completes it too; uvicorn would complain

    def end(self, code: int, reason: str) -> None:
        """Close now, even if the peer doesn't read and the application is waiting to write."""
        if not self.close_sent and not self.transport.is_closing():
            self.conn.send_close(code, reason)
            self._leave(code, reason)

    def _leave(self, code: int, reason: str) -> None:
        self.close_sent = True
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.writable.set()  # whoever waits to write learns that it's over
        linger(self.transport)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def http_protocol(slow_s: float) -> type[HttpProtocol]:
    """The protocol with this deadline."""
    return type("HttpProtocol", (HttpProtocol,), {"slow_s": slow_s})
