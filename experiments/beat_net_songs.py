"""Songs for `experiments.fit_beat_net`: what the ear hears of several mixes of each, kept in files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.plain_beats import plain_beats
from experiments.tracker_songs import RATE, is_for_training
from gigmate.data.song import SongEntry
from gigmate.data.sources import MidiSource, PracticeSource, shuffled
from gigmate.errors import InputError
from gigmate.music.grid import BeatGrid
from gigmate.music.onsets import hear_all

FIRST_SEED = 6_000_000
PRACTICE_SECONDS, MIDI_SECONDS = 45.0, 180.0
_MIXES = 4
_LEVELS_DB = 6.0  # of a stem in the mix: so much up or down


class Heard(NamedTuple):
    """Mixes of a song: levels and chroma [M, 52, F] float16 at 100 Hz; times of beats and of downbeats in seconds."""

    features: NDArray[np.float16]
    beats_s: NDArray[np.float64]
    downbeats_s: NDArray[np.float64]


def practice_songs(cache: Path, count: int) -> list[Heard]:
    """Songs of the band, of seeds that nothing else uses."""
    source = PracticeSource(count, FIRST_SEED, PRACTICE_SECONDS)
    return list(_of_source(cache, source, source.entries(), PRACTICE_SECONDS))


def midi_songs(cache: Path, folder: Path, soundfont: Path, drummers: int) -> tuple[list[Heard], list[Heard]]:
    """Bands, and so many lone drummers, of the train split that no table has."""
    source = MidiSource(str(folder), str(soundfont), min_families=1)
    bands = {entry.song_id for entry in MidiSource(str(folder), str(soundfont)).entries()}
    wanted = [e for e in shuffled(source.entries(), None) if is_for_training(*source.group(e))]
    lone = [e for e in wanted if e.song_id not in bands][:drummers]
    groups = [e for e in wanted if e.song_id in bands], lone
    of_bands, of_drummers = (list(_of_source(cache, source, entries, MIDI_SECONDS)) for entries in groups)
    return of_bands, of_drummers


def plain_songs(count: int) -> list[Heard]:
    """Beats that every drummer knows."""
    return [_heard([song.drums], song.grid) for song in plain_beats(count, seed=1)]


def _of_source(
    cache: Path, source: PracticeSource | MidiSource, entries: Iterable[SongEntry], seconds: float
) -> Iterator[Heard]:
    for entry in entries:
        path = cache / f"{entry.song_id}.npz"
        if not path.is_file():
            try:
                song = source.load(entry, RATE)
            except InputError:
                continue  # files that can't be played are set aside everywhere
            if song.grid is None or not len(song.stems):
                continue
            rng = np.random.default_rng(len(entry.song_id) + sum(entry.song_id.encode()))
            stems = {name: wave[: round(seconds * RATE)] for name, wave in song.stems.items()}
            heard = _heard(_mixes(stems, rng), song.grid)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                np.savez(file, *heard)
        with np.load(path) as kept:
            yield Heard(*(kept[name] for name in kept.files))


def _mixes(stems: dict[str, NDArray[np.float32]], rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """All, all but the drums, and random halves of the rest, each stem louder or softer."""
    names = list(stems)
    pitched = [name for name in names if name != "drums"]
    groups = [names, pitched]
    for _ in range(_MIXES - len(groups)):
        some = [name for name in pitched if rng.uniform() < 0.5]
        groups.append([*some, "drums"] if "drums" in names and rng.uniform() < 0.4 else some)
    length = max(map(len, stems.values()))
    found = []
    for group in groups:
        mix = np.zeros(length, np.float32)
        for name in group:
            gain = 10 ** (rng.uniform(-_LEVELS_DB, _LEVELS_DB) / 20)
            mix[: len(stems[name])] += np.float32(gain) * stems[name]
        if np.sqrt(np.mean(np.square(mix))) > 1e-3:
            found.append(mix)
    return found


def _heard(waves: list[NDArray[np.float32]], grid: BeatGrid) -> Heard:
    heard = [hear_all(wave, RATE) for wave in waves]
    features = [np.concatenate([of_mix.levels, of_mix.chroma]).astype(np.float16) for of_mix in heard]
    times_s = grid.beat_times_s
    return Heard(np.stack(features), times_s, times_s[grid.downbeats])
