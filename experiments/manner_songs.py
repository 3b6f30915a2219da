"""Songs for `experiments.fit_manner_ear`: what is heard of each stem, and what its player does, kept in files."""

import itertools
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from experiments.heard_songs import HOP, RATE, is_of_split, kept_power, linear_power, midi_of_split, waves_of
from gigmate.audio import loudness_db
from gigmate.codec.features import MixFeatures
from gigmate.data.song import SongAudio, SongEntry
from gigmate.data.sources import MidiSource, PracticeSource
from gigmate.errors import InputError
from gigmate.evaluation.adherence.part import Part
from gigmate.evaluation.adherence.soundness import silence_share
from gigmate.generation.beat_bias import codes_that_begin
from gigmate.generation.manner_ear import FRAME_RATE, PLAYERS
from gigmate.music.band import compose
from gigmate.music.grid import BeatGrid
from gigmate.music.note_codes import Notes, note_codes
from gigmate.pitch import NUM_NOTE_CODES

WINDOW_S = 20
_STEP_S = 5
_MOST_S = 120  # of a MIDI file
_SOUNDS_DB, _PLAYS = -50.0, 0.9
_EARS = MixFeatures(RATE, HOP)
_BEGINS = codes_that_begin(NUM_NOTE_CODES).numpy()


class Excerpt(NamedTuple):
    """What a player does for `WINDOW_S`.

    Args:
        stem: its number in the song.
        start_s: of the excerpt.
        strikes_per_s: notes or chords begun in a second; -1: unknown.
        silence: share of the time, as `silence_share` hears it.
        level_db: of the stem.
        playing: share of the time in which it sounds at all.
    """

    stem: int
    start_s: int
    strikes_per_s: float
    silence: float
    level_db: float
    playing: float

    @property
    def is_known(self) -> bool:
        """Whether there is something to learn from it: who is laid out for a while doesn't show a manner."""
        return self.strikes_per_s > 0 and self.playing >= _PLAYS


class Played(NamedTuple):
    """A song.

    Args:
        names: of its stems.
        power: [stems, bands, T] float16, log10 of the power in mel bands.
        beats: [G, T] float16, features of the beat grid.
        excerpts: of every stem, every five seconds.
        style: of the band; "" if it has none.
    """

    names: tuple[str, ...]
    power: NDArray[np.float16]
    beats: NDArray[np.float16]
    excerpts: tuple[Excerpt, ...]
    style: str


def power_of(song: Played, stem: int, frames: slice) -> NDArray[np.float32]:
    """[bands, T] linear."""
    return linear_power(song.power[stem, :, frames])


def practice_songs(cache: Path, first_seed: int, count: int, *, held_out: bool) -> list[Played]:
    """The first `count` songs of the band, from a seed on, whose group is for training or held out."""
    found: list[Played] = []
    with tqdm(total=count, desc="practice", mininterval=10) as bar:
        for seed in itertools.count(first_seed):
            if len(found) == count:
                return found
            song = compose(seed)
            if is_of_split(song, held_out=held_out):
                source = PracticeSource(1, seed)
                found += _kept(cache, source, source.entries()[0], song.style)
                bar.update()
    return found


def midi_songs(cache: Path, folder: Path, soundfont: Path, count: int, *, held_out: bool) -> list[Played]:
    """The first `count` songs of a folder of MIDI files, of a split."""
    source, wanted = midi_of_split(folder, soundfont, held_out=held_out)
    kept = (song for entry in tqdm(wanted, desc="MIDI", mininterval=10) for song in _kept(cache, source, entry, ""))
    return list(itertools.islice(kept, count))


def _kept(cache: Path, source: PracticeSource | MidiSource, entry: SongEntry, style: str) -> list[Played]:
    """The song, heard once and kept; none if it can't be played or is too short."""
    path = cache / f"{entry.song_id}.npz"
    if not path.is_file():
        try:
            song = source.load(entry, RATE)
        except InputError:
            return []  # files that can't be played are set aside everywhere
        length = min(max(map(len, song.stems.values()), default=0), _MOST_S * RATE) // RATE * RATE
        if song.grid is None or length < WINDOW_S * RATE:
            return []
        _write(path, _heard(song, song.grid, length, style))
    with np.load(path) as kept:
        excerpts = tuple(Excerpt(int(row[0]), int(row[1]), *map(float, row[2:])) for row in kept["excerpts"])
        return [Played(tuple(kept["names"].tolist()), kept["power"], kept["beats"], excerpts, str(kept["style"]))]


def _write(path: Path, song: Played) -> None:
    """What `_kept` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(
            file,
            names=np.array(song.names),
            power=song.power,
            beats=song.beats,
            excerpts=np.array(song.excerpts),
            style=np.array(song.style),
        )


def _heard(song: SongAudio, grid: BeatGrid, length: int, style: str) -> Played:
    """The first `length` samples of a song."""
    names = tuple(song.stems)
    waves = waves_of(song, length)
    power = torch.cat([_EARS.mel_bands(torch.from_numpy(wave)[None, None]) for wave in waves])
    excerpts: list[Excerpt] = []
    for stem, (name, wave) in enumerate(zip(names, waves, strict=True)):
        begins = _begins(song.notes.get(name), name, power.shape[2])
        excerpts += [
            _excerpt(stem, start_s, wave, begins) for start_s in range(0, length // RATE - WINDOW_S + 1, _STEP_S)
        ]
    beats = grid.features(power.shape[2], FRAME_RATE).astype(np.float16)
    return Played(names, kept_power(power), beats, tuple(excerpts), style)


def _begins(notes: Notes | None, name: str, num_frames: int) -> NDArray[np.bool_] | None:
    """[T], whether a note or chord begins; None if nobody knows."""
    if notes is None or name not in PLAYERS:
        return None
    return _BEGINS[note_codes(notes, name, num_frames, Fraction(RATE, HOP))]


def _excerpt(stem: int, start_s: int, wave: NDArray[np.float32], begins: NDArray[np.bool_] | None) -> Excerpt:
    own = wave[start_s * RATE : (start_s + WINDOW_S) * RATE]
    parts_db = 10 * np.log10(np.square(own.reshape(WINDOW_S // 2, -1)).mean(axis=1) + 1e-12)
    frames = slice(round(start_s * FRAME_RATE), round((start_s + WINDOW_S) * FRAME_RATE))
    return Excerpt(
        stem,
        start_s,
        -1.0 if begins is None else float(begins[frames].sum() / WINDOW_S),
        silence_share(Part(own, RATE)),
        max(-100.0, loudness_db(own[None])),
        float((parts_db > _SOUNDS_DB).mean()),
    )
