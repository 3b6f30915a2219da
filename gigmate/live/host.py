"""The stage as the server talks to it: messages of the protocol in and out, each with its session's id.

Beside what a client sends, three texts of the server's own come in, and one goes out:

    {"type": "open", "hello": {...}, "resume": TOKEN}   begin a session; answered by a welcome when its opening is made
    {"type": "resume"}                                  its client is back; answered by a welcome
    {"type": "close"}                                   end it
    {"type": "close", "code": ..., "reason": ...}       it has ended; the client's connection is to be closed so
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigmate.errors import GigmateError, UsageError
from gigmate.live.announcer import Announcer, plan
from gigmate.live.frames import EngineFacts, FrameEngine, SlotsFull
from gigmate.live.messages import (
    ClientMessage,
    ClockTick,
    Control,
    Error,
    Goodbye,
    Hello,
    Nudge,
    Ping,
    Pong,
    ServerMessage,
    Tap,
    Welcome,
)
from gigmate.live.protocol import (
    AFTER_GAP,
    FLOAT32,
    LAID_OUT,
    MAX_MESSAGE_BYTES,
    PCM16,
    STEM,
    VERSION,
    Audio,
    ProtocolError,
    decode_audio,
    encode_audio,
    encode_text,
    parse_client_text,
)
from gigmate.live.session import LiveSession
from gigmate.live.settings import SessionSettings, turned_values
from gigmate.live.stage import Stage
from gigmate.live.stem_out import StemAudio

log = logging.getLogger(__name__)

Payload = bytes | str


@dataclass
class _Guest:
    """A session as its client sees it."""

    session: LiveSession
    token: str
    announcer: Announcer
    is_welcome: bool = False


class StageHost:
    """A stage behind the wire; what `gigmate.live.worker_main` runs.

    Args:
        engine: plays.
        clock: monotonic seconds.
        records: folder for the sessions that ask to be recorded; None: they aren't.
    """

    def __init__(self, engine: FrameEngine, clock: Callable[[], float], records: Path | None = None) -> None:
        self.facts: EngineFacts = engine.facts
        self._stage, self._clock = Stage(engine, clock, records), clock
        self._guests: dict[int, _Guest] = {}
        self._out: list[tuple[int, Payload]] = []

    @property
    def num_sessions(self) -> int:
        """Sessions that are open."""
        return len(self._guests)

    def receive(self, session_id: int, payload: Payload) -> None:
        """Take a message. Whatever is wrong with it is told to the session it came from, and to no other."""
        guest = self._guests.get(session_id)
        try:
            if isinstance(payload, bytes):
                if guest is not None:
                    _push(guest.session, decode_audio(payload, sample_rate=guest.session.settings.sample_rate))
            elif not self._take_internal(session_id, payload) and guest is not None:
                self._take(session_id, guest, parse_client_text(payload))
        except ProtocolError as error:
            if isinstance(payload, str) and guest is not None:
                self._say(session_id, Error("schema", str(error)))
            else:
                self._end(session_id, error.close_code, error.reason)
        except GigmateError as error:
            log.warning("session %d can't begin: %s", session_id, error)
            self._end(session_id, _close_code(error), error.what)

    def turn(self) -> list[tuple[int, Payload]]:
        """Make the calls that are due, for a bounded time; what is to be sent."""
        for session_id, fault in self._stage.turn():
            self._end(session_id, fault.close_code, fault.reason)
        now_s = self._clock()
        for session_id, guest in self._guests.items():
            session = guest.session
            if not guest.is_welcome:
                if session.calls.heard < 0:
                    continue  # the opening isn't made yet
                guest.is_welcome = True
                self._say(session_id, self._welcome(session_id, guest))
            for audio in session.outgoing():
                self._out.append((session_id, _stem(audio, is_pcm16=session.settings.is_pcm16)))
            for message in guest.announcer.news(now_s, len(self._guests)):
                self._say(session_id, message)
        out, self._out = self._out, []
        return out

    def stop(self) -> None:
        """Close all sessions, and their records."""
        for session_id in list(self._guests):
            self._stage.close(session_id, "the server stops")
        self._guests.clear()

    def _take_internal(self, session_id: int, payload: str) -> bool:
        """Whether the text was the server's own; no client's message has one of these types."""
        try:
            values = json.loads(payload)
        except (ValueError, RecursionError):
            return False
        match values:
            case {"type": "open", "hello": hello, "resume": token}:
                self._open(session_id, hello, token)
            case {"type": "resume"}:
                if (guest := self._guests.get(session_id)) is not None:
                    guest.session.resume()
                    guest.is_welcome = False
            case {"type": "close"}:
                self._close(session_id, "closed by the server")
            case _:
                return False
        return True

    def _open(self, session_id: int, values: dict[str, Any], token: str) -> None:
        hello = parse_client_text(json.dumps(values))
        if not isinstance(hello, Hello):
            raise ProtocolError(4400, "the first message is a hello")
        if hello.instrument not in self.facts.instruments:
            raise ProtocolError(4422, f"no instrument {hello.instrument!r}, but {', '.join(self.facts.instruments)}")
        settings = SessionSettings.from_hello(hello)
        session = self._stage.open(session_id, settings, is_recorded=hello.record)
        self._guests[session_id] = _Guest(session, token, Announcer(session, self._clock()))

    def _take(self, session_id: int, guest: _Guest, message: ClientMessage) -> None:
        session = guest.session
        match message:
            case Control():
                if message.instrument is not None and message.instrument not in self.facts.instruments:
                    raise ProtocolError(4400, f"no instrument {message.instrument!r}")
                session.turn(turned_values(message))
            case Tap():
                session.tap(message.sample_index)
            case ClockTick():
                session.tick(message.sample_index)
            case Nudge():
                session.nudge(message.beats)
            case Ping():
                now_s = self._clock()
                if message.rtt_ms is not None:
                    session.meter.round_trip(message.rtt_ms / 1000, now_s)
                self._say(session_id, Pong(id=message.id, sent_ms=message.sent_ms, server_ms=now_s * 1000))
            case Goodbye():
                self._close(session_id, message.reason)
            case Hello():
                raise ProtocolError(4400, "hello comes once")

    def _welcome(self, session_id: int, guest: _Guest) -> Welcome:
        facts, told = self.facts, asdict(plan(guest.session))
        del told["reason"]
        frame_ms = facts.hop / facts.sample_rate * 1000
        return Welcome(
            version=VERSION,
            session=session_id,
            resume=guest.token,
            sample_rate=guest.session.settings.sample_rate,
            codec_rate=facts.sample_rate,
            frame_samples=facts.hop,
            instruments=facts.instruments,
            lookahead_range_ms=(facts.min_lookahead_frames * frame_ms, -frame_ms),
            max_message_bytes=MAX_MESSAGE_BYTES,
            **told,
        )

    def _say(self, session_id: int, message: ServerMessage) -> None:
        self._out.append((session_id, encode_text(message)))

    def _end(self, session_id: int, code: int, reason: str) -> None:
        """End a session by our own will."""
        self._close(session_id, reason)
        self._out.append((session_id, json.dumps({"type": "close", "code": code, "reason": reason})))

    def _close(self, session_id: int, reason: str) -> None:
        self._guests.pop(session_id, None)
        self._stage.close(session_id, reason)


def _close_code(error: GigmateError) -> int:
    if isinstance(error, SlotsFull):
        return 1013
    return 4422 if isinstance(error, UsageError) else 4400


def _push(session: LiveSession, audio: Audio) -> None:
    session.push_audio(audio.seq, audio.sample_index, samples_of(audio))


def samples_of(audio: Audio) -> NDArray[np.float32]:
    """[n] of a message."""
    if audio.format == FLOAT32:
        return np.frombuffer(audio.samples, "<f4").astype(np.float32)
    return np.frombuffer(audio.samples, "<i2").astype(np.float32) / np.float32(32_768)


def _stem(audio: StemAudio, *, is_pcm16: bool) -> bytes:
    """The message that carries stem audio."""
    if is_pcm16:
        samples = np.clip(np.round(audio.wave * 32_768), -32_768, 32_767).astype("<i2").tobytes()
    else:
        samples = audio.wave.astype("<f4").tobytes()
    return encode_audio(
        Audio(
            kind=STEM,
            format=PCM16 if is_pcm16 else FLOAT32,
            flags=LAID_OUT * audio.is_laid_out | AFTER_GAP * audio.is_after_gap,
            seq=audio.seq,
            sample_index=audio.sample_index,
            samples=samples,
        )
    )
