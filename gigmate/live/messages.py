"""What client and server say to each other in text; `gigmate/live/PROTOCOL.md` says when.

A field's name in JSON is its name here; each class has the value of `type` in `TYPE`. Limits stand beside the fields as
(low, high); what they are checked by is `gigmate.live.protocol`.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)
FORMATS = ("pcm16", "float32")
BEAT_SOURCES = ("tracker", "tap", "clock", "tempo")
MODES = ("ahead", "bars")

_MAX_INDEX = 2**53 - 1  # the largest integer that JavaScript holds exactly


def number(low: float, high: float, default: Any = ...) -> Any:
    """A field that holds a number in low..high; a default makes it optional in JSON."""
    about = {"range": (low, high)}
    return field(metadata=about) if default is ... else field(default=default, metadata=about)


def choice(*allowed: str | int, default: Any = ..., close_code: int = 4400) -> Any:
    """A field that holds one of some values; any other closes with this code."""
    about = {"choice": allowed, "close_code": close_code}
    return field(metadata=about) if default is ... else field(default=default, metadata=about)


def text(max_length: int, default: Any = ...) -> Any:
    """A field that holds a short text."""
    about = {"max_length": max_length}
    return field(metadata=about) if default is ... else field(default=default, metadata=about)


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The client's first message: who plays what, and how. Only version, sample_rate and instrument are needed."""

    TYPE: ClassVar[str] = "hello"
    version: int = number(0, 1000)
    sample_rate: int = choice(*RATES, close_code=4422)
    instrument: str = text(32)
    format: str = choice(*FORMATS, default="pcm16", close_code=4422)
    seed: int = number(0, 2**32 - 1, 0)
    lookahead_ms: int | None = number(-10_000, 0, None)
    beats: str = choice(*BEAT_SOURCES, default="tracker")
    bpm: float | None = number(30, 300, None)
    beats_per_bar: int = number(2, 12, 4)
    device_delay_ms: float = number(0, 2000, 0.0)
    buffer_ms: float = number(0, 2000, 60.0)
    temperature: float = number(0, 2, 1.0)
    guidance: float = number(0, 10, 2.0)
    density: float = number(-1, 1, 0.0)
    record: bool = False
    resume: str | None = text(64, None)


@dataclass(frozen=True, kw_only=True)
class Control:
    """The client turns something; what is None stays. A lookahead of 0 gives the choice back to the server."""

    TYPE: ClassVar[str] = "control"
    instrument: str | None = text(32, None)
    temperature: float | None = number(0, 2, None)
    guidance: float | None = number(0, 10, None)
    density: float | None = number(-1, 1, None)
    lay_out: bool | None = None
    solo: bool | None = None
    lookahead_ms: int | None = number(-10_000, 0, None)
    device_delay_ms: float | None = number(0, 2000, None)
    buffer_ms: float | None = number(0, 2000, None)


@dataclass(frozen=True, kw_only=True)
class Tap:
    """The player tapped a beat that sounded at this sample."""

    TYPE: ClassVar[str] = "tap"
    sample_index: int = number(0, _MAX_INDEX)


@dataclass(frozen=True, kw_only=True)
class Nudge:
    """The player moves the beat by a part of one, later if positive."""

    TYPE: ClassVar[str] = "nudge"
    beats: float = number(-1, 1)


@dataclass(frozen=True, kw_only=True)
class ClockTick:
    """A tick of the player's MIDI clock, 24 a beat, at this sample."""

    TYPE: ClassVar[str] = "clock_tick"
    sample_index: int = number(0, _MAX_INDEX)


@dataclass(frozen=True, kw_only=True)
class Ping:
    """Measures the round trip; tells what the last one took."""

    TYPE: ClassVar[str] = "ping"
    id: int = number(0, 2**32 - 1)
    sent_ms: float = number(0, _MAX_INDEX)
    rtt_ms: float | None = number(0, 60_000, None)


@dataclass(frozen=True, kw_only=True)
class Goodbye:
    """The end, said by either side."""

    TYPE: ClassVar[str] = "goodbye"
    reason: str = text(123, "")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How far ahead the stem is made, and in what pieces; `bars` > 0 in mode `bars`: so late is the mix heard."""

    TYPE: ClassVar[str] = "plan"
    lookahead_ms: float = number(-10_000, 0)
    chunk_frames: int = number(1, 64)
    mode: str = choice(*MODES)
    bars: int = number(0, 64, 0)
    reason: str = text(200, "")


@dataclass(frozen=True, kw_only=True)
class Welcome:
    """The server's first message: the session stands, and its first stem frames follow."""

    TYPE: ClassVar[str] = "welcome"
    version: int = number(0, 1000)
    session: int = number(0, _MAX_INDEX)
    resume: str = text(64)
    sample_rate: int = number(0, 1_000_000)
    codec_rate: int = number(0, 1_000_000)
    frame_samples: int = number(1, 100_000)
    instruments: tuple[str, ...] = ()
    lookahead_range_ms: tuple[float, float] = (0.0, 0.0)
    lookahead_ms: float = number(-10_000, 0)
    chunk_frames: int = number(1, 64)
    mode: str = choice(*MODES)
    bars: int = number(0, 64, 0)
    max_message_bytes: int = number(1, 1 << 24)


@dataclass(frozen=True, kw_only=True)
class Beat:
    """Where the next beat lies on the session's sample clock, as the band believes."""

    TYPE: ClassVar[str] = "beat"
    sample_index: int = number(0, _MAX_INDEX)
    bpm: float = number(1, 1000)
    beats_per_bar: int = number(1, 64)
    beat_in_bar: int = number(0, 64)
    confidence: float = number(0, 1)
    source: str = choice(*BEAT_SOURCES)


@dataclass(frozen=True, kw_only=True)
class Stats:
    """How it goes, about once a second; levels in dBFS, None for silence."""

    TYPE: ClassVar[str] = "stats"
    in_time: float | None = number(0, 1, None)
    late_frames: int = number(0, _MAX_INDEX, 0)
    dropped_frames: int = number(0, _MAX_INDEX, 0)
    step_p50_ms: float | None = number(0, 1e6, None)
    step_p95_ms: float | None = number(0, 1e6, None)
    staleness_ms: float | None = number(-1e6, 1e6, None)
    level_in_db: float | None = number(-200, 60, None)
    level_out_db: float | None = number(-200, 60, None)
    sessions: int = number(0, 1_000_000, 0)


@dataclass(frozen=True, kw_only=True)
class Pong:
    """The answer to a ping."""

    TYPE: ClassVar[str] = "pong"
    id: int = number(0, 2**32 - 1)
    sent_ms: float = number(0, _MAX_INDEX)
    server_ms: float = number(0, _MAX_INDEX)


@dataclass(frozen=True)
class Error:
    """Something was wrong; the session goes on."""

    TYPE: ClassVar[str] = "error"
    code: str = text(64)
    message: str = text(500)


ClientMessage = Hello | Control | Tap | Nudge | ClockTick | Ping | Goodbye
ServerMessage = Welcome | Plan | Beat | Stats | Pong | Error | Goodbye

CLIENT_MESSAGES: tuple[type[ClientMessage], ...] = (Hello, Control, Tap, Nudge, ClockTick, Ping, Goodbye)
SERVER_MESSAGES: tuple[type[ServerMessage], ...] = (Welcome, Plan, Beat, Stats, Pong, Error, Goodbye)
