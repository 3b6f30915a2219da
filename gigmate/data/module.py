"""The LightningDataModules: endless windows for training, the same few for validation, exact to resume.

Where training stands is how many batches the trainer has taken, a number that Lightning saves with its loops. Batch n
is a function of n, so nothing else has to be kept, and batches that worker processes made ahead don't count.
"""

from collections.abc import Callable, Sequence
from typing import Any

import lightning as L
import torch
from torch.utils.data import Dataset

from gigmate.codec.base import CodecSpec
from gigmate.codec.features import NUM_SEMITONE_BANDS
from gigmate.data.audio_windows import AudioWindows
from gigmate.data.loading import BatchKeys, WindowLoader, of_split, open_folders
from gigmate.data.windows import TokenWindows, WindowConfig

VALID_SEED = 1 << 32
"""Of the validation windows: the same for every run, whatever its seed, which is below."""


class WindowData(L.LightningDataModule):
    """What token and audio windows have in common.

    Args:
        train: windows to train on.
        valid: windows to validate on.
        batch_size: windows per batch and process.
        num_workers: processes that load ahead; 0: the main process loads.
        windows_per_epoch: how many windows are called an epoch; each is drawn anew in every epoch.
        valid_windows: how many windows validation takes, always the same ones.
    """

    def __init__(
        self,
        train: Callable[[], Dataset[Any]],
        valid: Callable[[], Dataset[Any]],
        batch_size: int,
        num_workers: int,
        windows_per_epoch: int,
        valid_windows: int,
    ) -> None:
        super().__init__()
        self._train, self._valid = train, valid
        self._batch_size, self._num_workers = batch_size, num_workers
        self._windows_per_epoch, self._valid_windows = windows_per_epoch, valid_windows

    def train_dataloader(self) -> WindowLoader:
        """Batches from where the trainer stands."""
        rank, num_ranks = self._ranks()
        keys = BatchKeys(self._batch_size, self._windows_per_epoch, self._batches_taken, rank, num_ranks)
        return self._loader(self._train(), keys)

    def val_dataloader(self) -> WindowLoader:
        """The same batches every time."""
        rank, num_ranks = self._ranks()
        keys = [(0, index) for index in range(rank, self._valid_windows, num_ranks)]
        size = self._batch_size
        return self._loader(self._valid(), [keys[i : i + size] for i in range(0, len(keys), size)])

    def _loader(self, dataset: Dataset[Any], batches: Any) -> WindowLoader:
        return WindowLoader(
            dataset,
            batch_sampler=batches,
            num_workers=self._num_workers,
            generator=torch.Generator(),  # its own: a loader that draws from torch's would disturb the training's draws
        )

    def _batches_taken(self) -> int:
        """Since training began; 0 while overfitting, which wants the same batches again and again."""
        if self.trainer is None or getattr(self.trainer, "overfit_batches", 0) > 0:
            return 0
        return self.trainer.fit_loop.epoch_loop.total_batch_idx + 1

    def _ranks(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


class TokenData(WindowData):
    """Windows of stems and mixes for the language model; batches are as `TokenWindow` says.

    Args:
        folders: data sets of kind `tokens`, all of one codec.
        window_s: length of a window.
        batch_size: windows per batch and process.
        num_workers: processes that load ahead; 0: the main process loads.
        windows_per_epoch: how many windows are called an epoch.
        valid_windows: how many windows validation takes.
        min_lookahead_s: the least lookahead that is drawn.
        max_lookahead_s: the largest one.
        max_gain_db: see `WindowConfig`, as the shares.
        all_share: of windows that continue the whole band.
        resting_share: of windows in which the stem rests in part.
        whole_mix_share: of mixes that hold all companions.
        seed: of the training windows.

    Raises:
        InputError: see `open_folders`.
    """

    def __init__(
        self,
        folders: Sequence[str],
        window_s: float,
        batch_size: int,
        num_workers: int = 0,
        windows_per_epoch: int = 16_384,
        valid_windows: int = 128,
        min_lookahead_s: float = 0.0,
        max_lookahead_s: float = 0.0,
        max_gain_db: float = 6.0,
        all_share: float = 0.15,
        resting_share: float = 0.1,
        whole_mix_share: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.recipe, self.songs = open_folders(folders, "tokens")
        rate = float(self.spec.frame_rate)
        self.window = WindowConfig(
            num_frames=max(1, round(window_s * rate)),
            min_lookahead_frames=round(min_lookahead_s * rate),
            max_lookahead_frames=round(max_lookahead_s * rate),
            max_gain_db=max_gain_db,
            all_share=all_share,
            resting_share=resting_share,
            whole_mix_share=whole_mix_share,
        )
        super().__init__(
            lambda: TokenWindows(of_split(self.songs, "train"), self.window, seed),
            lambda: TokenWindows(of_split(self.songs, "valid"), self.window, VALID_SEED),
            batch_size,
            num_workers,
            windows_per_epoch,
            valid_windows,
        )

    @property
    def spec(self) -> CodecSpec:
        """Of the codec that made the tokens."""
        assert self.recipe.codec is not None  # tokens have one
        return self.recipe.codec

    @property
    def num_features(self) -> int:
        """D of the mix features."""
        return self.recipe.mix_features

    @property
    def num_semitone_bands(self) -> int:
        """How many of them, the last, are semitone bands."""
        return NUM_SEMITONE_BANDS

    @property
    def min_lookahead_frames(self) -> int:
        """The least lookahead that is drawn."""
        return self.window.min_lookahead_frames

    @property
    def max_lookahead_frames(self) -> int:
        """The largest one."""
        return self.window.max_lookahead_frames


class AudioData(WindowData):
    """Windows of sound for the codec; batches are as `AudioWindow` says.

    Args:
        folders: data sets of kind `audio`.
        window_s: length of a window.
        batch_size: windows per batch and process.
        num_workers: processes that load ahead; 0: the main process loads.
        windows_per_epoch: how many windows are called an epoch.
        valid_windows: how many windows validation takes.
        seed: of the training windows.

    Raises:
        InputError: see `open_folders`.
    """

    def __init__(
        self,
        folders: Sequence[str],
        window_s: float,
        batch_size: int,
        num_workers: int = 0,
        windows_per_epoch: int = 16_384,
        valid_windows: int = 96,
        seed: int = 0,
    ) -> None:
        self.recipe, self.songs = open_folders(folders, "audio")
        num_frames = max(1, round(window_s * float(self.recipe.frame_rate)))
        super().__init__(
            lambda: AudioWindows(of_split(self.songs, "train"), num_frames, seed),
            lambda: AudioWindows(of_split(self.songs, "valid"), num_frames, VALID_SEED),
            batch_size,
            num_workers,
            windows_per_epoch,
            valid_windows,
        )
