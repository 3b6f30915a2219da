"""The songs that trackers are scored on and fitted to: a minute of each, its beats, and what may be heard of it.

MIDI files for the tables are those of the validation split and, since those are few, of every seventh group of the
train split, which nothing is fitted to.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigmate.data.song import SongEntry
from gigmate.data.sources import MidiSource, PracticeSource, StemSource, shuffled
from gigmate.errors import InputError
from gigmate.music.grid import BeatGrid

RATE = 24_000
_FIRST_SEED = 4_000_000  # of the practice songs that nothing was trained on
_SECONDS = 60.0
_SILENT = 1e-3
_KEPT_OUT = 7  # one group of MIDI files in so many

Mono = NDArray[np.float32]


class Song(NamedTuple):
    """A minute of drums, bass and all the others [N] each, with its beats."""

    drums: Mono
    bass: Mono
    others: Mono
    grid: BeatGrid

    @property
    def end_s(self) -> float:
        """Where sound or known beats end."""
        return min(len(self.drums) / RATE, float(self.grid.beat_times_s[-1]) + 1.0)


def mixes(song: Song) -> dict[str, Mono]:
    """What somebody may give: all of it, or some of it; what is silent is left out."""
    drums, bass, others, _ = song
    found = {"band": drums + bass + others, "no drums": bass + others, "no bass": drums + others}
    found |= {"neither": others, "drums alone": drums}
    if not bass.any() and not others.any():
        found = {"drums alone": drums}
    return {name: wave for name, wave in found.items() if np.sqrt(np.mean(np.square(wave))) > _SILENT}


def practice_songs(count: int, first_seed: int = _FIRST_SEED) -> Iterator[Song]:
    """Songs of the band."""
    source = PracticeSource(count, first_seed, _SECONDS)
    return _songs(source, source.entries())


def recorded_songs(folder: Path) -> Iterator[Song]:
    """Songs in stems with `bpm` in `meta.json`, bar 1 at 0 s."""
    source = StemSource(str(folder))
    return _songs(source, source.entries())


def midi_songs(
    folder: Path, soundfont: Path, counts: tuple[int, int], is_wanted: Callable[[str, str | None], bool]
) -> Iterator[Song]:
    """So many bands and so many lone drummers of the wanted groups and splits, in an order apart from names."""
    source = MidiSource(str(folder), str(soundfont), min_families=1)
    entries = [entry for entry in shuffled(source.entries(), None) if is_wanted(*source.group(entry))]
    left = dict(zip((True, False), counts, strict=True))
    for song in _songs(source, entries):
        is_band = bool(song.bass.any())
        if left[is_band] and song.drums.any() and (is_band or not song.others.any()):
            left[is_band] -= 1
            yield song
        if not any(left.values()):
            return


def is_for_training(group: str, split: str | None) -> bool:
    """Whether a group of MIDI files of that split may be fitted to."""
    return split == "train" and not _is_kept_out(group)


def is_for_the_table(group: str, split: str | None) -> bool:
    """Whether it may be scored on."""
    return split == "valid" or (split == "train" and _is_kept_out(group))


def _songs(source: PracticeSource | MidiSource | StemSource, entries: Iterable[SongEntry]) -> Iterator[Song]:
    for entry in entries:
        try:
            song = source.load(entry, RATE)
        except InputError:
            continue  # files that can't be played are set aside everywhere
        if song.grid is None or not len(song.stems):
            continue
        length = min(max(map(len, song.stems.values())), round(_SECONDS * RATE))
        parts = {name: np.zeros(length, np.float32) for name in ("drums", "bass", "others")}
        for name, wave in song.stems.items():
            piece = wave[:length]
            parts[name if name in parts else "others"][: len(piece)] += piece
        yield Song(parts["drums"], parts["bass"], parts["others"], song.grid)


def _is_kept_out(group: str) -> bool:
    return int(hashlib.sha256(group.removeprefix("midi:").encode()).hexdigest(), 16) % _KEPT_OUT == 0
