"""What the codec trains on: stretches of a stem, or of a random mix of stems, at a random loudness."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from gigmate.data.windows import SongPlaces, StoredSong, WindowKey

MIN_LOUDNESS_DB, MAX_LOUDNESS_DB = -32.0, -12.0
_AUDIBLE_RMS = 3e-3 * 32767
_ATTEMPTS = 24


class AudioWindows(Dataset[Tensor]):
    """Windows by (epoch, index): a function of seed and key alone.

    Args:
        songs: of one recipe, of one split.
        num_samples: N.
        seed: with another one all windows are others.
        mix_share: share of the windows that are mixes; the others are single stems.
        max_gain_db: each stem of a mix is louder or softer by up to this.

    Raises:
        InputError: no song holds a window.
    """

    def __init__(
        self,
        songs: Sequence[StoredSong],
        num_samples: int,
        seed: int,
        mix_share: float = 0.3,
        max_gain_db: float = 6.0,
    ) -> None:
        self.num_samples, self.seed = num_samples, seed
        self.mix_share, self.max_gain_db = mix_share, max_gain_db
        self._places = SongPlaces(songs, num_samples)

    def __getitem__(self, key: WindowKey) -> Tensor:
        """[1, N] float32 at -32 to -12 dB of full scale (less where its peaks would pass 1).

        Raises:
            InputError: `shard_damaged`.
        """
        rng = np.random.default_rng([self.seed, *key])
        wave = self._draw(rng)
        rms = float(np.sqrt(np.mean(np.square(wave))))
        if rms > 0:
            wave *= 10 ** (rng.uniform(MIN_LOUDNESS_DB, MAX_LOUDNESS_DB) / 20) / rms
            wave /= max(1.0, float(np.abs(wave).max()))
        return torch.from_numpy(wave.astype(np.float32))[None]

    def _draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """[N], of stems that can be heard; what the last attempt found if none can."""
        stems: NDArray[Any] = np.zeros((self.num_samples, 0))
        for _ in range(_ATTEMPTS):
            song, start = self._places.draw(rng)
            stems = song.open()["stems"][start : start + self.num_samples].astype(np.float64)
            audible = np.flatnonzero(np.sqrt(np.mean(np.square(stems), axis=0)) > _AUDIBLE_RMS)
            if len(audible):
                is_mix = rng.random() < self.mix_share
                count = int(rng.integers(1, len(audible) + 1)) if is_mix else 1
                gains_db = rng.uniform(-self.max_gain_db, self.max_gain_db, count)
                return stems[:, rng.choice(audible, count, replace=False)] @ 10 ** (gains_db / 20)
        return stems.sum(axis=1)
