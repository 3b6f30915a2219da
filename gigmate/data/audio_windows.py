"""What the codec trains on: stretches of a stem, or of a random mix of stems, at a random loudness, with the notes."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from gigmate.data.windows import SongPlaces, StoredSong, WindowKey
from gigmate.pitch import UNKNOWN_NOTES

MIN_LOUDNESS_DB, MAX_LOUDNESS_DB = -32.0, -12.0
_AUDIBLE_RMS = 3e-3 * 32767
_ATTEMPTS = 24

AudioWindow = dict[str, Tensor]
"""One example, or, with a leading batch axis on every tensor, a batch of them:

    wave    [1, T * hop] float32, at -32 to -12 dB of full scale (less where its peaks would pass 1)
    notes   [T] int64, note code of each frame; `UNKNOWN_NOTES` in mixes and where nobody knows
"""


class AudioWindows(Dataset[AudioWindow]):
    """Windows by (epoch, index): a function of seed and key alone.

    Args:
        songs: of one recipe, of one split.
        num_frames: T.
        seed: with another one all windows are others.
        mix_share: share of the windows that are mixes; the others are single stems.
        max_gain_db: each stem of a mix is louder or softer by up to this.

    Raises:
        InputError: no song holds a window.
    """

    def __init__(
        self,
        songs: Sequence[StoredSong],
        num_frames: int,
        seed: int,
        mix_share: float = 0.3,
        max_gain_db: float = 6.0,
    ) -> None:
        self.num_frames, self.seed = num_frames, seed
        self.mix_share, self.max_gain_db = mix_share, max_gain_db
        self._places = SongPlaces(songs, num_frames)

    def __getitem__(self, key: WindowKey) -> AudioWindow:
        """The window of a key.

        Raises:
            InputError: `shard_damaged`.
        """
        rng = np.random.default_rng([self.seed, *key])
        wave, notes = self._draw(rng)
        rms = float(np.sqrt(np.mean(np.square(wave))))
        if rms > 0:
            wave *= 10 ** (rng.uniform(MIN_LOUDNESS_DB, MAX_LOUDNESS_DB) / 20) / rms
            wave /= max(1.0, float(np.abs(wave).max()))
        return {
            "wave": torch.from_numpy(wave.astype(np.float32))[None],
            "notes": torch.from_numpy(notes.astype(np.int64)),
        }

    def _draw(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
        """[T * hop] of stems that can be heard (what the last attempt found if none can), and their notes [T]."""
        notes = np.full(self.num_frames, UNKNOWN_NOTES, np.int16)
        stems = np.zeros((0, 0))
        for _ in range(_ATTEMPTS):
            song, start = self._places.draw(rng)
            records = song.open()[start : start + self.num_frames]
            stems = records["stems"].reshape(-1, len(song.card.instruments)).astype(np.float64)
            audible = np.flatnonzero(np.sqrt(np.mean(np.square(stems), axis=0)) > _AUDIBLE_RMS)
            if len(audible):
                is_mix = rng.random() < self.mix_share
                count = int(rng.integers(1, len(audible) + 1)) if is_mix else 1
                gains_db = rng.uniform(-self.max_gain_db, self.max_gain_db, count)
                chosen = rng.choice(audible, count, replace=False)
                written = records["notes"][:, chosen[0]] if count == 1 else notes
                return stems[:, chosen] @ 10 ** (gains_db / 20), written
        return stems.sum(axis=1), notes
