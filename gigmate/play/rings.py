"""What the audio callback and the player share: memory made beforehand, one writer and one reader each, no locks."""

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]

_FADE_SAMPLES = 96  # 2 ms at 48 kHz: short enough for a beat, long enough not to click


class CaptureRing:
    """Samples from the callback to the player, in order; what finds no place is dropped and counted.

    Args:
        capacity_samples: how far the player may fall behind.
    """

    def __init__(self, capacity_samples: int) -> None:
        self._samples = np.zeros(capacity_samples, np.float32)
        self.num_written = self.num_read = self.num_dropped = 0

    def write(self, block: Wave) -> None:
        """The callback's side: all of [n], or nothing if there isn't room."""
        size, n = len(self._samples), len(block)
        if self.num_written - self.num_read + n > size:
            self.num_dropped += n
            return
        start = self.num_written % size
        first = min(n, size - start)
        self._samples[start : start + first] = block[:first]
        self._samples[: n - first] = block[first:]
        self.num_written += n  # last: from here on the reader may see them

    def read(self) -> Wave:
        """The player's side: what is there, as a copy."""
        size, n = len(self._samples), self.num_written - self.num_read
        start = self.num_read % size
        first = min(n, size - start)
        taken = np.concatenate([self._samples[start : start + first], self._samples[: n - first]])
        self.num_read += n
        return taken


class StemBuffer:
    """Stem samples on the session's sample clock, from the player to the callback.

    What comes late isn't played late: its rest is, in phase. Where nothing came there is silence, with soft edges.

    Args:
        capacity_samples: how far ahead the player may write.
    """

    def __init__(self, capacity_samples: int) -> None:
        self._samples = np.zeros(capacity_samples, np.float32)
        self._ramp = np.linspace(0.0, 1.0, _FADE_SAMPLES, endpoint=False, dtype=np.float32)
        self._fall = self._ramp[::-1].copy()
        self._last = 0.0  # value: what the callback fades from
        self._is_silent = True
        self.position = self.end = 0
        """Sample that is played next; one past the newest that was written."""
        self.num_late_samples = self.num_missing_samples = self.num_underruns = 0

    def start_at(self, position: int) -> None:
        """Play from this sample on; before the callback runs."""
        self.position = position

    def write(self, sample_index: int, wave: Wave) -> None:
        """The player's side: stem samples [n] that belong at `sample_index`."""
        late = min(len(wave), max(0, self.position - sample_index))
        self.num_late_samples += late
        sample_index, wave = sample_index + late, wave[late:]
        wave = wave[: max(0, self.position + len(self._samples) - sample_index)]
        if not len(wave):
            return
        if sample_index > self.end:  # a gap: what lies before it falls silent, what follows begins softly
            self.num_missing_samples += sample_index - max(self.end, self.position)
            self._scale(max(self.position, self.end - _FADE_SAMPLES), self.end, self._fall)
            wave = wave.copy()
            wave[:_FADE_SAMPLES] *= self._ramp[: len(wave)]
        start, size = sample_index % len(self._samples), len(self._samples)
        first = min(len(wave), size - start)
        self._samples[start : start + first] = wave[:first]
        self._samples[: len(wave) - first] = wave[first:]
        self.end = max(self.end, sample_index + len(wave))  # last: from here on the callback may see them

    def play(self, out: Wave) -> None:
        """The callback's side: fill [n] with the samples that are due, and leave silence behind."""
        size, n = len(self._samples), len(out)
        start = self.position % size
        first = min(n, size - start)
        out[:first] = self._samples[start : start + first]
        out[first:] = self._samples[: n - first]
        self._samples[start : start + first] = 0.0
        self._samples[: n - first] = 0.0
        there = min(n, max(0, self.end - self.position))
        self.num_missing_samples += n - there
        if there < n and not self._is_silent:
            self.num_underruns += 1
            fade = min(_FADE_SAMPLES, n - there)
            value = float(out[there - 1]) if there else self._last
            np.multiply(self._fall[:fade], value, out=out[there : there + fade])
        elif there and self._is_silent:
            fade = min(_FADE_SAMPLES, there)
            np.multiply(out[:fade], self._ramp[:fade], out=out[:fade])
        self._is_silent = there < n
        self._last = float(out[n - 1])
        self.position += n

    def _scale(self, start: int, stop: int, by: Wave) -> None:
        """Multiply the samples from `start` to `stop` by the end of a ramp."""
        places = np.arange(start, stop) % len(self._samples)
        self._samples[places] *= by[len(by) - len(places) :]
