"""Songs for `experiments.fit_chord_ear`: what is heard of each stem's pitches, and the chords, kept in files."""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from experiments.heard_songs import HOP, RATE, is_of_split, kept_power, linear_power, midi_of_split, waves_of
from gigmate.codec.features import NUM_SEMITONE_BANDS, MixFeatures
from gigmate.data.song import SongAudio, SongEntry
from gigmate.data.sources import MidiSource, PracticeSource
from gigmate.errors import InputError
from gigmate.generation.chord_ear import STRIDE
from gigmate.music.band import compose
from gigmate.music.chords import frame_harmony
from gigmate.music.grid import BeatGrid

FRAME_RATE = Fraction(RATE, HOP)
_NEWEST = slice(STRIDE - 1, None, STRIDE)  # the frames that a window of so many ends with
_LEAST_S, _MOST_S, _PRACTICE_S = 20, 60, 45
_EARS = MixFeatures(RATE, HOP * STRIDE)


class Harmonised(NamedTuple):
    """A song, one frame of every `STRIDE`.

    Args:
        names: of its stems.
        power: [stems, bands, T] float16, log10 of the power in semitone bands.
        beats: [G, T] float16, features of the beat grid.
        root: [T] int8, pitch class or `NO_ROOT`.
        tones: [T] uint16, pitch classes as bits; 0 where unknown.
    """

    names: tuple[str, ...]
    power: NDArray[np.float16]
    beats: NDArray[np.float16]
    root: NDArray[np.int8]
    tones: NDArray[np.uint16]


def power_of(song: Harmonised, stem: int, frames: slice) -> NDArray[np.float32]:
    """[bands, T] linear."""
    return linear_power(song.power[stem, :, frames])


def practice_songs(cache: Path, first_seed: int, count: int, *, held_out: bool) -> list[Harmonised]:
    """The first `count` songs of the band, from a seed on, whose group is for training or held out."""
    wanted = (seed for seed in itertools.count(first_seed) if is_of_split(compose(seed), held_out=held_out))
    sources = (PracticeSource(1, seed, float(_PRACTICE_S)) for seed in wanted)
    found = (song for source in sources for song in _kept(cache, source, source.entries()[0]))
    return list(tqdm(itertools.islice(found, count), total=count, desc="practice", mininterval=10))


def midi_songs(cache: Path, folder: Path, soundfont: Path, count: int, *, held_out: bool) -> list[Harmonised]:
    """The first `count` songs of a folder of MIDI files, of a split."""
    source, wanted = midi_of_split(folder, soundfont, held_out=held_out)
    kept = (song for entry in tqdm(wanted, desc="MIDI", mininterval=10) for song in _kept(cache, source, entry))
    return list(itertools.islice(kept, count))


def _kept(cache: Path, source: PracticeSource | MidiSource, entry: SongEntry) -> Iterator[Harmonised]:
    """The song, heard once and kept; none if it can't be played, is too short or has no chords."""
    path = cache / f"{entry.song_id}.npz"
    if not path.is_file():
        try:
            song = source.load(entry, RATE)
        except InputError:
            return  # files that can't be played are set aside everywhere
        length = min(max(map(len, song.stems.values()), default=0), _MOST_S * RATE) // RATE * RATE
        if song.grid is None or not song.chords or length < _LEAST_S * RATE:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez(file, **{name: np.asarray(value) for name, value in _heard(song, song.grid, length).items()})
    with np.load(path) as kept:
        yield Harmonised(tuple(kept["names"].tolist()), *(kept[name] for name in Harmonised._fields[1:]))


def _heard(song: SongAudio, grid: BeatGrid, length: int) -> dict[str, object]:
    """The first `length` samples of a song, as the fields of `Harmonised`."""
    waves = waves_of(song, length)
    power = torch.cat([_EARS.analyse(torch.from_numpy(wave)[None, None])[:, -NUM_SEMITONE_BANDS:] for wave in waves])
    num_frames = power.shape[2] * STRIDE
    root, tones = frame_harmony(song.chords, num_frames, FRAME_RATE)
    return {
        "names": tuple(song.stems),
        "power": kept_power(power),
        "beats": grid.features(num_frames, FRAME_RATE)[:, _NEWEST].astype(np.float16),
        "root": root[_NEWEST],
        "tones": tones[_NEWEST],
    }
