"""What the language model trains on: a stem and a random mix of its companions, cut from a song.

A window is a function of (seed, epoch, index) alone: the order in which windows are asked for, by which process and
after which restart doesn't matter.

    song     |---------------------------------------------------|
    stem              |=== T frames ===|
    mix               |=== T frames ===+ ahead |      ahead = max(0, largest lookahead)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from gigmate.data.song import ALL
from gigmate.data.store import Recipe, SongCard, open_shard
from gigmate.errors import InputError
from gigmate.music.instruments import INSTRUMENTS
from gigmate.pitch import NO_ROOT, NUM_PITCH_CLASSES, UNKNOWN_NOTES

WindowKey = tuple[int, int]
"""(epoch, index in the epoch)."""

PLAYING_SHARE, RESTING_SHARE = 0.75, 0.1
_ATTEMPTS = 24


@dataclass(frozen=True)
class WindowConfig:
    """How windows are drawn.

    Args:
        num_frames: T.
        min_lookahead_frames: the least lookahead that is drawn.
        max_lookahead_frames: the largest one.
        max_gain_db: each stem of the mix is louder or softer by up to this, and so is the mix as a whole.
        all_share: share of the windows whose stem is the whole band and that hear no mix: continuation.
        resting_share: share of the windows whose stem plays in part only, so that rests are learned. In the others
            it plays in PLAYING_SHARE of the frames or more.
        whole_mix_share: share of the mixes that hold all companions; the others hold a random number of them.

    Raises:
        ValueError: numbers out of range.
    """

    num_frames: int
    min_lookahead_frames: int = 0
    max_lookahead_frames: int = 0
    max_gain_db: float = 6.0
    all_share: float = 0.15
    resting_share: float = 0.1
    whole_mix_share: float = 0.5

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.min_lookahead_frames > self.max_lookahead_frames or self.max_gain_db < 0:
            raise ValueError(f"{self}: a frame at least, ordered lookaheads and a gain of 0 dB or more are needed")
        if not all(0 <= share <= 1 for share in (self.all_share, self.resting_share, self.whole_mix_share)):
            raise ValueError(f"{self}: shares must be in 0..1")

    @property
    def ahead_frames(self) -> int:
        """Frames of the mix beyond the end of the stem."""
        return max(0, self.max_lookahead_frames)


TokenWindow = dict[str, Tensor]
"""One example, or, with a leading batch axis on every tensor, a batch of them:

    codes        [K, T] int64, of the stem
    notes        [T] int64, note code of the *next* frame of the stem: notes are written before they sound; V: unknown
    mix_power    [D, T + ahead] float32, linear power features: frame t sounds together with stem frame t
    mix_present  [] bool; False: there is nothing to hear, mix_power is zero
    beats        [G, T + ahead] float32; zeros: no grid
    root         [T + ahead] int64, pitch class of the chord that sounds with the mix frame; `NO_ROOT`: unknown
    tones        [12, T + ahead] float32, 1 for each of the chord's pitch classes; all 0: unknown
    instrument   [] int64, index in INSTRUMENTS
    lookahead    [] int64, frames
    song         [] int64, number of the song in its data module, to name it by
    index        [] int64, of the window in its epoch, to name it by
