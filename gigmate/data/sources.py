"""Where songs come from: the procedural band, MIDI files through a SoundFont, folders of recorded stems."""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gigmate.audio import EXTENSIONS, read_audio, resample, to_channels
from gigmate.data.code_digest import code_digest
from gigmate.data.meta import SongMeta, read_meta, stem_instrument
from gigmate.data.song import SongAudio, SongEntry, digest_of, file_digest, make_song_id
from gigmate.errors import InputError
from gigmate.music.band import compose, render_song
from gigmate.music.band.song import as_array
from gigmate.music.grid import BeatGrid
from gigmate.music.midi import grid_of, notes_of, read_midi
from gigmate.music.midi_chords import chords_of
from gigmate.music.soundfont import Bends, render_midi
from gigmate.music.tracker import track_beats

_STEM_TOLERANCE_S = 0.02  # stems of one song may differ by a codec frame, not by more
_BEATS_FILE = "beats.txt"
_MIDI_INDEX = "index.csv"
_BAND_CODE = ("gigmate.music.band",)
_MIDI_CODE = (
    "gigmate.music.midi",
    "gigmate.music.midi_chords",
    "gigmate.music.soundfont",
    "gigmate.music.synthesizer_child",  # run, not imported
)


def shuffled(entries: list[SongEntry], limit: int | None) -> list[SongEntry]:
    """The first `limit` in an order that has nothing to do with names, so that a part stands for the whole."""
    return sorted(entries, key=lambda entry: hashlib.sha256(entry.song_id.encode()).digest())[:limit]


@dataclass(frozen=True)
class PracticeSource:
    """Songs that the procedural band makes up.

    Args:
        num_songs: how many.
        first_seed: seed of the first; the others count on from it.
        seconds: length of each; None: as composed.
    """

    num_songs: int
    first_seed: int = 0
    seconds: float | None = None

    def entries(self) -> list[SongEntry]:
        """One per seed."""
        seeds = range(self.first_seed, self.first_seed + self.num_songs)
        code = code_digest(*_BAND_CODE)
        return [
            SongEntry(f"practice-{seed:010d}", str(seed), digest_of("practice", code, seed, self.seconds))
            for seed in seeds
        ]

    def group(self, entry: SongEntry) -> tuple[str, str | None]:
        """Songs that share a progression are one group."""
        return f"practice:{compose(int(entry.reference), self.seconds).group}", None

    def load(self, entry: SongEntry, sample_rate: int) -> SongAudio:
        """Compose and render one."""
        song = compose(int(entry.reference), self.seconds)
        group = f"practice:{song.group}"
        notes = {player: as_array(played) for player, played in song.notes.items()}
        return SongAudio(
            render_song(song, sample_rate), song.grid, group, licence="generated", chords=song.chords, notes=notes
        )


@dataclass(frozen=True)
class MidiSource:
    """MIDI files, rendered with a SoundFont.

    `index.csv` in the folder is optional: `path` and, as far as known, `split`, `group`, `licence`, `fams` (the
    instrument families with notes, joined by `|`) and `symusic_synth_ok` (0: rendering it is known to hang). Without
    it every file is taken and is a group of its own.

    Args:
        folder: of `.mid` files, in any depth.
        soundfont: `.sf2` or `.sf3`.
        bends: what becomes of pitch bends: `count` or `fluidsynth`.
        max_songs: take this many only, chosen by a hash of their names.
        min_families: leave out files that the index knows to have fewer: a lone drum track accompanies nothing.
    """

    folder: str
    soundfont: str
    bends: Bends = "count"
    max_songs: int | None = None
    min_families: int = 2

    def entries(self) -> list[SongEntry]:
        """One per file.

        Raises:
            InputError: no folder, no files, no SoundFont, or an index that can't be read.
        """
        sound = (file_digest(Path(self.soundfont)), self.bends, code_digest(*_MIDI_CODE))
        rows = [(path, row) for path, row in sorted(self._rows().items()) if self._is_wanted(row)]
        if not rows:
            raise InputError("no_songs", "no MIDI file in it", self.folder, "give another folder")
        chosen = shuffled([SongEntry(make_song_id(path), path, "") for path, _ in rows], self.max_songs)
        wanted = {entry.reference for entry in chosen}
        return [
            SongEntry(make_song_id(path), path, digest_of("midi", self._digest(path), sound, sorted(row.items())))
            for path, row in rows
            if path in wanted
        ]

    def load(self, entry: SongEntry, sample_rate: int) -> SongAudio:
        """Parse and render one.

        Raises:
            InputError: see `read_midi` and `render_midi`.
        """
        path = Path(self.folder) / entry.reference
        score = read_midi(path)
        stems = render_midi(score, self.soundfont, sample_rate, bends=self.bends)
        licence = self._rows().get(entry.reference, {}).get("licence") or "unknown"
        grid = grid_of(score)
        return SongAudio(stems, grid, *self.group(entry), licence, chords_of(score, grid), notes_of(score))

    def group(self, entry: SongEntry) -> tuple[str, str | None]:
        """What the index says; without it every file is a group of its own."""
        row = self._rows().get(entry.reference, {})
        return f"midi:{row.get('group') or entry.reference}", row.get("split") or None

    def _digest(self, path: str) -> str:
        try:
            return file_digest(Path(self.folder) / path)
        except InputError:
            return "missing"  # loading it says so, and sets that one song aside

    def _is_wanted(self, row: dict[str, str]) -> bool:
        families = [family for family in row.get("fams", "").split("|") if family]
        return row.get("symusic_synth_ok") != "0" and ("fams" not in row or len(families) >= self.min_families)

    def _rows(self) -> dict[str, dict[str, str]]:
        """The index by path; without one, all MIDI files with nothing known about them."""
        folder = Path(self.folder)
        index = folder / _MIDI_INDEX
        try:
            if not index.exists():
                found = (p for p in folder.rglob("*") if p.suffix.lower() in (".mid", ".midi") and p.is_file())
                return {path.relative_to(folder).as_posix(): {} for path in found}
            with open(index, newline="", encoding="utf-8") as file:
                return {row["path"]: {k: v or "" for k, v in row.items() if k} for row in csv.DictReader(file)}
        except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
            raise InputError("bad_index", f"can't read the index ({error!r})", index, "repair or remove it") from error


