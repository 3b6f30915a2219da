"""From a client's audio messages to mix frames at the codec's rate.

messages ── order, gaps, drift ──> samples 0, 1, 2, ... without a gap ── resample ──> frames [hop]
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigmate.live.clock import FrameClock
from gigmate.live.protocol import ProtocolError
from gigmate.live.resampler import Resampler

Wave = NDArray[np.float32]

MAX_JUMP_S, MAX_RESUME_S = 5.0, 30.0
_TOLERANCE_S = 0.04  # a time stamp that is off by less is a clock that drifts, and is followed by stretching
_STRETCH_SHARE = 100  # by one sample in so many at most: 200 ppm need one in 5,000
_LOUDEST = 16.0  # no microphone says this: what is beyond is taken for garbage
_MAX_DIRTY = 100


@dataclass
class IntakeCounts:
    """Repairs of what came in; a session's statistics are made from them."""

    num_repeated: int = 0
    num_gaps: int = 0
    gap_samples: int = 0
    clamped_samples: int = 0
    stretched_samples: int = 0
    num_dirty: int = 0


class Intake:
    """Puts messages in their place on the session's sample clock, so that what comes out has no gap.

    The sample index alone says where audio belongs. A repeated message is dropped, what is missing is silence, a clock
    that drifts is followed by stretching, what was heard already is cut off.

    Args:
        rate: Hz of the client.
        is_pcm16: what is stretched stays on the grid of 16-bit samples, so that the record of it is exact.
    """

    def __init__(self, rate: int, *, is_pcm16: bool) -> None:
        self._rate, self._is_pcm16 = rate, is_pcm16
        self._last_seq: int | None = None
        self._max_jump_s = MAX_JUMP_S
        self.num_samples = 0
        self.counts = IntakeCounts()

    def resume(self) -> None:
        """The connection was cut: the next message may begin a new sequence, after a longer gap."""
        self._last_seq, self._max_jump_s = None, MAX_RESUME_S

    def push(self, seq: int, sample_index: int, pcm: Wave) -> Iterator[Wave]:
        """Take a message; the samples [n] that go on where the last ones ended, in one piece or two.

        Raises:
            ProtocolError: 4410 for a sequence that runs backwards or an index more than 5 s off (30 s after a cut),
                1007 for the hundredth message with samples that are no audio.
        """
        last = self._last_seq
        if last is not None and seq < last:
            raise ProtocolError(4410, f"sequence {seq} after {last}")
        if seq == last:
            self.counts.num_repeated += 1
            return
        off = sample_index - self.num_samples
        if abs(off) > self._max_jump_s * self._rate:
            raise ProtocolError(4410, f"sample index {sample_index}, expected {self.num_samples}")
        is_in_sequence = last is None or seq == last + 1
        self._last_seq, self._max_jump_s = seq, MAX_JUMP_S
        pcm = self._clean(pcm)
        tolerance = _TOLERANCE_S * self._rate
        if off > 0 and (off > tolerance or not is_in_sequence or self.num_samples == 0):
            self.counts.num_gaps += 1
            self.counts.gap_samples += off
            self.num_samples += off
            yield np.zeros(off, np.float32)
        elif off < -tolerance:
            cut = min(-off, len(pcm))
            self.counts.clamped_samples += cut
            pcm = pcm[cut:]
        elif off:
            pcm = self._stretch(pcm, off)
        self.num_samples += len(pcm)
        yield pcm

    def _clean(self, pcm: Wave) -> Wave:
        is_audio = np.abs(pcm) <= _LOUDEST  # False for NaN
        if is_audio.all():
            return pcm
        self.counts.num_dirty += 1
        if self.counts.num_dirty >= _MAX_DIRTY:
            raise ProtocolError(1007, "samples that are no audio, again and again")
        return np.where(is_audio, pcm, np.float32(0))

    def _stretch(self, pcm: Wave, off: int) -> Wave:
        """Longer or shorter by a part of `off`."""
        most = len(pcm) // _STRETCH_SHARE
        change = int(np.clip(off, -most, most))
        if not change:
            return pcm
        self.counts.stretched_samples += abs(change)
        places = np.linspace(0, len(pcm) - 1, len(pcm) + change)
        stretched = np.interp(places, np.arange(len(pcm)), pcm)
        if self._is_pcm16:
            stretched = np.round(stretched * 32_768) / 32_768
        return stretched.astype(np.float32)


class MixFrames:
    """Samples in any portions to frames at the codec's rate, each resampled by itself: equal to the bit however cut.

    What is resampled is heard 0.7 ms late, at rates above the codec's; waiting for it would cost a whole message.

    Args:
        clock: where frames lie.
    """

    def __init__(self, clock: FrameClock) -> None:
        self._size, self._rate = clock.frame_samples, clock.rate
        self._resampler = Resampler(clock.rate, clock.codec_rate, is_delayed=True)
        self._rest = np.zeros(0, np.float32)

    @property
    def lag_s(self) -> float:
        """By how much the frames are late in what they hold."""
        return self._resampler.reach_samples / self._rate

    def push(self, wave: Wave) -> list[Wave]:
        """[n] -> the frames [hop] that are complete now."""
        waiting = np.concatenate((self._rest, wave))
        stop = len(waiting) - len(waiting) % self._size
        self._rest = waiting[stop:]
        return [self._resampler.push(part) for part in np.split(waiting[:stop], stop // self._size)] if stop else []