"""


@dataclass(frozen=True)
class StoredSong:
    """A song of some data set; its number tells it from all others of the data module."""

    number: int
    folder: Path
    recipe: Recipe
    card: SongCard

    def open(self) -> NDArray[Any]:
        """Its records, memory-mapped; opened anew each time: thousands of songs would exceed the open-file limit."""
        return open_shard(self.folder, self.recipe, self.card)


class SongPlaces:
    """Draws where a window starts: every start in every song that is long enough is equally likely.

    Raises:
        InputError: `too_short`: no song holds a window; or there is no song.
    """

    def __init__(self, songs: Sequence[StoredSong], num_records: int) -> None:
        self.songs = [song for song in songs if song.card.num_records >= num_records]
        if not self.songs:
            longest = max((song.card.num_records for song in songs), default=0)
            what = f"no song is as long as a window: {longest} of {num_records} frames in {len(songs)} songs"
            raise InputError("too_short", what, remedy="prepare more songs, or make loader.window_s smaller")
        self._ends = np.cumsum([song.card.num_records - num_records + 1 for song in self.songs])

    def draw(self, rng: np.random.Generator) -> tuple[StoredSong, int]:
        """A song and the first record."""
        place = int(rng.integers(self._ends[-1]))
        index = int(np.searchsorted(self._ends, place, side="right"))
        return self.songs[index], place - (int(self._ends[index - 1]) if index else 0)


class TokenWindows(Dataset[TokenWindow]):
    """Windows by key.

    Args:
        songs: of one recipe, of one split.
        config: how to draw.
        seed: with another one all windows are others.

    Raises:
        InputError: no song holds a window.
    """

    def __init__(self, songs: Sequence[StoredSong], config: WindowConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self._places = SongPlaces(songs, config.num_frames)

    def __getitem__(self, key: WindowKey) -> TokenWindow:
        """The window of (epoch, index).

        Raises:
            InputError: `shard_damaged`.
        """
        rng = np.random.default_rng([self.seed, *key])
        song, target, records = self._draw_target(rng)
        codec = song.recipe.codec
        assert codec is not None  # tokens have one
        num_frames, names = self.config.num_frames, (*song.card.instruments, ALL)
        weights = self._draw_mix(rng, records["active"][:, :-1].max(axis=0) > 0, target)
        num_ahead = num_frames + self.config.ahead_frames
        power = np.zeros((num_ahead, song.recipe.mix_features), np.float32)
        beats = np.zeros((num_ahead, song.recipe.beat_features), np.float32)
        beats[: len(records)] = records["beats"]
        for stem, weight in weights.items():
            power[: len(records)] += weight * records["power"][:, stem].astype(np.float32)
        root = np.full(num_ahead, NO_ROOT, np.int64)
        root[: len(records)] = records["root"]
        tones = np.zeros((num_ahead, NUM_PITCH_CLASSES), np.float32)
        tones[: len(records)] = records["tones"][:, None] >> np.arange(NUM_PITCH_CLASSES) & 1
        lookahead = int(rng.integers(self.config.min_lookahead_frames, self.config.max_lookahead_frames + 1))
        return {
            "codes": torch.from_numpy(records["codes"][:num_frames, target].T.astype(np.int64)),
            "notes": torch.from_numpy(notes_ahead(records["notes"][:, target], num_frames, codec.codebook_size)),
            "mix_power": torch.from_numpy(np.ascontiguousarray(power.T)),
            "mix_present": torch.tensor(bool(weights)),
            "beats": torch.from_numpy(np.ascontiguousarray(beats.T)),
            "root": torch.from_numpy(root),
            "tones": torch.from_numpy(np.ascontiguousarray(tones.T)),
            "instrument": torch.tensor(INSTRUMENTS.index(names[target])),
            "lookahead": torch.tensor(lookahead),
            "song": torch.tensor(song.number),
            "index": torch.tensor(key[1]),
        }

    def _draw_target(self, rng: np.random.Generator) -> tuple[StoredSong, int, NDArray[Any]]:
        """A song, a column of its codes, and the records of the window and what is ahead of it.

        All instruments that play in a window are equally likely. Where the wish can't be met within some attempts,
        the stem that played most is taken.
        """
        config = self.config
        is_all, is_resting = rng.random() < config.all_share, rng.random() < config.resting_share
        low, high = (RESTING_SHARE, PLAYING_SHARE) if is_resting else (PLAYING_SHARE, np.inf)
        best: tuple[float, StoredSong, int, NDArray[Any]] | None = None
        for _ in range(_ATTEMPTS):
            song, start = self._places.draw(rng)
            records = song.open()[start : start + config.num_frames + config.ahead_frames]
            shares = records["active"][: config.num_frames].mean(axis=0)
            columns = np.arange(len(shares))[-1:] if is_all else np.arange(len(shares) - 1)
            wanted = columns[(shares[columns] >= low) & (shares[columns] < high)]
            if len(wanted):
                return song, int(rng.choice(wanted)), records
            top = int(columns[shares[columns].argmax()])
            if best is None or shares[top] > best[0]:
                best = float(shares[top]), song, top, records
        assert best is not None  # there was an attempt
        return best[1:]

    def _draw_mix(self, rng: np.random.Generator, is_playing: NDArray[np.bool_], target: int) -> dict[int, float]:
        """The power gain of each stem in the mix; none if the stem is the whole band, or alone."""
        companions = np.flatnonzero(is_playing)
        companions = companions[companions != target]
        if target == len(is_playing) or not len(companions):
            return {}
        is_whole = rng.random() < self.config.whole_mix_share
        count = len(companions) if is_whole else int(rng.integers(1, len(companions) + 1))
        chosen = np.sort(rng.choice(companions, count, replace=False))
        limit = self.config.max_gain_db
        gains_db = rng.uniform(-limit, limit, count) + rng.uniform(-limit, limit)
        return dict(zip(chosen.tolist(), (10 ** (gains_db / 10)).tolist(), strict=True))


def notes_ahead(notes: NDArray[np.int16], num_frames: int, unknown: int) -> NDArray[np.int64]:
    """The note code of the frame after each of `num_frames` frames; `unknown` where nobody knows it."""
    following = notes[1 : num_frames + 1].astype(np.int64)
    ahead = np.pad(following, (0, num_frames - len(following)), constant_values=UNKNOWN_NOTES)
    return np.where(ahead == UNKNOWN_NOTES, unknown, ahead)
