"""From frames of the stem, as they come from the codec's stream, to audio for the client.

frames [hop], latency_samples late ── resample ──> samples at their indices ── F frames ──> StemAudio
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigmate.live.clock import FrameClock
from gigmate.live.resampler import Resampler

Wave = NDArray[np.float32]


@dataclass(frozen=True)
class StemAudio:
    """Stem samples for the client.

    Args:
        seq: 0, 1, 2, ...
        sample_index: of the first, on the session's sample clock.
        wave: [n] float32 at the client's rate, of 4 codec frames at most.
        num_frames: of the codec, that it was made from.
        is_laid_out: silence, because the player asked for it.
        is_after_gap: what lies right before was never made.
    """

    seq: int
    sample_index: int
    wave: Wave
    num_frames: int
    is_laid_out: bool
    is_after_gap: bool


class StemOut:
    """Puts frames in their place on the session's sample clock and joins them to messages.

    After frames that were left out the stem begins anew. Nothing lies before sample 0.

    Args:
        clock: where frames lie.
        latency_samples: by which the codec's waves lag their frames.
    """

    def __init__(self, clock: FrameClock, latency_samples: int) -> None:
        self._clock, self._latency = clock, latency_samples
        self._resampler = Resampler(clock.codec_rate, clock.rate)
        self._next_frame: int | None = None
        self._to_skip = self._seq = 0
        self._start = self._num_frames = 0
        self._waves: list[Wave] = []
        self._is_after_gap, self._is_laid_out = False, True

    @property
    def lag_s(self) -> float:
        """By how much samples come after the call that completes their frame."""
        return (self._latency + self._resampler.reach_samples) / self._clock.codec_rate

    def push(self, frame: int, wave: Wave, *, chunk_frames: int = 1, is_laid_out: bool = False) -> list[StemAudio]:
        """Take the wave [hop] that came with a frame; what is complete with it, in messages of `chunk_frames`."""
        out: list[StemAudio] = []
        if frame != self._next_frame:
            if self._next_frame is not None:
                out += self._flush()
                self._is_after_gap = True
            self._begin(frame)
        self._next_frame = frame + 1
        skipped = min(self._to_skip, len(wave))
        self._to_skip -= skipped
        self._waves.append(self._resampler.push(wave[skipped:]))
        self._num_frames += 1
        self._is_laid_out &= is_laid_out
        return out + self._flush() if self._num_frames >= chunk_frames else out

    def _begin(self, frame: int) -> None:
        start, block = frame * self._clock.hop - self._latency, self._resampler.num_in
        # only where a block begins the index at the client's rate is whole
        self._to_skip = max(-start, -start % block)
        self._start = (start + self._to_skip) // block * self._resampler.num_out
        self._resampler.reset()

    def _flush(self) -> list[StemAudio]:
        wave = np.concatenate(self._waves) if self._waves else np.zeros(0, np.float32)
        num_frames, is_laid_out = self._num_frames, self._is_laid_out
        self._waves, self._num_frames, self._is_laid_out = [], 0, True
        if not len(wave):
            return []
        audio = StemAudio(self._seq, self._start, wave, num_frames, is_laid_out, self._is_after_gap)
        self._seq, self._start, self._is_after_gap = self._seq + 1, self._start + len(wave), False
        return [audio]
