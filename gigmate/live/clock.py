"""Clocks of a session: samples against frames, and the client's samples against our time."""

from collections import deque
from dataclasses import dataclass

from gigmate.live.latency import Window

JITTER_SPAN_S = 60.0
"""Long enough to meet the stalls of a bad network; a drift of 200 ppm adds 12 ms in it."""


@dataclass(frozen=True)
class FrameClock:
    """Where codec frames lie among the samples of a client.

    Args:
        rate: Hz of the client.
        codec_rate: Hz of the codec.
        hop: samples of a frame at the codec's rate.

    Raises:
        ValueError: a frame isn't a whole number of the client's samples.
    """

    rate: int
    codec_rate: int
    hop: int

    def __post_init__(self) -> None:
        if self.hop * self.rate % self.codec_rate:
            raise ValueError(f"a frame of {self.hop} samples at {self.codec_rate} Hz isn't whole at {self.rate} Hz")

    @property
    def frame_samples(self) -> int:
        """Samples of a frame at the client's rate."""
        return self.hop * self.rate // self.codec_rate

    @property
    def frame_s(self) -> float:
        """Length of a frame."""
        return self.hop / self.codec_rate

    def sample_of(self, frame: int) -> int:
        """The client's sample with which a frame begins."""
        return frame * self.frame_samples

    def frames_in(self, seconds: float) -> float:
        """How many frames that is, not rounded."""
        return seconds / self.frame_s


class ArrivalClock:
    """Learns from arrivals when a client's samples were captured, up to the least delay that the path has.

    The earliest arrival of the last minute, relative to its sample, stands for an undelayed one; how much later
    the others come is the jitter of the way here.

    Args:
        rate: Hz of the client.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._offsets_s = Window(JITTER_SPAN_S)
        self._least: deque[tuple[float, float]] = deque()  # of (time, offset), both rising: the first is the least

    def arrived(self, stop: int, now_s: float) -> None:
        """Samples before index `stop` are here."""
        offset_s = now_s - stop / self._rate
        self._offsets_s.add(offset_s, now_s)
        while self._least and self._least[-1][1] >= offset_s:
            self._least.pop()
        self._least.append((now_s, offset_s))
        while self._least[0][0] < now_s - JITTER_SPAN_S:
            self._least.popleft()

    def sample_at(self, now_s: float) -> float | None:
        """The newest sample that an undelayed client would have brought here by now; None before the first arrival."""
        return (now_s - self._least[0][1]) * self._rate if self._least else None

    def jitter_s(self, share: float) -> float:
        """The delay beyond the least that a share 0..1 of the arrivals keeps within; 0 before the first."""
        most_s = self._offsets_s.quantile(share)
        return 0.0 if most_s is None else most_s - self._least[0][1]