@dataclass(frozen=True)
class StemSource:
    """Recorded songs: every folder, in any depth, that holds audio files is a song, every file a stem.

    Beside them may lie `meta.json` (see `read_meta`) and `beats.txt` (see `BeatGrid.from_file`). The beats are those
    of `beats.txt`, else from `bpm` in `meta.json` with a downbeat at 0 s, else tracked. Files are assigned to
    instruments by name (`stem_instrument`); those of one instrument are added up.

    Args:
        folder: where the songs lie.
    """

    folder: str

    def entries(self) -> list[SongEntry]:
        """One per folder with audio in it.

        Raises:
            InputError: `no_songs` or `io_error`.
        """
        root = Path(self.folder)
        songs = sorted({path.parent for path in root.rglob("*") if _is_audio(path)})
        if not songs:
            raise InputError("no_songs", "no audio in it", root, "give a folder that holds a folder for each song")
        return [self._entry(song.relative_to(root).as_posix()) for song in songs]

    def load(self, entry: SongEntry, sample_rate: int) -> SongAudio:
        """Read, resample and downmix the stems.

        Raises:
            InputError: a file that can't be read, `stem_mismatch`, `bad_meta`.
        """
        folder = Path(self.folder) / entry.reference
        meta = read_meta(folder)
        waves: dict[Path, np.ndarray] = {}
        for path in sorted(filter(_is_audio, folder.iterdir())):
            audio = read_audio(path, root=self.folder)
            waves[path] = resample(to_channels(audio.wave, 1), audio.sample_rate, sample_rate)[0]
        _check_lengths(waves, sample_rate)
        num_samples = max(map(len, waves.values()))
        stems: dict[str, np.ndarray] = {}
        for path, wave in waves.items():
            stem = stems.setdefault(stem_instrument(path.stem), np.zeros(num_samples, np.float32))
            stem[: len(wave)] += wave
        grid = _grid(folder, meta, np.sum(list(stems.values()), axis=0), sample_rate)
        return SongAudio(stems, grid, *self.group(entry), meta.licence)

    def group(self, entry: SongEntry) -> tuple[str, str | None]:
        """What `meta.json` says; without it every folder is a group of its own.

        Raises:
            InputError: `bad_meta`.
        """
        meta = read_meta(Path(self.folder) / entry.reference)
        return f"stems:{meta.group or entry.reference}", meta.split

    def _entry(self, reference: str) -> SongEntry:
        folder = Path(self.folder) / reference
        files = sorted(p for p in folder.iterdir() if _is_audio(p) or p.name in ("meta.json", _BEATS_FILE))
        contents = [(path.name, file_digest(path)) for path in files]
        return SongEntry(make_song_id(reference), reference, digest_of("stems", contents))


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()


def _check_lengths(waves: Mapping[Path, np.ndarray], sample_rate: int) -> None:
    shortest, longest = (pick(waves, key=lambda path: len(waves[path])) for pick in (min, max))
    have_s, need_s = len(waves[shortest]) / sample_rate, len(waves[longest]) / sample_rate
    if need_s - have_s > _STEM_TOLERANCE_S:
        what = f"{have_s:.3f} s, but {longest.name} has {need_s:.3f} s"
        raise InputError("stem_mismatch", what, shortest, "export all stems from one start to one end")


def _grid(folder: Path, meta: SongMeta, mix: np.ndarray, sample_rate: int) -> BeatGrid:
    if (folder / _BEATS_FILE).is_file():
        return BeatGrid.from_file(folder / _BEATS_FILE)
    if meta.bpm is not None:
        return BeatGrid.from_tempo(meta.bpm, meta.beats_per_bar, len(mix) / sample_rate)
    return track_beats(mix, sample_rate)
