"""What sources hand over: songs as stems on one clock, named and dated so that a rerun knows what it has already made.

source.entries() --> SongEntry (cheap: a name and a digest) --> source.load() --> SongAudio (the sound)
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gigmate.errors import InputError
from gigmate.music.chords import Chord
from gigmate.music.grid import BeatGrid
from gigmate.music.instruments import INSTRUMENTS
from gigmate.music.note_codes import Notes

ALL = "all"
"""The instrument that is the whole band: the sum of the stems, made in preparation, never by a source."""

SILENT_PEAK = 1e-3
MIN_SONG_S = 1.0
SPLITS = ("train", "valid", "test")

StemWaves = Mapping[str, NDArray[np.float32]]
"""[N] float32 by instrument."""


@dataclass(frozen=True)
class SongEntry:
    """A song that can be loaded.

    Args:
        song_id: lower-case letters, digits, `-` and `_`: safe as a file name anywhere, unique in its source.
        reference: what the source finds it by: a seed, a relative path.
        digest: hex; changes when what the song is made from changes.
    """

    song_id: str
    reference: str
    digest: str


@dataclass(frozen=True, eq=False)
class SongAudio:
    """A loaded song.

    Args:
        stems: by instrument, mono, from one start, at the rate that was asked for.
        grid: beats and bars on the same clock; None if nobody knows them.
        group: songs that share material share it; a group is never split between training and validation.
        split: where it belongs by its source; None: decided by group.
        licence: under which terms its sound may be used.
        chords: its harmony, as far as known, on the same clock.
        notes: by instrument, as far as known, on the same clock.
    """

    stems: StemWaves
    grid: BeatGrid | None
    group: str
    split: str | None = None
    licence: str = "unknown"
    chords: Sequence[Chord] = ()
    notes: Mapping[str, Notes] = field(default_factory=dict)


class SongSource(Protocol):
    """Where songs come from. Frozen, of primitives only: it travels to other processes."""

    def entries(self) -> list[SongEntry]:
        """All songs, in a fixed order.

        Raises:
            InputError: there is nothing to read.
        """
        ...

    def group(self, entry: SongEntry) -> tuple[str, str | None]:
        """Group and split of a song as in its `SongAudio`, without making its sound.

        Raises:
            InputError: this song can't be used.
        """
        ...

    def load(self, entry: SongEntry, sample_rate: int) -> SongAudio:
        """The sound of one song.

        Raises:
            InputError: this song can't be used; the others may.
        """
        ...


def make_song_id(reference: str) -> str:
    """A readable, safe name for `reference`; different references get different names (`a.1.ogg` isn't `a.2.ogg`)."""
    slug = re.sub(r"[^a-z0-9]+", "-", reference.lower()).strip("-")[-48:].strip("-")
    return f"{slug or 'song'}-{hashlib.sha256(reference.encode(errors='surrogateescape')).hexdigest()[:10]}"


def digest_of(*parts: Any) -> str:
    """Hex digest of primitives."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Hex digest of a file's bytes.

    Raises:
        InputError: `io_error`.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError("io_error", f"can't read it ({error.strerror})", path, "check the path") from error


def conform(stems: StemWaves, sample_rate: int) -> dict[str, NDArray[np.float32]]:
    """Stems as preparation wants them: audible ones only, equally long, neither they nor their sum above 1.

    One gain for all, so that their balance stays; in the order of `INSTRUMENTS`, so that the result is the same
    however the source ordered them.

    Raises:
        InputError: `silent`, `too_short` or `non_finite`.
        ValueError: an instrument that a stem can't have.
    """
    if wrong := set(stems) - set(INSTRUMENTS) | (set(stems) & {ALL}):
        raise ValueError(f"stems are named {sorted(wrong)}, allowed are {INSTRUMENTS[:-1]}")
    for name, wave in stems.items():
        if not np.isfinite(wave).all():
            raise InputError("non_finite", f"NaN or Inf in {name}", remedy="export it again")
    audible = {i: stems[i] for i in INSTRUMENTS if i in stems and np.abs(stems[i]).max(initial=0) > SILENT_PEAK}
    if not audible:
        raise InputError("silent", f"none of {len(stems)} stems can be heard", remedy="remove it")
    num_samples = max(map(len, audible.values()))
    if num_samples < MIN_SONG_S * sample_rate:
        seconds = num_samples / sample_rate
        raise InputError("too_short", f"{seconds:.2f} s, at least {MIN_SONG_S} s are needed", remedy="remove it")
    padded = {i: np.pad(wave, (0, num_samples - len(wave))) for i, wave in audible.items()}
    mix = np.sum(list(padded.values()), axis=0)
    peak = max(1.0, *(float(np.abs(wave).max()) for wave in (mix, *padded.values())))
    return {i: (wave / peak).astype(np.float32) for i, wave in padded.items()}
