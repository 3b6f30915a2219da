"""What runs in the audio thread: copies between arrays that were made beforehand, and nothing else."""

import numpy as np
from numpy.typing import NDArray

from gigmate.play.rings import CaptureRing, StemBuffer, Wave

Block = NDArray[np.float32]


class Deck:
    """Feeds a device's callback: mix in, or from a file, to the session; stem (and the file) out.

    Args:
        captured: to the session.
        stem: from the session.
        song: [N] played and heard in place of what the device captures; None: the device is heard.
        max_block_samples: of a callback.
    """

    def __init__(self, captured: CaptureRing, stem: StemBuffer, song: Wave | None, max_block_samples: int) -> None:
        self._captured, self._stem, self._song = captured, stem, song
        self._mono = np.zeros(max_block_samples, np.float32)
        self._heard = np.zeros(max_block_samples, np.float32)
        self._at = 0
        self.num_calls = self.num_xruns = 0
        self.stem_gain = self.song_gain = 1.0

    def __call__(self, heard: Block | None, out: Block, is_xrun: bool) -> None:
        """One block: `heard` [n] or None, `out` [n, channels]."""
        n = len(out)
        mono, mix = self._mono[:n], self._heard[:n]
        self._stem.play(mono)
        np.multiply(mono, self.stem_gain, out=mono)
        if self._song is None:
            if heard is not None:
                self._captured.write(heard)
        else:
            there = max(0, min(n, len(self._song) - self._at))
            mix[:there] = self._song[self._at : self._at + there]
            mix[there:] = 0.0
            self._captured.write(mix)
            np.multiply(mix, self.song_gain, out=mix)
            np.add(mono, mix, out=mono)
        self._at += n
        np.clip(mono, -1.0, 1.0, out=mono)
        out[:] = mono[:, None]
        self.num_calls += 1
        self.num_xruns += is_xrun

    @property
    def is_over(self) -> bool:
        """Whether the song has been played."""
        return self._song is not None and self._at >= len(self._song)
