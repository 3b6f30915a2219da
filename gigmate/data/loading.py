"""What both kinds of training data share: opening data sets, and the order of batches."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Sampler

from gigmate.data.store import Recipe, check_leaks, read_manifest
from gigmate.data.windows import StoredSong, WindowKey
from gigmate.errors import InputError


def open_folders(folders: Sequence[str], kind: str) -> tuple[Recipe, list[StoredSong]]:
    """The songs of data sets that were made alike.

    Raises:
        InputError: not finished, of another kind, made by unlike codecs, or a song group in two splits.
    """
    songs: list[StoredSong] = []
    for folder in map(Path, folders):
        recipe, cards = read_manifest(folder)
        if recipe.kind != kind:
            what = f"it holds {recipe.kind}, {kind} is needed"
            raise InputError("data_kind", what, folder, f"run prepare.py kind={kind} with another out")
        if songs and recipe != songs[0].recipe:
            what = f"made by {_made_by(recipe)}, but {songs[0].folder} by {_made_by(songs[0].recipe)}"
            raise InputError("codec_mismatch", what, folder, "prepare both with one codec")
        songs += [StoredSong(len(songs) + i, folder, recipe, card) for i, card in enumerate(cards)]
    if not songs:
        raise InputError("no_songs", "no song in it", ", ".join(folders), "run prepare.py")
    check_leaks([song.card for song in songs])
    return songs[0].recipe, songs


def of_split(songs: Sequence[StoredSong], split: str) -> list[StoredSong]:
    """The songs of one split.

    Raises:
        InputError: `empty_split`.
    """
    found = [song for song in songs if song.card.split == split]
    if not found:
        folders = ", ".join(sorted({str(song.folder) for song in songs}))
        remedy = "prepare more songs, or raise valid_fraction"
        raise InputError("empty_split", f"no song of {len(songs)} is for {split}", folders, remedy)
    return found


def _made_by(recipe: Recipe) -> str:
    return "no codec" if recipe.codec is None else f"{recipe.codec.name} {recipe.codec.fingerprint[:12]}"


class BatchKeys(Sampler[list[WindowKey]]):
    """The keys of the windows of each batch, from the batch on that is due.

    Args:
        batch_size: B, per process.
        windows_per_epoch: of all processes; an epoch is its whole batches.
        next_batch: how many batches were taken since training began.
        rank: of this process.
        num_ranks: of processes that train together.

    Raises:
        ValueError: an epoch holds no batch.
    """

    def __init__(
        self,
        batch_size: int,
        windows_per_epoch: int,
        next_batch: Callable[[], int] = lambda: 0,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self._num_batches = windows_per_epoch // (batch_size * num_ranks)
        if self._num_batches < 1:
            needed = batch_size * num_ranks
            raise ValueError(f"windows_per_epoch is {windows_per_epoch}, one batch alone takes {needed}")
        self._batch_size, self._next_batch, self._rank, self._num_ranks = batch_size, next_batch, rank, num_ranks

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._num_batches

    def __iter__(self) -> Iterator[list[WindowKey]]:
        """An epoch's worth of batches. Resumed amid an epoch it runs on into the next; the trainer stops it before."""
        first = self._next_batch()
        return map(self.keys, range(first, first + len(self)))

    def keys(self, batch: int) -> list[WindowKey]:
        """The keys of this process's windows in the `batch`-th batch since training began."""
        epoch, index = divmod(batch, len(self))
        start = (index * self._num_ranks + self._rank) * self._batch_size
        return [(epoch, start + i) for i in range(self._batch_size)]


class WindowLoader(DataLoader[Any]):
    """A loader of which Lightning knows that it can be resumed; there is nothing to save (see above)."""

    def state_dict(self) -> dict[str, Any]:
        """Empty: the trainer's count of batches says it all."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""
