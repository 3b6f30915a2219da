"""One session of the reference client: the song goes out at an even pace, what comes in is judged by its clock.

         ┌─ _play: hello, welcome, a block each 20 ms, goodbye ─┐
connect ─┤                                                      ├─ until the socket closes; after a cut: again
         └─ _read: stem, plans, stats, pongs ───────────────────┘
"""

import asyncio
import contextlib
import json
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from gigmate.errors import GigmateError, MachineError, UsageError
from gigmate.live.client_outcome import Outcome, SongClock
from gigmate.live.messages import Goodbye, Hello, Ping, Plan, Pong, Stats, Welcome
from gigmate.live.protocol import (
    FLOAT32,
    FRAMES_PER_S,
    MAX_MESSAGE_BYTES,
    MIX,
    PCM16,
    STEM,
    Audio,
    ProtocolError,
    decode_audio,
    encode_audio,
    encode_text,
    parse_server_text,
)

SUBPROTOCOL = "gigmate.v1"
_PING_S, _FIRST_PING_S = 1.0, 0.1  # often at first, so that the server soon knows the path
_WELCOME_S, _CLOSE_S = 30.0, 10.0
_RESUME_AFTER_S = (0.2, 0.5, 1.0, 2.0, 2.0, 2.0)  # within the 10 s for which a server keeps a session
_CUT = (1005, 1006)


class ClientSession:
    """Plays `song` [N] once.

    Args:
        url: of the live socket.
        hello: how to play; its sample rate is the song's.
        song: mono float32.
        token: of the server, if it wants one.
    """

    def __init__(self, url: str, hello: Hello, song: NDArray[np.float32], *, token: str | None = None) -> None:
        self._url, self._hello, self._song = url, hello, song
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._block = hello.sample_rate // FRAMES_PER_S
        self._clock = SongClock(hello.sample_rate)
        self._is_welcome = asyncio.Event()
        self._seq = 0
        self.outcome = Outcome(hello.sample_rate, np.zeros_like(song), np.zeros(len(song), bool))

    async def run(self) -> Outcome:
        """Play it; after a cut the session is resumed, and the song goes on where it is by then.

        Raises:
            MachineError: no server, it refuses, or it doesn't speak the protocol.
            UsageError: the address is none.
        """
        await self._connect()
        for wait_s in _RESUME_AFTER_S:
            if self.outcome.close_code not in _CUT or self._hello.resume is None:
                break
            await asyncio.sleep(wait_s)
            with contextlib.suppress(MachineError):  # it isn't back yet
                await self._connect()
        return self.outcome

    async def _connect(self) -> None:
        """One connection, from the hello to the close."""
        self._is_welcome.clear()
        try:
            async with connect(
                self._url,
                subprotocols=[SUBPROTOCOL],  # pyright: ignore[reportArgumentType] (a NewType of str)
                additional_headers=self._headers,
                max_size=MAX_MESSAGE_BYTES,
                compression=None,
            ) as socket:
                await self._converse(socket)
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError, ProtocolError) as error:
            raise self._named(error) from error

    def _named(self, error: Exception) -> GigmateError:
        match error:
            case InvalidURI():
                return UsageError("url", f"{self._url!r} is no address", "url", "ws://HOST:PORT/v1/live")
            case InvalidStatus():
                self.outcome.close_code = error.response.status_code
                what = f"the server refuses with HTTP {error.response.status_code}: {_said(error.response.body)}"
                return MachineError("refused", what, self._url, "if it is full, try again later")
            case ProtocolError():
                what = f"what the server sent isn't protocol version {self._hello.version}: {error}"
                return MachineError("protocol", what, self._url, "use client and server of the same version")
            case TimeoutError():
                return MachineError("no_answer", "the server doesn't answer", self._url, "look at its log")
            case _:
                return MachineError("no_server", str(error), self._url, "is it running? python serve.py")

    async def _converse(self, socket: ClientConnection) -> None:
        ways = [asyncio.create_task(self._read(socket)), asyncio.create_task(self._play(socket))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            reading, playing = ways
            if playing.done() and not isinstance(playing.exception(), ConnectionClosed):
                playing.result()
            async with asyncio.timeout(_CLOSE_S):
                await reading
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _play(self, socket: ClientConnection) -> None:
        await socket.send(encode_text(self._hello))
        async with asyncio.timeout(_WELCOME_S):
            await self._is_welcome.wait()
        self._clock.start()
        form = PCM16 if self._hello.format == "pcm16" else FLOAT32
        num_blocks, pinged_s, ping_s = len(self._song) // self._block, 0.0, _FIRST_PING_S
        for number in range(-(-(self._clock.now or 0) // self._block), num_blocks):
            start, stop = number * self._block, (number + 1) * self._block
            await asyncio.sleep(self._clock.until_s(stop))  # a sound card has a block when its last sample was heard
            samples = _encoded(self._song[start:stop], form)
            audio = Audio(kind=MIX, format=form, seq=self._seq, sample_index=start, samples=samples)
            await socket.send(encode_audio(audio))
            self._seq += 1
            self.outcome.num_sent = stop
            if time.monotonic() - pinged_s > ping_s:
                pinged_s, ping_s = time.monotonic(), min(2 * ping_s, _PING_S)
                rtt_ms = 1000 * self.outcome.rtt_s[-1] if self.outcome.rtt_s else None
                await socket.send(encode_text(Ping(id=self._seq, sent_ms=1000 * pinged_s, rtt_ms=rtt_ms)))
        await socket.send(encode_text(Goodbye(reason="the song is over")))

    async def _read(self, socket: ClientConnection) -> None:
        try:
            while True:
                message = await socket.recv()
                if isinstance(message, bytes):
                    audio = decode_audio(message, STEM)
                    self.outcome.take(audio.sample_index, _decoded(audio), self._clock.now)
                else:
                    self._hear(message)
        except ConnectionClosed as closed:
            self.outcome.close_code = closed.rcvd.code if closed.rcvd else 1006
            self.outcome.reason = closed.rcvd.reason if closed.rcvd else "the connection was lost"

    def _hear(self, text: str) -> None:
        message, outcome = parse_server_text(text), self.outcome
        if isinstance(message, Welcome):
            outcome.num_resumes += self._hello.resume is not None
            self._hello = replace(self._hello, resume=message.resume)
            self._is_welcome.set()
        if isinstance(message, Welcome | Plan):
            outcome.plans.append(message)
        elif isinstance(message, Stats):
            outcome.stats = message
        elif isinstance(message, Pong):
            outcome.rtt_s.append(time.monotonic() - message.sent_ms / 1000)


def _said(body: bytes | bytearray) -> str:
    """The sentence in an answer of the server's."""
    try:
        return str(json.loads(body)["error"]["message"])[:200]
    except (ValueError, KeyError, TypeError):
        return "without a reason"


def _encoded(samples: NDArray[np.float32], form: int) -> bytes:
    if form == FLOAT32:
        return samples.astype("<f4").tobytes()
    return np.clip(np.round(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()


def _decoded(audio: Audio) -> NDArray[np.float32]:
    if audio.format == FLOAT32:
        return np.frombuffer(audio.samples, "<f4").astype(np.float32)
    return np.frombuffer(audio.samples, "<i2").astype(np.float32) / np.float32(32_768)
