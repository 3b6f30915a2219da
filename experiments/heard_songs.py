"""What `experiments.manner_songs` and `experiments.chord_songs` have in common: splits, and power that is kept."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gigmate.data.song import SongAudio, SongEntry
from gigmate.data.sources import MidiSource, shuffled
from gigmate.data.splits import is_held_out
from gigmate.evaluation.held_out import VALID_FRACTION
from gigmate.music.band import Song

RATE, HOP = 24_000, 480
_NO_POWER = 1e-7


def is_of_split(song: Song, *, held_out: bool) -> bool:
    """Whether a practice song is for training, or held out."""
    return is_held_out(f"practice:{song.group}", None, VALID_FRACTION, 0) == held_out


def midi_of_split(folder: Path, soundfont: Path, *, held_out: bool) -> tuple[MidiSource, list[SongEntry]]:
    """A folder of MIDI files, and those of a split in an order apart from names."""
    source = MidiSource(str(folder), str(soundfont))
    entries = shuffled(source.entries(), None)
    return source, [e for e in entries if is_held_out(*source.group(e), VALID_FRACTION, 0) == held_out]


def waves_of(song: SongAudio, length: int) -> NDArray[np.float32]:
    """[stems, length]: the beginning of each stem, with silence where it is shorter."""
    return np.stack([np.pad(wave[:length], (0, max(0, length - len(wave)))) for wave in song.stems.values()])


def kept_power(power: Tensor) -> NDArray[np.float16]:
    """Linear power, as it is kept: log10."""
    return (power + _NO_POWER).log10().numpy().astype(np.float16)


def linear_power(kept: NDArray[np.float16]) -> NDArray[np.float32]:
    """What `kept_power` kept."""
    return np.maximum(10 ** kept.astype(np.float32) - np.float32(_NO_POWER), 0)
