"""Pairs of mix and stem features from prepared songs, to train and to test the encoder on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gigmate.data.windows import StoredSong
from gigmate.evaluation.fit.encoder import FRAME_RATE, WINDOW_FRAMES
from gigmate.evaluation.hearing.transpose import transpose_power
from gigmate.shapes import Features

_TEMPO_ROW = 8
_PLAYING_SHARE = 0.5
_MAX_GAIN_DB = 6.0
_MAX_TRANSPOSITION = 6


@dataclass(frozen=True, eq=False)
class Examples:
    """A batch of pairs.

    Args:
        mixes: [B, D, T] power of some companions of the stem.
        transposed: [B, D, T] the same with all pitched ones in another key.
        stems: [B, D, T] power of the stem.
        shifts: [B] int64, frames of .3 to .7 beats, either way.
        is_pitched: [B] bool, the stem isn't drums, and something pitched is in the mix.
        groups: [B] of songs that share material.
        instruments: [B] of the stems.
    """

    mixes: Features
    transposed: Features
    stems: Features
    shifts: torch.Tensor
    is_pitched: torch.Tensor
    groups: tuple[str, ...]
    instruments: tuple[str, ...]


def draw_examples(songs: Sequence[StoredSong], batch: int, rng: np.random.Generator) -> Examples:
    """Pairs of random songs, by their length; every instrument that plays is equally likely."""
    lengths = np.array([max(0, song.card.num_records - WINDOW_FRAMES + 1) for song in songs], np.float64)
    rows, groups, instruments = [], [], []
    while len(rows) < batch:
        song = songs[int(rng.choice(len(songs), p=lengths / lengths.sum()))]
        start = int(rng.integers(song.card.num_records - WINDOW_FRAMES + 1))
        piece = song.open()[start : start + WINDOW_FRAMES]
        plays = np.flatnonzero(piece["active"][:, :-1].mean(axis=0) >= _PLAYING_SHARE).tolist()
        if len(plays) < 2:
            continue
        stem = int(rng.choice(plays))
        names = song.card.instruments
        rows.append(_pair(piece["power"], piece["beats"], [i for i in plays if i != stem], stem, names, rng))
        groups.append(song.card.group)
        instruments.append(names[stem])
    mixes, transposed, stems = (torch.from_numpy(np.stack([row[i] for row in rows])) for i in range(3))
    shifts, pitched = (torch.tensor([row[i] for row in rows]) for i in (3, 4))
    return Examples(mixes, transposed, stems, shifts, pitched, tuple(groups), tuple(instruments))


def _pair(
    power: NDArray[np.float16],
    beats: NDArray[np.float32],
    companions: Sequence[int],
    stem: int,
    names: Sequence[str],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], int, bool]:
    """Mix, transposed mix, stem, shift, and whether transposing means something."""
    count = int(rng.integers(1, len(companions) + 1))
    chosen = rng.choice(np.array(companions), count, replace=False)
    drums, pitched = np.zeros((2, power.shape[2], len(power)), np.float32)
    for i in chosen.tolist():
        gain = 10 ** (rng.uniform(-_MAX_GAIN_DB, _MAX_GAIN_DB) / 10)
        (drums if names[i] == "drums" else pitched)[:] += gain * power[:, i].astype(np.float32).T
    interval = int(rng.integers(1, _MAX_TRANSPOSITION + 1)) * int(rng.choice((-1, 1)))
    tempo = float(beats[:, _TEMPO_ROW].mean())  # 0 without a grid: 120 bpm will do
    shift = round(rng.uniform(0.3, 0.7) * 0.5 / 2**tempo * FRAME_RATE) * int(rng.choice((-1, 1)))
    is_telling = names[stem] != "drums" and bool(pitched.any())
    own = power[:, stem].astype(np.float32).T
    return drums + pitched, drums + transpose_power(pitched, interval), own, shift, is_telling
