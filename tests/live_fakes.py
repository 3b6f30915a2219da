"""An engine without a model, a clock without time and a client without a network: what the tests of sessions share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gigmate.live.frames import EngineFacts, FrameRequest, SlotSettings, SlotsFull
from gigmate.live.session import LiveSession
from gigmate.live.settings import SessionSettings
from gigmate.live.stem_out import StemAudio

RATE, HOP, LATENCY = 24_000, 480, 720
FACTS = EngineFacts(
    capacity=4,
    sample_rate=RATE,
    hop=HOP,
    max_delay=3,
    latency_samples=LATENCY,
    num_codebooks=4,
    beat_features=10,
    min_lookahead_frames=-50,
    max_lookahead_frames=50,
    instruments=("drums", "bass"),
)
PLAIN = SessionSettings(RATE, lookahead_ms=-200.0, beats="tempo", gain=1.0)
"""L = -10, nothing is chosen or measured."""


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class FakeSlot:
    settings: SlotSettings
    requests: list[FrameRequest] = field(default_factory=list)


def counting(index: NDArray[np.int64]) -> NDArray[np.float32]:
    """A stem whose samples tell their index: multiples of 2**-15 that repeat every 2**14 samples."""
    return (index % (1 << 14) / (1 << 15)).astype(np.float32)


class FakeEngine:
    """Plays `make(sample indices of the stem)` in every slot, late like the codec, and notes what it was asked.

    Codes tell the call's number.
    """

    def __init__(
        self,
        clock: FakeClock | None = None,
        step_s: float = 0.0,
        make: Callable[[NDArray[np.int64]], NDArray[np.float32]] = counting,
        facts: EngineFacts = FACTS,
    ) -> None:
        self.clock, self.step_s, self.make, self.facts = clock, step_s, make, facts
        self.slots: list[FakeSlot | None] = [None] * facts.capacity
        self.batches: list[tuple[int, ...]] = []
        self.closed: list[int] = []

    def open(self, settings: SlotSettings) -> int:
        if None not in self.slots:
            raise SlotsFull("slots_full", "no slot")
        slot = self.slots.index(None)
        self.slots[slot] = FakeSlot(settings)
        return slot

    def close(self, slot: int) -> None:
        self.slots[slot] = None
        self.closed.append(slot)

    def set(self, slot: int, settings: SlotSettings) -> None:
        self._slot(slot).settings = settings

    def step(self, requests: Mapping[int, FrameRequest]) -> dict[int, NDArray[np.float32] | None]:
        self.batches.append(tuple(requests))
        if self.clock is not None:
            self.clock.now_s += self.step_s
        waves: dict[int, NDArray[np.float32] | None] = {}
        for slot, request in requests.items():
            asked = self._slot(slot).requests
            asked.append(request)
            start = (len(asked) - 1 - self.facts.max_delay) * HOP - LATENCY
            waves[slot] = self.make(np.arange(start, start + HOP)) if start >= -LATENCY else None
        return waves

    def codes(self, slot: int) -> NDArray[np.int64] | None:
        num_calls = len(self._slot(slot).requests)
        return np.full(4, num_calls) if num_calls > self.facts.max_delay else None

    def requests(self, slot: int) -> list[FrameRequest]:
        return self._slot(slot).requests

    def _slot(self, slot: int) -> FakeSlot:
        found = self.slots[slot]
        assert found is not None, f"slot {slot} isn't open"
        return found


class Desk:
    """One session with an engine of its own, and a client that sends in real time of the fake clock."""

    def __init__(self, settings: SessionSettings = PLAIN, *, step_s: float = 0.0, chunk_s: float = 0.02) -> None:
        self.clock = FakeClock()
        self.engine = FakeEngine(self.clock, step_s)
        self.session = LiveSession(settings, FACTS, self.clock)
        self.slot = self.engine.open(self.session.slot_settings)
        self.chunk = round(chunk_s * settings.sample_rate)
        self.client_s = self.clock.now_s
        self.seq = self.index = 0
        self.out: list[StemAudio] = []
        self.out_s: list[float] = []

    def work(self) -> "Desk":
        """Make all calls that are due."""
        self.session.review()
        while (request := self.session.next_request()) is not None:
            wave = self.engine.step({self.slot: request})[self.slot]
            self.session.take(wave, self.engine.codes(self.slot), step_s=self.engine.step_s)
        new = self.session.outgoing()
        self.out += new
        self.out_s += [self.clock.now_s] * len(new)
        return self

    def send(self, seconds: float, mix: NDArray[np.float32] | None = None, *, speed: float = 1.0) -> "Desk":
        """Send audio (None: a soft tone), each message when it is whole."""
        for _ in range(round(seconds * self.session.settings.sample_rate / self.chunk)):
            self.wait(self.chunk / self.session.settings.sample_rate / speed)
            part = tone(self.index, self.chunk) if mix is None else mix[self.index : self.index + self.chunk]
            self.push(part)
            self.work()
        return self

    def wait(self, seconds: float) -> None:
        """Time passes for the client, of which the engine may have used some."""
        self.client_s += seconds
        self.clock.now_s = max(self.clock.now_s, self.client_s)

    def push(self, part: NDArray[np.float32]) -> None:
        self.session.push_audio(self.seq, self.index, part)
        self.seq, self.index = self.seq + 1, self.index + len(part)

    @property
    def requests(self) -> list[FrameRequest]:
        return self.engine.requests(self.slot)


def tone(start: int, length: int) -> NDArray[np.float32]:
    """Never zero, and told apart sample by sample."""
    index = np.arange(start, start + length)
    return (0.05 + 0.01 * np.sin(index * 0.1) + 1e-7 * index).astype(np.float32)


def stem_of(out: Sequence[StemAudio]) -> NDArray[np.float32]:
    """[N] from sample 0; NaN where nothing was sent."""
    stem = np.full(max((audio.sample_index + len(audio.wave) for audio in out), default=0), np.nan, np.float32)
    for audio in out:
        stem[audio.sample_index : audio.sample_index + len(audio.wave)] = audio.wave
    return stem
